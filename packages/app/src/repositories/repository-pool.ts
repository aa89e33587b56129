// Open repositories, shared by everything in this process: opening costs a key derivation and the index, so it is done once.

import type { Logger } from '@varve/base';
import { openRepository, type Repository } from '@varve/repository';
import { openStorage, type Storage } from '@varve/storage';
import { storageOptionsOf, type RepositoryStore } from './repository-store.ts';

interface OpenEntry {
  readonly repository: Repository;
  readonly storage: Storage;
}

export class RepositoryPool implements AsyncDisposable {
  readonly #store: RepositoryStore;
  readonly #logger: Logger;
  readonly #open = new Map<string, Promise<OpenEntry>>();

  constructor(options: { readonly store: RepositoryStore; readonly logger: Logger }) {
    this.#store = options.store;
    this.#logger = options.logger;
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
    const { password, ...place } = await this.#store.access(repositoryId);
    const storage = openStorage(place.location, storageOptionsOf(place));
    try {
      const repository = await openRepository({ storage, password });
      this.#logger.info('repository opened', { repositoryId, location: storage.location });
      return { repository, storage };
    } catch (error) {
      await storage.close();
      throw error;
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
