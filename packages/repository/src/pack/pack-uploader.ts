// Takes finished packs to the storage and notes them in index files: packs first, then the index, as the rules for crashes
// demand. At most `storage.connections` packs are under way; who hands in more has to wait. The repository's own index learns
// of a pack together with the index files: a pack of a run that failed must never count as stored in a later one.

import { AppError, systemClock, throwIfAborted, type Clock } from '@varve/base';
import { maxBlobsPerIndexFile, type PackListing } from '../blob-index/index-file.ts';
import type { Repository } from '../repository.ts';
import type { FinishedPack } from './pack-builder.ts';
import { holdsTrees, walkHeader } from './pack-header.ts';

/**
 * An index file is written when the oldest pack that is in none has waited for a tenth of the run so far, within these
 * limits. A run that is killed so loses at most a tenth of its work, and a long one does not litter the repository with
 * index files, which every reader has to fetch. restic waits for 10 minutes always.
 */
const minIndexAgeMs = 60 * 1000;
const maxIndexAgeMs = 10 * 60 * 1000;
const indexAgeShare = 0.1;
/** How long the packs of a run that ends early may take to be noted in an index file. */
const lastIndexTimeoutMs = 10_000;

export interface PackUploaderOptions {
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  /** How long stored packs may be in no index file; a tenth of the run so far, from one to ten minutes, when absent. */
  readonly indexAgeMs?: number | undefined;
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
  readonly #startedMs: number;
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
    this.#startedMs = this.#clock.now().getTime();
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

  /**
   * Waits until nothing is under way any more, whatever became of it. What was stored stays, for a later run or prune. With
   * `writesIndex` it is noted in a last index file, also after an abort, if that is possible within seconds; never do that
   * when the lock was lost: a prune may have removed the packs.
   */
  async settle({ writesIndex = false }: { readonly writesIndex?: boolean } = {}): Promise<void> {
    this.#failure ??= { error: new AppError('CANCELLED', 'The upload was ended.') };
    while (this.#running.size > 0) await Promise.all(this.#running);
    await this.#indexWrite;
    const listings = this.#takeListings();
    if (listings.length === 0 || !writesIndex) return;
    try {
      await this.#repository.saveIndexFile(listings, { signal: AbortSignal.timeout(lastIndexTimeoutMs) });
    } catch {
      // A storage that failed may fail again: then the packs are what a killed run would have left.
    }
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }

  async #store(pack: FinishedPack): Promise<void> {
    const { signal, onStored } = this.#options;
    const isTree = holdsTrees(pack.header);
    const options = { signal, keep: isTree, rarelyRead: !isTree };
    await this.#repository.storage.save({ type: 'pack', name: pack.id }, pack.bytes, options);
    this.#packs++;
    this.#bytes += pack.bytes.length;
    onStored?.(pack);
    this.#list({ packId: pack.id, header: pack.header });
  }

  #list(listing: PackListing): void {
    const now = this.#clock.now().getTime();
    if (this.#listings.length === 0) this.#oldestListingMs = now;
    this.#listings.push(listing);
    walkHeader(listing.header, () => this.#listedBlobs++);
    const share = (now - this.#startedMs) * indexAgeShare;
    const maxAgeMs = this.#options.indexAgeMs ?? Math.min(maxIndexAgeMs, Math.max(minIndexAgeMs, share));
    if (this.#listedBlobs >= maxBlobsPerIndexFile || now - this.#oldestListingMs >= maxAgeMs) this.#startIndexFile();
  }

  /** Index files are written one after the other, beside the packs. */
  #startIndexFile(): void {
    const listings = this.#takeListings();
    if (listings.length === 0) return;
    this.#indexWrite = this.#indexWrite.then(async () => {
      try {
        this.#throwFailure();
        await this.#repository.saveIndexFile(listings, { signal: this.#options.signal });
      } catch (error) {
        this.#failure ??= { error };
        this.#listings.unshift(...listings);
      }
    });
  }

  #takeListings(): PackListing[] {
    const listings = this.#listings;
    this.#listings = [];
    this.#listedBlobs = 0;
    return listings;
  }
}
