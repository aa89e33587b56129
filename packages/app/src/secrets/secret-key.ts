// The key that seals every secret of an installation: 32 random bytes in a file that only its owner can read. It is never
// in the catalogue, so that a copy of the catalogue alone opens nothing.

import { randomBytes } from 'node:crypto';
import { chmod, readFile, stat } from 'node:fs/promises';
import { AppError, messageOf, systemErrorCode } from '@varve/base';
import { writeDurableFile } from '../catalogue/durable-file.ts';

const keyBytes = 32;

async function readKey(path: string): Promise<Buffer | undefined> {
  let key: Buffer;
  try {
    key = await readFile(path);
    const { mode } = await stat(path);
    if ((mode & 0o077) !== 0) await chmod(path, 0o600);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new AppError('CATALOGUE_UNUSABLE', `The key file ${path} cannot be read: ${messageOf(error)}`, {
      hint: 'Give this user the right to read it.',
      context: { path },
      cause: error,
    });
  }
  if (key.length !== keyBytes) {
    throw new AppError('CATALOGUE_UNUSABLE', `The key file ${path} has ${key.length} bytes instead of ${keyBytes}.`, {
      hint: 'Put the right key file back. Without it, connect the repository again with its password from the recovery kit.',
      context: { path, bytes: key.length },
    });
  }
  return key;
}

/** Reads the key; makes it first when there is none. Two processes that start at once end up with the same key. */
export async function loadSecretKey(path: string): Promise<Uint8Array> {
  const known = await readKey(path);
  if (known) return known;
  try {
    await writeDurableFile(path, randomBytes(keyBytes), { exclusive: true });
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') {
      throw new AppError('CATALOGUE_UNUSABLE', `The key file ${path} cannot be made: ${messageOf(error)}`, {
        hint: 'Give this user the right to write there, or free some space.',
        context: { path },
        cause: error,
      });
    }
  }
  const made = await readKey(path);
  if (made) return made;
  throw new AppError('CATALOGUE_UNUSABLE', `The key file ${path} vanished while it was made.`, { context: { path } });
}
