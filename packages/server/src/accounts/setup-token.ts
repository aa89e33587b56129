// The token that claims a fresh installation. Only who can read the server's terminal or its data directory knows it, so
// nobody else on the network can become the owner.

import { createHash, randomInt, timingSafeEqual } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readPrivateFile, writePrivateFile } from './private-file.ts';

/** No letters or digits that look alike (Crockford's base 32). */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const groups = 4;
const groupLength = 5;

function setupTokenPath(dataDirectory: string): string {
  return join(dataDirectory, 'setup-token');
}

/** The token of this installation; made and stored (mode 0600) when there is none yet. */
export async function ensureSetupToken(dataDirectory: string): Promise<string> {
  const stored = await readPrivateFile(setupTokenPath(dataDirectory));
  if (stored !== undefined) return stored;
  const letters = Array.from({ length: groups * groupLength }, () => alphabet[randomInt(alphabet.length)]).join('');
  const token = (letters.match(new RegExp(`.{${groupLength}}`, 'g')) ?? []).join('-');
  await writePrivateFile(setupTokenPath(dataDirectory), token);
  return token;
}

/** Compares in constant time; hyphens, spaces and case do not matter. */
export function isSetupToken(options: { readonly given: string; readonly expected: string }): boolean {
  return timingSafeEqual(digestOf(options.given), digestOf(options.expected));
}

/** Forgets the token once there is an owner. */
export async function removeSetupToken(dataDirectory: string): Promise<void> {
  await rm(setupTokenPath(dataDirectory), { force: true });
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token.toUpperCase().replaceAll(/[\s-]/g, '')).digest();
}
