// Open repositories, shared by everything in this process: opening costs a key derivation and the index, so it is done once.

import { messageOf, type Clock, type Logger } from '@varve/base';
import { openRepository, type Repository, type RepositoryCache } from '@varve/repository';
import { openCache, openStorage, type Storage } from '@varve/storage';
import { storageOptionsOf, type RepositoryStore } from './repository-store.ts';

interface OpenEntry {
  readonly repository: Repository;
  readonly storage: Storage;
}

interface RepositoryPoolOptions {
  readonly store: RepositoryStore;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Where index files, snapshots and trees of repositories are kept. */
  readonly cacheFolder: string;
}

export class RepositoryPool implements AsyncDisposable {
  readonly #options: RepositoryPoolOptions;
  readonly #open = new Map<string, Promise<OpenEntry>>();

  constructor(options: RepositoryPoolOptions) {
    this.#options = options;
  }

  /** The open repository; one that could not be opened is tried again at the next call. Never dispose it: the pool does. */
  async get(repositoryId: string): Promise<Repository> {
    let entry = this.#open.get(repositoryId);
    if (!entry) {
      entry = this.#openNow(repositoryId);
      this.#open.set(repositoryId, entry);
      entry.catch(() => this.#open.delete(repositoryId));
    }
    return (await entry).repository;
  }

  async #openNow(repositoryId: string): Promise<OpenEntry> {
    const { store, logger } = this.#options;
    const { password, ...place } = await store.access(repositoryId);
    const storage = openStorage(place.location, storageOptionsOf(place));
    try {
      const cache = (id: string): Promise<RepositoryCache | null> => this.#openCache(id, storage);
      const repository = await openRepository({ storage, password, cache });
      logger.info('repository opened', { repositoryId, location: storage.location });
      return { repository, storage };
    } catch (error) {
      await storage.close();
      throw error;
    }
  }

  /** A cache that cannot be used costs time and nothing else. */
  async #openCache(repositoryId: string, storage: Storage): Promise<RepositoryCache | null> {
    const { cacheFolder, clock, logger } = this.#options;
    try {
      return await openCache({ storage, root: cacheFolder, repositoryId, clock });
    } catch (error) {
      logger.warn('working without a cache', { repositoryId, reason: messageOf(error) });
      return null;
    }
  }

  /** Closes one, so that the next call opens it with what is known then. */
  async drop(repositoryId: string): Promise<void> {
    const entry = this.#open.get(repositoryId);
    this.#open.delete(repositoryId);
    if (entry) await close(entry);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const entries = [...this.#open.values()];
    this.#open.clear();
    await Promise.all(entries.map(close));
  }
}

async function close(entry: Promise<OpenEntry>): Promise<void> {
  const open = await entry.catch(() => undefined);
  if (!open) return;
  await open.repository[Symbol.asyncDispose]();
  await open.storage.close();
}
