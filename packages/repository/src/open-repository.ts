// Makes and opens repositories: finds the key that a password opens, reads the config.

import { AppError, isAppError, systemClock, throwIfAborted, type Clock, type Secret } from '@varve/base';
import type { Storage } from '@varve/storage';
import { MasterKey } from './crypto/master-key.ts';
import type { KeyDerivation } from './crypto/scrypt.ts';
import { UnitCipher } from './crypto/unit-cipher.ts';
import type { Engine } from './native/engine.ts';
import { loadEngine } from './native/load-engine.ts';
import { Repository } from './repository.ts';
import type { DigestStore } from './snapshot/snapshot-digest.ts';
import { decodeConfig, encodeConfig, newConfig, type RepositoryConfig } from './store/config.ts';
import { systemIdentity } from './store/identity.ts';
import { createKeyFile, loadKeyFile, openKeyFile } from './store/key-file.ts';

export interface OpenRepositoryOptions {
  /** Stays open when the repository is disposed of: who opens it closes it. */
  readonly storage: Storage;
  readonly password: Secret;
  readonly signal?: AbortSignal | undefined;
  /** Made for this thread when absent. */
  readonly engine?: Engine | undefined;
  /** Opens the cache once the id of the repository is known; null for none. */
  readonly cache?: ((repositoryId: string) => Promise<RepositoryCache | null>) | undefined;
}

/** What is kept on this machine so that opening costs only what has changed. Nothing in it is believed without proof. */
export interface RepositoryCache {
  /** The storage with a cache before it, or as it was. */
  readonly storage: Storage;
  readonly digests: DigestStore;
}

export interface CreateRepositoryOptions extends Omit<OpenRepositoryOptions, 'cache'> {
  /** Noted in the key file; this host's when absent. */
  readonly hostname?: string | undefined;
  readonly username?: string | undefined;
  /** Cost of opening the key; calibrated to this machine when absent. */
  readonly keyDerivation?: KeyDerivation | undefined;
  /** That of another repository's config, so that what is copied from there is not stored a second time; else random. */
  readonly chunkerPolynomial?: bigint | undefined;
  readonly clock?: Clock | undefined;
}

/** Each key that is tried costs up to half a second; restic gives up after as many. */
const maxKeysTried = 20;

const configHandle = { type: 'config', name: '' } as const;

/** A new repository of format 2. REPOSITORY_EXISTS when a config or a key is there. */
export async function createRepository(options: CreateRepositoryOptions): Promise<Repository> {
  const { storage, signal } = options;
  if (options.password.reveal() === '') {
    throw new AppError('REPOSITORY_PASSWORD_MISSING', 'A repository needs a password.', {
      hint: 'Choose one and keep it: without it nothing can be restored.',
    });
  }
  const engine = options.engine ?? loadEngine();
  await refuseExisting(storage, signal);
  await storage.create({ signal });
  const key = MasterKey.generate();
  const identity = systemIdentity();
  const keyBytes = await createKeyFile(key, {
    password: options.password,
    engine,
    hostname: options.hostname ?? identity.hostname,
    username: options.username ?? identity.username,
    created: (options.clock ?? systemClock).now(),
    derivation: options.keyDerivation,
  });
  throwIfAborted(signal);
  const keyId = engine.sha256(keyBytes).toString('hex');
  await storage.save({ type: 'key', name: keyId }, keyBytes, { signal });
  const config = newConfig(options.chunkerPolynomial);
  const cipher = new UnitCipher(engine, key);
  try {
    await storage.save(configHandle, cipher.seal(encodeConfig(config)), { signal });
  } catch (error) {
    throw isAppError(error, 'STORAGE_FILE_EXISTS') ? exists(storage) : error;
  }
  return new Repository({ storage, engine, key, cipher, config, keyId });
}

/**
 * Opens a repository of format 1 or 2. REPOSITORY_NOT_FOUND when there is no config, REPOSITORY_PASSWORD_WRONG when no key
 * opens, REPOSITORY_VERSION_UNSUPPORTED, REPOSITORY_DAMAGED.
 */
export async function openRepository(options: OpenRepositoryOptions): Promise<Repository> {
  const { storage, signal } = options;
  const sealed = await loadConfig(storage, signal);
  const { key, keyId, engine } = await findKey(options);
  const cipher = new UnitCipher(engine, key);
  const config: RepositoryConfig = decodeConfig(cipher.open(sealed, 'The config of the repository'));
  const cache = await options.cache?.(config.id);
  const parts = { engine, key, keyId, cipher, config };
  return new Repository({ ...parts, storage: cache?.storage ?? storage, digests: cache?.digests });
}

async function loadConfig(storage: Storage, signal: AbortSignal | undefined): Promise<Uint8Array> {
  try {
    return await storage.load(configHandle, { signal });
  } catch (error) {
    if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
    throw new AppError(
      'REPOSITORY_NOT_FOUND',
      `There is no repository at ${storage.location}: it has no config file.`,
      {
        hint: 'Check the location, or create a repository there.',
        cause: error,
      },
    );
  }
}

async function findKey(
  options: OpenRepositoryOptions,
): Promise<{ readonly key: MasterKey; readonly keyId: string; readonly engine: Engine }> {
  const { storage, password, signal } = options;
  let engine = options.engine;
  // Made while threads derive the first key.
  const getEngine = (): Engine => (engine ??= loadEngine());
  const names = (await Array.fromAsync(storage.list('key', { signal }))).map(({ name }) => name).sort();
  if (names.length === 0)
    throw new AppError('REPOSITORY_DAMAGED', `The repository at ${storage.location} has a config but no key files.`);
  const failures: unknown[] = [];
  for (const name of names.slice(0, maxKeysTried)) {
    throwIfAborted(signal);
    try {
      const key = await openKeyFile(await loadKeyFile(storage, { name, signal }), password, getEngine, name);
      if (key) return { key, keyId: name, engine: getEngine() };
    } catch (error) {
      // Another key may still open; a key that was removed meanwhile is none.
      if (isAppError(error, 'REPOSITORY_DAMAGED')) failures.push(error);
      else if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
    }
  }
  if (failures.length > 0) throw failures[0];
  const tried = names.length > maxKeysTried ? ` with the first ${maxKeysTried} of its ${names.length} keys` : '';
  throw new AppError(
    'REPOSITORY_PASSWORD_WRONG',
    `The password does not open the repository at ${storage.location}${tried}.`,
    { hint: 'Look at the recovery kit for the right password.' },
  );
}

async function refuseExisting(storage: Storage, signal: AbortSignal | undefined): Promise<void> {
  for (const type of ['config', 'key'] as const) {
    for await (const file of storage.list(type, { signal })) {
      void file;
      throw exists(storage);
    }
  }
}

function exists(storage: Storage): AppError {
  return new AppError('REPOSITORY_EXISTS', `There is a repository, or a part of one, at ${storage.location}.`, {
    hint: 'Open it with its password, or choose an empty place.',
  });
}
