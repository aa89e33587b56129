// The passwords of a repository: each is a key file that holds the same master key. A new key file is read back and opened before
// anything relies on it, and a changed password's old key file goes last, so that at every moment a known password opens.

import { AppError, isAppError, messageOf, systemClock, throwIfAborted, type Clock, type Secret } from '@varve/base';
import { isDamage, type Repository } from '../repository.ts';
import { systemIdentity } from '../store/identity.ts';
import type { KeyDerivation } from '../crypto/scrypt.ts';
import { createKeyFile, loadKeyFile, openKeyFile } from '../store/key-file.ts';

/** A key file as people see it. */
export interface KeyInfo {
  readonly id: string;
  /** Whether it is the one that this repository was opened with. */
  readonly isCurrent: boolean;
  readonly username: string;
  readonly hostname: string;
  /** RFC 3339; empty when it is not noted. */
  readonly created: string;
}

export interface NewKeyOptions {
  readonly password: Secret;
  /** Noted in the key file; this user and host when absent. */
  readonly username?: string | undefined;
  readonly hostname?: string | undefined;
  /** Cost of opening the key; calibrated to this machine when absent. */
  readonly keyDerivation?: KeyDerivation | undefined;
  readonly clock?: Clock | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Every key file, by creation; those that cannot be read beside them. */
export async function listKeys(
  repository: Repository,
  { signal }: CallOptions = {},
): Promise<{ keys: KeyInfo[]; failures: { readonly id: string; readonly message: string }[] }> {
  const { storage } = repository;
  const keys: KeyInfo[] = [];
  const failures: { id: string; message: string }[] = [];
  for (const name of await keyNames(repository, signal)) {
    try {
      const { username, hostname, created } = await loadKeyFile(storage, { name, signal });
      keys.push({ id: name, isCurrent: name === repository.keyId, username, hostname, created });
    } catch (error) {
      // A key that was removed meanwhile is none.
      if (isAppError(error, 'STORAGE_FILE_NOT_FOUND')) continue;
      if (!isDamage(error)) throw error;
      failures.push({ id: name, message: messageOf(error) });
    }
  }
  keys.sort((a, b) => (a.created < b.created ? -1 : a.created > b.created ? 1 : 0));
  return { keys, failures };
}

/**
 * Adds a password and yields the name of its key file, which was read back and opened. The caller holds a shared lock.
 * REPOSITORY_PASSWORD_MISSING for an empty password; REPOSITORY_DAMAGED when the stored key does not open, and then it is
 * removed again.
 */
export async function addKey(repository: Repository, options: NewKeyOptions): Promise<string> {
  const { password, signal } = options;
  if (password.reveal() === '') {
    throw new AppError('REPOSITORY_PASSWORD_MISSING', 'A key needs a password.', {
      hint: 'Choose one and keep it: it opens everything in the repository.',
    });
  }
  const { storage, engine, key } = repository;
  const identity = systemIdentity();
  const bytes = await createKeyFile(key, {
    password,
    engine,
    username: options.username ?? identity.username,
    hostname: options.hostname ?? identity.hostname,
    created: (options.clock ?? systemClock).now(),
    derivation: options.keyDerivation,
  });
  throwIfAborted(signal);
  const name = engine.sha256(bytes).toString('hex');
  try {
    await storage.save({ type: 'key', name }, bytes, { signal });
    await proveKey(repository, name, options);
  } catch (error) {
    // Also when the answer to the save was lost: a password that was reported as not added must not open.
    await storage.remove({ type: 'key', name }).catch(() => {});
    throw error;
  }
  return name;
}

/**
 * Removes a key file, given by its name or the beginning of it, and yields the name. The caller holds an exclusive lock.
 * REPOSITORY_KEY_NOT_FOUND; USAGE_INVALID for the key in use, the last one, and a beginning of several names.
 */
export async function removeKey(repository: Repository, id: string, { signal }: CallOptions = {}): Promise<string> {
  const names = await keyNames(repository, signal);
  const matches = /^[0-9a-f]{1,64}$/.test(id) ? names.filter((name) => name.startsWith(id)) : [];
  const [name] = matches;
  if (name === undefined) {
    throw new AppError('REPOSITORY_KEY_NOT_FOUND', `There is no key “${id}”.`, {
      hint: 'List the keys to see their ids.',
    });
  }
  if (matches.length > 1) {
    throw new AppError('USAGE_INVALID', `“${id}” is the beginning of ${matches.length} keys.`, {
      hint: 'Give more digits of the id.',
    });
  }
  if (name === repository.keyId) {
    throw new AppError('USAGE_INVALID', `Key ${name.slice(0, 8)} is the one that the repository was opened with.`, {
      hint: 'Open the repository with another password to remove it, or change its password.',
    });
  }
  if (!names.includes(repository.keyId)) {
    throw new AppError('USAGE_INVALID', 'The key that the repository was opened with is gone; no other is removed.', {
      hint: 'Open the repository again, with a password whose key is there.',
    });
  }
  throwIfAborted(signal);
  await repository.storage.remove({ type: 'key', name }, { signal });
  return name;
}

/**
 * Replaces the key that the repository was opened with by one with a new password, and yields its name. The caller holds an
 * exclusive lock. Whenever this ends, also in the middle, the old password opens or the new one does, or both.
 */
export async function changePassword(repository: Repository, options: NewKeyOptions): Promise<string> {
  const oldKeyId = repository.keyId;
  const newKeyId = await addKey(repository, options);
  throwIfAborted(options.signal);
  await repository.storage
    .remove({ type: 'key', name: oldKeyId }, { signal: options.signal })
    .catch((error: unknown) => {
      if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
    });
  repository.useKeyFile(newKeyId);
  return newKeyId;
}

/** Reads the key file back and opens it as the next user will have to. */
async function proveKey(repository: Repository, name: string, { password, signal }: NewKeyOptions): Promise<void> {
  const { storage, engine, key } = repository;
  const opened = await openKeyFile(await loadKeyFile(storage, { name, signal }), password, () => engine, name);
  const [wanted, stored] = [key.reveal(), opened?.reveal()];
  const isSame = (['encrypt', 'macK', 'macR'] as const).every(
    (part) => stored && Buffer.compare(wanted[part], stored[part]) === 0,
  );
  if (isSame) return;
  throw new AppError('REPOSITORY_DAMAGED', `The new key ${name.slice(0, 8)} does not open as stored; it was removed.`, {
    hint: 'The memory of this machine or the storage may be faulty. Nothing else was changed.',
  });
}

async function keyNames(repository: Repository, signal: AbortSignal | undefined): Promise<string[]> {
  const files = repository.storage.list('key', { signal, sizes: false });
  return (await Array.fromAsync(files)).map(({ name }) => name).sort();
}
