// Copies snapshots from one repository to another, with restic's meaning: blobs are taken over as they were cut, only those that
// the destination lacks, sealed with its key. Written in the order packs, index, snapshots; what an interrupted run has
// stored is used by the next.

import { AppError, throwIfAborted, type OnProgress } from '@varve/base';
import type { BlobType } from '../pack/blob-type.ts';
import type { Compression } from '../pack/pack-builder.ts';
import { isDamage, type Repository } from '../repository.ts';
import { isSameSnapshot } from '../snapshot/similar-snapshots.ts';
import { sortSnapshots, type Snapshot } from '../snapshot/snapshot.ts';
import { DataCopier } from './data-copier.ts';
import { MissingBlobs } from './missing-blobs.ts';

export interface CopyOptions {
  readonly source: Repository;
  readonly destination: Repository;
  /** Of the source; copied in the order of their times. */
  readonly snapshots: readonly Snapshot[];
  /** Reads what would be copied and writes nothing. Default false. */
  readonly dryRun?: boolean | undefined;
  /** For blobs that are not compressed in the source; compressed ones stay as they are. Default `auto`. */
  readonly compression?: Compression | undefined;
  /** Threads that seal anew; chosen by size and machine when absent, 0 for none beside this one. */
  readonly workers?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Packs of data in the source and their bytes; the totals grow as snapshots are looked into. */
  readonly onProgress?: OnProgress | undefined;
  /** Told of each snapshot when its copy is there. */
  readonly onCopied?: ((copied: CopiedSnapshot) => void) | undefined;
}

export interface CopiedSnapshot {
  readonly source: Snapshot;
  /** Null in a dry run. */
  readonly copy: Snapshot | null;
}

export interface SkippedSnapshot {
  readonly source: Snapshot;
  /** What the destination has already. */
  readonly existing: Snapshot;
}

export interface CopyResult {
  readonly copied: readonly CopiedSnapshot[];
  readonly skipped: readonly SkippedSnapshot[];
  readonly dataBlobs: number;
  readonly treeBlobs: number;
  /** What the copied blobs take in the source's packs. */
  readonly bytesRead: number;
  /** Plaintext of the copied blobs; 0 in a dry run. */
  readonly bytesAdded: number;
  /** Packs that were stored; 0 in a dry run. */
  readonly bytesStored: number;
}

/** Snapshots wait for each other until so much was copied or so much time has passed: each flush makes small packs. */
const flushBytes = 256 * 1024 * 1024;
const flushMs = 60_000;
const progressIntervalMs = 100;

/** Which snapshots have to be copied, oldest first, and which are there: the same ones by restic's rule, as copies or originals. */
export function splitSnapshots(
  snapshots: readonly Snapshot[],
  existing: readonly Snapshot[],
): { readonly toCopy: Snapshot[]; readonly skipped: SkippedSnapshot[] } {
  const byOriginal = new Map<string, Snapshot[]>();
  const note = (id: string, snapshot: Snapshot): void => {
    byOriginal.set(id, [...(byOriginal.get(id) ?? []), snapshot]);
  };
  for (const snapshot of existing) {
    note(snapshot.id, snapshot);
    if (snapshot.original !== undefined) note(snapshot.original, snapshot);
  }
  const toCopy: Snapshot[] = [];
  const skipped: SkippedSnapshot[] = [];
  for (const source of sortSnapshots(snapshots)) {
    const candidates = byOriginal.get(source.original ?? source.id) ?? [];
    const same = candidates.find((candidate) => isSameSnapshot(candidate, source));
    if (same) skipped.push({ source, existing: same });
    else toCopy.push(source);
  }
  return { toCopy, skipped };
}

/**
 * Copies what the destination does not have. The caller holds a shared lock on each repository (none on the destination in a dry
 * run), and has listed the snapshots after taking the source's. USAGE_INVALID when both are the same repository,
 * REPOSITORY_VERSION_UNSUPPORTED when the destination has format 1, REPOSITORY_DAMAGED when the source lacks something.
 */
