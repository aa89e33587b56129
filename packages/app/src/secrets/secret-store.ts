// Secrets at rest: one file each, sealed with AES-256-GCM under the installation's key, the secret's name as associated
// data, so that a file renamed to another secret's name does not open. Files, not rows: they outlive a lost catalogue.

import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, Secret, messageOf, systemErrorCode } from '@varve/base';
import { writeDurableFile } from '../catalogue/durable-file.ts';
import type { SecretReader } from '../use-case.ts';

const nonceBytes = 12;
const tagBytes = 16;
const suffix = '.sealed.json';

interface SealedFile {
  readonly name: string;
  readonly cipher: 'aes-256-gcm';
  /** Nonce, ciphertext and tag in base64. */
  readonly sealed: string;
}

/** Reads and writes secrets by name. */
export interface SecretStore extends SecretReader {
  set(name: string, value: Secret): Promise<void>;
  /** Idempotent. */
  remove(name: string): Promise<void>;
  /** Names of all secrets, sorted. */
  names(): Promise<string[]>;
  has(name: string): Promise<boolean>;
}

function seal(key: Uint8Array, name: string, value: Secret): string {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(Buffer.from(name));
  const body = Buffer.concat([cipher.update(value.reveal(), 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64');
}

function unseal(key: Uint8Array, name: string, sealed: string): Secret {
  const bytes = Buffer.from(sealed, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, nonceBytes), { authTagLength: tagBytes });
  decipher.setAAD(Buffer.from(name));
  decipher.setAuthTag(bytes.subarray(-tagBytes));
  const body = decipher.update(bytes.subarray(nonceBytes, -tagBytes));
  return new Secret(Buffer.concat([body, decipher.final()]).toString('utf8'));
}

function parseSealed(text: string): SealedFile {
  const value: unknown = JSON.parse(text);
  if (typeof value === 'object' && value !== null && 'name' in value && 'sealed' in value) {
    const { name, sealed } = value;
    if (typeof name === 'string' && typeof sealed === 'string') return { name, cipher: 'aes-256-gcm', sealed };
  }
  throw new Error('it has no name or no content');
}

/** Opens the folder of sealed secrets, making it (mode 0700) when missing. */
export async function openSecretStore(folder: string, key: Uint8Array): Promise<SecretStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
  const pathOf = (name: string): string =>
    join(folder, createHash('sha256').update(name).digest('hex').slice(0, 32) + suffix);

  async function load(path: string): Promise<SealedFile | undefined> {
    try {
      return parseSealed(await readFile(path, 'utf8'));
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return undefined;
      throw new AppError('CATALOGUE_UNUSABLE', `The sealed secret ${path} cannot be read: ${messageOf(error)}`, {
        hint: 'Restore the file, or set that password again.',
        context: { path },
        cause: error,
      });
    }
  }

  return {
    async get(name) {
      const file = await load(pathOf(name));
      if (file === undefined) return undefined;
      try {
        return unseal(key, name, file.sealed);
      } catch (error) {
        throw new AppError(
          'CATALOGUE_UNUSABLE',
          `The secret "${name}" does not open with the key of this installation.`,
          {
            hint: 'secret.key and the folder secrets belong together: restore both from the same time, or set that password again.',
            context: { name },
            cause: error,
          },
        );
      }
    },
    async set(name, value) {
      const file: SealedFile = { name, cipher: 'aes-256-gcm', sealed: seal(key, name, value) };
      await writeDurableFile(pathOf(name), Buffer.from(`${JSON.stringify(file)}\n`), { exclusive: false });
    },
    async remove(name) {
      await rm(pathOf(name), { force: true });
    },
    async names() {
      const files = (await readdir(folder)).filter((file) => file.endsWith(suffix));
      const loaded = await Promise.all(files.map((file) => load(join(folder, file))));
      return loaded.flatMap((file) => (file ? [file.name] : [])).sort();
    },
    async has(name) {
      return (await load(pathOf(name))) !== undefined;
    },
  };
}
