// Repacks: copies the blobs that are used out of packs that leave into new packs, and lists these in index files as it goes.
// Only adds to the repository, so others may read and write meanwhile, and what is done stays done when it is interrupted.

import { availableParallelism } from 'node:os';
import { isAppError, mapConcurrently, throwIfAborted, type OnProgress } from '@varve/base';
import { joinParts } from '../pack/join-parts.ts';
import type { PackedBlob } from '../pack/blob-type.ts';
import type { FinishedPack, PackPart } from '../pack/pack-builder.ts';
import { PackUploader } from '../pack/pack-uploader.ts';
import { isDamage, type Repository } from '../repository.ts';
import { ThreadPool } from '../threads/thread-pool.ts';
import { loadAnyCopy, runsOf, type BlobRun } from '../tree/walk-trees.ts';
import { BlobCopier, type CopyJob } from './blob-copier.ts';
import type { RepackEvent, RepackSetup } from './repack-worker.ts';
import type { UsedBlobs } from './used-blobs.ts';

/** Blobs closer than the first are read with one call, up to the second size. */
const runLimits = { mostGapBytes: 256 * 1024, mostRunBytes: 8 * 1024 * 1024 };
/** Less is copied faster than threads start. */
const threadsFromBytes = 64 * 1024 * 1024;
const mostThreads = 4;
/** Packs that may wait for the storage beside those under way. */
const mostWaitingPacks = 2;
/** An interrupted run loses no more than the work of this time. */
const indexAgeMs = 60_000;

export interface RepackOptions {
  readonly repository: Repository;
  readonly used: UsedBlobs;
  /** Entries of the index to copy; see {@link entriesToCopy}. */
  readonly entries: number[];
  readonly compressesData: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Threads beside this one; by size and machine when absent. */
  readonly workers?: number | undefined;
}

export interface RepackResult {
  readonly packs: number;
  readonly bytes: number;
  /** The storage was full: what was stored without an index file is of no use. */
  readonly isStorageFull: boolean;
}

/** For each used blob that is in no pack that stays, its entry in a pack to repack. */
export function entriesToCopy(
  used: UsedBlobs,
  isLeaving: (pack: number) => boolean,
  isRepacked: (pack: number) => boolean,
): number[] {
  const { index } = used;
  used.clearSafe();
  for (let entry = 0; entry < index.size; entry++) if (!isLeaving(index.packOf(entry))) used.markSafe(entry);
  const entries: number[] = [];
  for (let entry = 0; entry < index.size; entry++) {
    if (!isRepacked(index.packOf(entry)) || !used.isUsed(entry) || used.isSafe(entry)) continue;
    used.markSafe(entry);
    entries.push(entry);
  }
  return entries;
}

/** REPOSITORY_DAMAGED when no copy of a blob is good. A full storage is a result, for removing may free it. */
export async function repack(options: RepackOptions): Promise<RepackResult> {
  const work = new Repack(options);
  try {
    await work.run();
    return work.result({ isStorageFull: false });
  } catch (error) {
    if (!isAppError(error, 'STORAGE_FULL')) throw error;
    return work.result({ isStorageFull: true });
  } finally {
    await work.close();
  }
}

class Repack {
  readonly #options: RepackOptions;
  readonly #uploader: PackUploader;
  readonly #uploads = new Set<Promise<void>>();
  readonly #parts: PackPart[] = [];
  readonly #copier: BlobCopier;
  readonly #pool: ThreadPool<CopyJob | null, PackedBlob[], RepackEvent> | null;
  readonly #bytesTotal: number;
  #blobsDone = 0;
  #bytesDone = 0;
  #failure: { readonly error: unknown } | null = null;