export async function copySnapshots(options: CopyOptions): Promise<CopyResult> {
  const { source, destination, signal } = options;
  if (source.id === destination.id) {
    throw new AppError('USAGE_INVALID', `Source and destination are the same repository, ${source.id.slice(0, 10)}.`, {
      hint: 'Name another repository as the source with --from-repo.',
    });
  }
  destination.assertWritable();
  // Snapshots before the index, in both: then the index is at least as new as they are.
  const { toCopy, skipped } = splitSnapshots(options.snapshots, await destination.listSnapshots({ signal }));
  if (toCopy.length === 0) return { ...nothing, skipped };
  await source.loadIndex({ signal, onProgress: options.onProgress });
  await destination.loadIndex({ signal, onProgress: options.onProgress });
  await using run = new CopyRun(options);
  for (const [number, snapshot] of toCopy.entries()) {
    const label = `snapshot ${snapshot.id.slice(0, 8)} (${number + 1} of ${toCopy.length})`;
    await run.copy(snapshot, label).catch(async (error: unknown) => {
      // Those before it are complete, and the next run would fail here again.
      if (isDamage(error) && !signal?.aborted) await run.commit();
      throw error;
    });
  }
  await run.commit();
  return { ...run.sums(), copied: run.copied, skipped };
}

const nothing: CopyResult = {
  copied: [],
  skipped: [],
  dataBlobs: 0,
  treeBlobs: 0,
  bytesRead: 0,
  bytesAdded: 0,
  bytesStored: 0,
};

class CopyRun implements AsyncDisposable {
  readonly copied: CopiedSnapshot[] = [];
  readonly #options: CopyOptions;
  readonly #copier: DataCopier;
  readonly #missing: MissingBlobs;
  readonly #counts: Record<BlobType, number> = { data: 0, tree: 0 };
  readonly #waiting: Snapshot[] = [];
  #packsDone = 0;
  #packsKnown = 0;
  #bytesDone = 0;
  #bytesKnown = 0;
  #bytesFlushed = 0;
  #flushedMs = performance.now();
  #reportedMs = 0;
  #current = '';

  constructor(options: CopyOptions) {
    const { source, destination, signal, workers, dryRun } = options;
    this.#options = options;
    this.#copier = new DataCopier({
      source,
      destination,
      signal,
      workers,
      compression: options.compression ?? 'auto',
      onRun: ({ storedBytes, isPackDone }) => {
        if (isPackDone) this.#packsDone++;
        this.#did(storedBytes);
      },
    });
    this.#missing = new MissingBlobs({
      source,
      signal,
      claim: (type, id) => this.#copier.claim(type, id),
      onTree: async (id, tree, storedBytes) => {
        this.#counts.tree++;
        this.#bytesKnown += storedBytes;
        if (!dryRun) await this.#copier.addTree(id, tree);
        this.#did(storedBytes);
      },
    });
  }

  async copy(snapshot: Snapshot, label: string): Promise<void> {
    this.#current = label;
    for await (const blobs of this.#missing.below(snapshot.tree)) {
      this.#counts.data += blobs.length;
      const bytes = blobs.reduce((sum, { length }) => sum + length, 0);
      this.#bytesKnown += bytes;
      this.#packsKnown += new Set(blobs.map(({ packId }) => packId)).size;
      if (this.#options.dryRun) this.#did(bytes);
      else await this.#copier.addData(blobs);
    }
    this.#waiting.push(snapshot);
    const isDue = this.#bytesDone - this.#bytesFlushed >= flushBytes || performance.now() - this.#flushedMs >= flushMs;
    if (isDue) await this.commit();
  }

  /** Makes everything durable that was copied so far, then the snapshots that need it. */
  async commit(): Promise<void> {
    const { destination, dryRun, signal, onCopied } = this.#options;
    if (!dryRun) await this.#copier.flush();
    for (const source of this.#waiting.splice(0)) {
      throwIfAborted(signal);
      // A parent means nothing in another repository; the original is what says that this is a copy.
      const { id, parent: _parent, ...fields } = source;
      const next = { ...fields, original: source.original ?? id };
      const copied = { source, copy: dryRun ? null : await destination.saveSnapshot(next, { signal }) };
      this.copied.push(copied);
      onCopied?.(copied);
    }
    this.#bytesFlushed = this.#bytesDone;
    this.#flushedMs = performance.now();
  }

  sums(): Omit<CopyResult, 'copied' | 'skipped'> {
    return {
      dataBlobs: this.#counts.data,
      treeBlobs: this.#counts.tree,
      bytesRead: this.#bytesDone,
      bytesAdded: this.#copier.plaintextBytes,
      bytesStored: this.#copier.bytesStored,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#copier[Symbol.asyncDispose]();
  }

  #did(bytes: number): void {
    this.#bytesDone += bytes;
    const now = performance.now();
    if (now - this.#reportedMs < progressIntervalMs) return;
    this.#reportedMs = now;
    this.#options.onProgress?.({
      filesDone: this.#packsDone,
      filesTotal: this.#packsKnown,
      bytesDone: this.#bytesDone,
      bytesTotal: this.#bytesKnown,
      current: this.#current,
    });
  }
}
