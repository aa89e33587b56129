// Rebuilds the index from the packs: lists what no index file lists, forgets packs that are gone, replaces index files that cannot
// be read. Reads only the headers of packs that the index does not know or whose size is another one, unless told to read all.

import { isAppError, mapConcurrently, messageOf, throwIfAborted, type OnProgress } from '@varve/base';
import { BlobIndex } from '../blob-index/blob-index.ts';
import { duplicateListings, scanIndexFiles, type IndexScan } from '../blob-index/index-scan.ts';
import type { PackedBlob } from '../pack/blob-type.ts';
import { parseHeader } from '../pack/pack-header.ts';
import { readPackHeader } from '../pack/pack-reader.ts';
import { expectedPack } from '../pack/pack-size.ts';
import { isDamage, type CallOptions, type Repository } from '../repository.ts';
import { changedIndex, obsoleteIndexFiles, rewriteIndexFiles, type IndexChange } from './rewrite-index.ts';

export interface IndexRepairOptions extends CallOptions {
  /** Trusts no index file: reads the header of every pack. */
  readonly readAllPacks?: boolean | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** What a repair of the index would do; plain data. */
export interface IndexRepairPlan {
  /** Index files that cannot be read. */
  readonly damagedFiles: readonly { readonly name: string; readonly reason: string }[];
  /** Packs that are stored and that no index file lists. */
  readonly addedPacks: readonly string[];
  /** Packs that hold other blobs than the index says. */
  readonly changedPacks: readonly string[];
  /** Packs that the index lists and that are gone: what they held is lost unless it is stored elsewhere too. */
  readonly missingPacks: readonly string[];
  /** Packs that several index files list. */
  readonly duplicatePacks: readonly string[];
  /**
   * Packs whose header cannot be read. What the index says of one is kept as far as the file reaches: `planPackRepair` salvages
   * it. One that no index file lists stays unlisted.
   */
  readonly unreadablePacks: readonly { readonly packId: string; readonly reason: string }[];
  /** Index files that are replaced. */
  readonly obsoleteFiles: readonly string[];
  /** Whether the index is not as it should be: else a run changes nothing. */
  readonly isNeeded: boolean;
  readonly packsRead: number;
  readonly packs: number;
}

export interface IndexRepairResult {
  readonly filesWritten: number;
  readonly filesRemoved: number;
}

export interface IndexRepair {
  readonly plan: IndexRepairPlan;
  /** What the index says after the repair. */
  repairedIndex(): BlobIndex;
  /** Carries the plan out. Can be repeated after an interruption: plan again. */
  run(options?: CallOptions): Promise<IndexRepairResult>;
}

const headersAtOnce = 8;

/**
 * Finds out what is wrong with the index. The caller holds an exclusive lock from before the plan until after the run; for the
 * plan alone a shared one is enough.
 */
export async function planIndexRepair(repository: Repository, options: IndexRepairOptions = {}): Promise<IndexRepair> {
  const { signal, readAllPacks = false } = options;
  const scan = await scanIndexFiles(repository, signal);
  const stored = new Map<string, number>();
  for await (const { name, sizeBytes } of repository.storage.list('pack', { signal })) stored.set(name, sizeBytes);
  const missing = await missingPacks(repository, { scan, stored, signal });
  const rebuild = new IndexRebuild(repository, options);
  for (const { packId, blobs } of scan.index.packs()) {
    const sizeBytes = stored.get(packId);
    if (sizeBytes === undefined) continue;
    const expected = expectedPack(blobs);
    const isPlausible = expected.sizeBytes === sizeBytes && expected.isContiguous;
    if (readAllPacks || !isPlausible) rebuild.readLater(packId, { sizeBytes, listed: true });
  }
  for (const [packId, sizeBytes] of stored) {
    if (!scan.index.hasPack(packId)) rebuild.readLater(packId, { sizeBytes, listed: false });
  }
  await rebuild.readHeaders(scan.index);
  const change: IndexChange = { scan, fresh: rebuild.fresh, dropped: new Set(missing) };
  const obsoleteFiles = obsoleteIndexFiles(change);
  const plan: IndexRepairPlan = {
    damagedFiles: scan.damaged,
    addedPacks: rebuild.added.sort(),
    changedPacks: rebuild.changed.sort(),
    missingPacks: missing,
    duplicatePacks: [...duplicateListings(scan).keys()].sort(),
    unreadablePacks: rebuild.unreadable,
    obsoleteFiles,
    isNeeded: obsoleteFiles.length > 0 || change.fresh.packCount > 0,
    packsRead: rebuild.packsRead,
    packs: stored.size,
  };
  return {
    plan,
    repairedIndex: () => changedIndex(change),
    run: async (runOptions = {}) => {
      repository.assertWritable();
      return rewriteIndexFiles(repository, change, runOptions);
    },
  };
}

/** Asked for one by one before they count as gone: lists of some storages lag behind. */
async function missingPacks(
  repository: Repository,
  state: {
    readonly scan: IndexScan;
    readonly stored: Map<string, number>;
    readonly signal: AbortSignal | undefined;
  },
): Promise<string[]> {
  const { scan, stored, signal } = state;
  const missing: string[] = [];
  const unlisted = new Set([...scan.files.values()].flat().filter((packId) => !stored.has(packId)));
  await mapConcurrently(unlisted, headersAtOnce, async (packId) => {
    try {
      const { sizeBytes } = await repository.storage.stat({ type: 'pack', name: packId }, { signal });
      stored.set(packId, sizeBytes);
    } catch (error) {
      if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
      missing.push(packId);
    }
  });
  return missing.sort();
}

class IndexRebuild {
  /** Listings that differ from those of the index files. */
  readonly fresh = new BlobIndex();
  readonly added: string[] = [];
  readonly changed: string[] = [];
  readonly unreadable: { packId: string; reason: string }[] = [];
  packsRead = 0;
  readonly #repository: Repository;
  readonly #options: IndexRepairOptions;
  readonly #toRead = new Map<string, { readonly sizeBytes: number; readonly listed: boolean }>();