  constructor(options: RepackOptions) {
    this.#options = options;
    const { repository, used, entries, compressesData, signal } = options;
    const { engine, key } = repository;
    this.#bytesTotal = entries.reduce((sum, entry) => sum + used.index.lengthAt(entry), 0);
    this.#uploader = new PackUploader(repository, { signal, indexAgeMs });
    const onPack = (pack: FinishedPack): void => this.#upload(pack);
    const onPart = (part: PackPart): void => void this.#parts.push(part);
    this.#copier = new BlobCopier({ engine, key, compressesData, onPack, onPart });
    const most = this.#bytesTotal < threadsFromBytes ? 0 : Math.min(mostThreads, availableParallelism());
    const threads = options.workers ?? most;
    const setup: RepackSetup = { key: key.reveal(), compressesData };
    const file = new URL('./repack-worker.ts', import.meta.url);
    const onEvent = (event: RepackEvent): void => (event.kind === 'pack' ? onPack(event.pack) : onPart(event.part));
    this.#pool = threads === 0 ? null : new ThreadPool({ file, setup, threads, transfer, onEvent });
  }

  async run(): Promise<void> {
    const { used, entries, repository, signal } = this.#options;
    const runs = runsOf(used.index, entries, runLimits);
    const atOnce = this.#pool ? this.#pool.capacity : 2;
    await mapConcurrently(runs, atOnce, (run) => this.#copyRun(run));
    await this.#pool?.runOnEach(null);
    this.#copier.flush();
    for (const pack of joinParts(this.#parts, repository)) {
      await this.#room();
      this.#upload(pack);
    }
    while (this.#uploads.size > 0) await Promise.all(this.#uploads);
    this.#throwFailure();
    await this.#uploader.flush();
    throwIfAborted(signal);
  }

  result({ isStorageFull }: { readonly isStorageFull: boolean }): RepackResult {
    return { packs: this.#uploader.packsStored, bytes: this.#uploader.bytesStored, isStorageFull };
  }

  async close(): Promise<void> {
    await this.#pool?.close();
    await Promise.allSettled(this.#uploads);
    await this.#uploader.settle();
  }

  async #copyRun(run: BlobRun): Promise<void> {
    const { repository, used, signal, onProgress } = this.#options;
    await this.#room();
    throwIfAborted(signal);
    const blobs = run.entries.map((entry) => used.index.blobAt(entry));
    const prepare = async (): Promise<CopyJob> => {
      const { packId, offset, length } = run;
      const range = { offset, length, signal };
      const bytes = await repository.storage.load({ type: 'pack', name: packId }, range).catch((error: unknown) => {
        if (isDamage(error)) return new Uint8Array();
        throw error;
      });
      return { packId, offset, bytes, blobs };
    };
    const damaged = this.#pool ? await this.#pool.run(prepare) : this.#copier.copy(await prepare());
    for (const { type, id } of damaged) {
      // Read once more, and from other packs: throws when there is no good copy.
      this.#copier.add({ type, id }, await loadAnyCopy(repository, used.index, { type, id, signal }));
    }
    this.#blobsDone += blobs.length;
    this.#bytesDone += blobs.reduce((sum, { length }) => sum + length, 0);
    onProgress?.({
      filesDone: this.#blobsDone,
      filesTotal: this.#options.entries.length,
      bytesDone: this.#bytesDone,
      bytesTotal: this.#bytesTotal,
      current: `pack ${run.packId.slice(0, 8)}`,
    });
  }

  /** Waits until the storage has taken most packs. */
  async #room(): Promise<void> {
    while (this.#uploads.size > mostWaitingPacks) await Promise.race(this.#uploads);
    this.#throwFailure();
  }

  #upload(pack: FinishedPack): void {
    const upload = this.#uploader
      .add(pack)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#uploads.delete(upload));
    this.#uploads.add(upload);
  }

  #throwFailure(): void {
    if (this.#failure) throw this.#failure.error;
  }
}

function transfer(job: CopyJob | null): ArrayBuffer[] {
  const { buffer, byteLength } = job?.bytes ?? {};
  return buffer instanceof ArrayBuffer && buffer.byteLength === byteLength && byteLength > 0 ? [buffer] : [];
}
