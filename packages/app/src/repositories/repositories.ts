// Makes, connects and describes the repository of this installation. The default one is a local folder in the data
// directory with a generated password.

import { statfs } from 'node:fs/promises';
import { AppError, isAppError, messageOf, type Clock, type Secret } from '@varve/base';
import type { RecoveryKit, RepositoryInfo } from '@varve/contract';
import { createRepository, openRepository } from '@varve/repository';
import { openStorage } from '@varve/storage';
import type { RepositoryRow } from '../catalogue/schema.ts';
import type { ConnectRepository, RepositoryPlace } from '../facade.ts';
import { generatePassword } from '../secrets/generate-secret.ts';
import { absoluteLocation, assertNoPassword } from './location.ts';
import type { RepositoryPool } from './repository-pool.ts';
import { storageOptionsOf, type RepositoryAccess, type RepositoryStore } from './repository-store.ts';

const minPasswordLength = 12;
/** Options of the storage that restic does not have. */
const ownSettings = /^(?:s3\.object-lock-|sftp\.(?:key|known-hosts)$)/;
const damageCodes = ['REPOSITORY_DAMAGED', 'REPOSITORY_VERSION_UNSUPPORTED', 'STORAGE_DAMAGED'] as const;

interface RepositoriesOptions {
  readonly store: RepositoryStore;
  readonly pool: RepositoryPool;
  readonly clock: Clock;
  readonly hostName: string;
  /** Folder of the default repository. */
  readonly defaultLocation: string;
}

export class Repositories {
  readonly #options: RepositoriesOptions;

  constructor(options: RepositoriesOptions) {
    this.#options = options;
  }

  /** The repository in use; makes the default one when there is none. */
  async ensure(): Promise<RepositoryRow> {
    const { store, defaultLocation } = this.#options;
    return (await store.current()) ?? (await this.#create({ location: defaultLocation, password: undefined }));
  }

  /** Connects a repository as the one in use. */
  async connect(options: ConnectRepository): Promise<RepositoryInfo> {
    const location = absoluteLocation(options.location);
    assertNoPassword(location);
    const { store, pool } = this.#options;
    const current = await store.current();
    if (options.create && current && (await store.othersInUse(''))) throw inUse(current);
    const place = { ...storageOptionsOf(options), location };
    const row = options.create
      ? await this.#create({ ...place, password: options.password })
      : await this.#open(place, options.password);
    await store.forgetOthers(row.id);
    await pool.drop(row.id);
    return this.describe(row);
  }

  async #create(wanted: RepositoryPlace & { readonly password: Secret | undefined }): Promise<RepositoryRow> {
    const { store, hostName, clock } = this.#options;
    const { location } = wanted;
    if (wanted.password && wanted.password.reveal().length < minPasswordLength) {
      throw new AppError('SETTINGS_INVALID', `The password has fewer than ${minPasswordLength} characters.`, {
        hint: 'Give a longer one, or none: then a strong one is made, which the recovery kit shows.',
      });
    }
    const interrupted = await store.pending();
    if (interrupted?.location === location) {
      const finished = await this.#finishInterrupted(interrupted);
      if (finished) return finished;
    }
    const access = { ...wanted, password: wanted.password ?? generatePassword() };
    // What cannot be opened is not remembered either.
    const storage = openStorage(location, storageOptionsOf(access));
    await store.setPending(access);
    try {
      await using repository = await createRepository({
        storage,
        password: access.password,
        hostname: hostName,
        clock,
      });
      return await store.save(repository.id, access);
    } finally {
      await storage.close();
    }
  }

  /** A repository that was made just before a crash: opened with the password that was kept. */
  async #finishInterrupted(access: RepositoryAccess): Promise<RepositoryRow | undefined> {
    const storage = openStorage(access.location, storageOptionsOf(access));
    try {
      await using repository = await openRepository({ storage, password: access.password });
      return await this.#options.store.save(repository.id, access);
    } catch (error) {
      // Nothing was made yet, or what is there is somebody else's: the making decides.
      if (isAppError(error, 'REPOSITORY_NOT_FOUND') || isAppError(error, 'REPOSITORY_PASSWORD_WRONG')) return undefined;
      throw error;
    } finally {
      await storage.close();
    }
  }

  async #open(place: RepositoryPlace, password: Secret | undefined): Promise<RepositoryRow> {
    const { store } = this.#options;
    const { location } = place;
    if (password === undefined) {
      throw new AppError('REPOSITORY_PASSWORD_MISSING', `The repository at ${location} needs its password.`, {
        hint: 'It is in the recovery kit.',
      });
    }
    const storage = openStorage(location, storageOptionsOf(place));
    try {
      await using repository = await openRepository({ storage, password });
      repository.assertWritable();
      const current = await store.current();
      if (current && current.id !== repository.id && (await store.othersInUse(repository.id))) throw inUse(current);
      return await store.save(repository.id, { ...place, password });
    } finally {
      await storage.close();
    }
  }

  async describe(row: RepositoryRow): Promise<RepositoryInfo> {
    const problem = await this.#problemOf(row.id);
    return {
      id: row.id,
      name: row.name,
      location: row.location,
      state: problem?.state ?? 'ready',
      problem: problem?.message ?? null,
      freeBytes: await freeBytesOf(row.location),
      recoveryKitConfirmed: row.recovery_kit_confirmed_at !== null,
    };
  }

  async #problemOf(id: string): Promise<{ state: 'unreachable' | 'damaged'; message: string } | undefined> {
    try {
      const repository = await this.#options.pool.get(id);
      // An open handle says nothing about now: the config must still be there.
      await repository.storage.stat({ type: 'config', name: '' });
      return undefined;
    } catch (error) {
      const isDamaged = damageCodes.some((code) => isAppError(error, code));
      return { state: isDamaged ? 'damaged' : 'unreachable', message: messageOf(error) };
    }
  }

  /** All that plain restic needs. */
  async recoveryKit(): Promise<RecoveryKit> {
    const row = await this.#options.store.require();
    const { location, password, settings = {} } = await this.#options.store.access(row.id);
    const known = Object.entries(settings).filter(([name]) => !ownSettings.test(name));
    const options = known.map(([name, value]) => ` -o ${shellWord(`${name}=${value}`)}`).join('');
    const repository = `restic -r ${shellWord(location)}${options}`;
    return {
      location,
      password: password.reveal(),
      repositoryId: row.id,
      commands: [
        `${repository} snapshots`,
        `${repository} check --read-data`,
        `${repository} restore latest --tag app:APP --target /restored`,
      ],
    };
  }
}

/** One word for a POSIX shell. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** Free space for a local repository; null for others and for a folder that is not there. */
async function freeBytesOf(location: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(location);
    return bavail * bsize;
  } catch {
    return null;
  }
}

function inUse(current: RepositoryRow): AppError {
  return new AppError('REPOSITORY_EXISTS', `Apps of this installation save to the repository at ${current.location}.`, {
    hint: 'Remove those apps first (their snapshots stay), or use another data directory.',
    context: { repositoryId: current.id },
  });
}
