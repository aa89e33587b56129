// Takes finished packs to the storage and notes them in index files: packs first, then the index, as the rules for crashes
// demand. At most `storage.connections` packs are under way; who hands in more has to wait.

import { AppError, systemClock, throwIfAborted, type Clock } from '@varve/base';
import { maxBlobsPerIndexFile, type PackListing } from '../blob-index/index-file.ts';
import type { Repository } from '../repository.ts';
import type { FinishedPack } from './pack-builder.ts';
import { holdsTrees, walkHeader } from './pack-header.ts';

/** An index file is written after this time at the latest, so that an interrupted backup leaves packs that can be used. */
const maxIndexAgeMs = 10 * 60 * 1000;

export interface PackUploaderOptions {
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  /** Packs on their way at once; `storage.connections` when absent. */
  readonly concurrency?: number | undefined;
  /** Called when a pack is durable; its buffer can be used again. */
  readonly onStored?: ((pack: FinishedPack) => void) | undefined;
}

export class PackUploader {
  readonly #repository: Repository;
  readonly #options: PackUploaderOptions;
  readonly #clock: Clock;
  readonly #concurrency: number;
  readonly #running = new Set<Promise<void>>();
  #listings: PackListing[] = [];
  #listedBlobs = 0;
  #oldestListingMs = 0;
  #indexWrite: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | null = null;
  #packs = 0;
  #bytes = 0;

  /** REPOSITORY_VERSION_UNSUPPORTED for a repository of format 1. */
  constructor(repository: Repository, options: PackUploaderOptions = {}) {
    repository.assertWritable();
    this.#repository = repository;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#concurrency = Math.max(1, options.concurrency ?? repository.storage.connections);
  }

  /** Packs that are durable. */
  get packsStored(): number {
    return this.#packs;
  }

  /** Bytes of the packs that are durable. */
  get bytesStored(): number {
    return this.#bytes;
  }

  /**
   * Hands in a pack; resolves when it is under way, which is when the next one can be handed in. Rejects with the first
   * failure of any pack before it; after that nothing more is stored.
   */
  async add(pack: FinishedPack): Promise<void> {
    while (this.#running.size >= this.#concurrency) await Promise.race(this.#running);
    this.#throwFailure();
    throwIfAborted(this.#options.signal);
    const run = this.#store(pack)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#running.delete(run));
    this.#running.add(run);
  }

  /** Resolves when every pack is durable and listed in a durable index file. Rejects with the first failure. */
  async flush(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
    this.#throwFailure();
    this.#startIndexFile();
    await this.#indexWrite;
    this.#throwFailure();
  }

  /** Waits until nothing is under way any more, whatever became of it. What was stored stays, unreferenced. */
  async settle(): Promise<void> {
    this.#failure ??= { error: new AppError('CANCELLED', 'The upload was ended.') };
    while (this.#running.size > 0) await Promise.all(this.#running);
    await this.#indexWrite;
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  async #store(pack: FinishedPack): Promise<void> {
    const { signal, onStored } = this.#options;
    const rarelyRead = !holdsTrees(pack.header);
    await this.#repository.storage.save({ type: 'pack', name: pack.id }, pack.bytes, { signal, rarelyRead });
    this.#packs++;
    this.#bytes += pack.bytes.length;
    this.#repository.index.addPack(pack.id, pack.header);
    onStored?.(pack);
    this.#list({ packId: pack.id, header: pack.header });
  }

  #list(listing: PackListing): void {
    const now = this.#clock.now().getTime();
    if (this.#listings.length === 0) this.#oldestListingMs = now;
    this.#listings.push(listing);
    walkHeader(listing.header, () => this.#listedBlobs++);
    if (this.#listedBlobs >= maxBlobsPerIndexFile || now - this.#oldestListingMs >= maxIndexAgeMs)
      this.#startIndexFile();
  }

  /** Index files are written one after the other, beside the packs. */
  #startIndexFile(): void {
    const listings = this.#listings;
    this.#listings = [];
    this.#listedBlobs = 0;
    if (listings.length === 0) return;
    const { signal } = this.#options;
    this.#indexWrite = this.#indexWrite.then(async () => {
      if (this.#failure) return;
      await this.#repository.saveIndexFile(listings, { signal }).catch((error: unknown) => {
        this.#failure ??= { error };
      });
    });
  }
}