  constructor(repository: Repository, options: IndexRepairOptions) {
    this.#repository = repository;
    this.#options = options;
  }

  readLater(packId: string, pack: { readonly sizeBytes: number; readonly listed: boolean }): void {
    this.#toRead.set(packId, pack);
  }

  /** `known` is what the index files say. */
  async readHeaders(known: BlobIndex): Promise<void> {
    const toRead = this.#toRead;
    const listed = known.packs().filter(({ packId }) => toRead.get(packId)?.listed);
    await mapConcurrently(listed, headersAtOnce, ({ packId, blobs }) => this.#read(packId, blobs));
    const unlisted = toRead.entries().filter(([, pack]) => !pack.listed);
    await mapConcurrently(unlisted, headersAtOnce, ([packId]) => this.#read(packId, null));
  }

  async #read(packId: string, known: readonly PackedBlob[] | null): Promise<void> {
    const { signal, onProgress } = this.#options;
    throwIfAborted(signal);
    const { storage, cipher } = this.#repository;
    const sizeBytes = this.#toRead.get(packId)?.sizeBytes ?? 0;
    try {
      const blobs = parseHeader(await readPackHeader(storage, { cipher, packId, sizeBytes, signal }));
      if (known === null) this.added.push(packId);
      else if (!areSame(known, blobs)) this.changed.push(packId);
      if (known === null || !areSame(known, blobs)) this.fresh.addBlobs(packId, blobs);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.unreadable.push({ packId, reason: messageOf(error) });
      // What lies beyond the end of the file must not count as stored, or the next backup would rely on it.
      const within = known?.filter(({ offset, length }) => offset + length <= sizeBytes) ?? [];
      if (known !== null && within.length < known.length) this.fresh.addBlobs(packId, within);
    }
    this.packsRead++;
    const { size } = this.#toRead;
    onProgress?.({ filesDone: this.packsRead, filesTotal: size, bytesDone: 0, current: `pack ${packId.slice(0, 8)}` });
  }
}

/** Both are ordered by offset. */
function areSame(a: readonly PackedBlob[], b: readonly PackedBlob[]): boolean {
  const text = (blobs: readonly PackedBlob[]): string =>
    blobs
      .map(
        ({ type, id, offset, length, uncompressedLength }) => `${type} ${id} ${offset} ${length} ${uncompressedLength}`,
      )
      .join();
  return a.length === b.length && text(a) === text(b);
}
