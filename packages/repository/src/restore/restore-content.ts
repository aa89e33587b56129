// The second pass of a restore: finds out what existing files hold already, then reads each pack's needed ranges once, in
// the order of first use, and lets the workers write the blobs to their places.

import { unlinkSync } from 'node:fs';
import { AppError, mapConcurrently, messageOf } from '@varve/base';
import { plaintextLength, type BlobLocation } from '../blob-index/blob-index.ts';
import { isSystemError } from '../filesystem/system-error.ts';
import { isDamage, type Repository } from '../repository.ts';
import { ownBytes, type SpareBuffers } from '../threads/spare-buffers.ts';
import type { ThreadPool } from '../threads/thread-pool.ts';
import type { PlannedItem } from './restore-plan.ts';
import type { Placement, RestoreJob, RestoreJobResult, StoredBlob, WrittenFile } from './restore-protocol.ts';

export type RestorePool = ThreadPool<RestoreJob, RestoreJobResult>;

/** Needed blobs with no more than this between them are read in one go. */
const maxGapBytes = 256 * 1024;
const maxRangeBytes = 8 * 1024 * 1024;
const maxComparedBytes = 16 * 1024 * 1024;
const maxComparedFiles = 200;

export interface ContentOptions {
  readonly repository: Repository;
  readonly pool: RestorePool;
  /** Buffers of the ranges that are read. */
  readonly spare: SpareBuffers;
  readonly signal?: AbortSignal | undefined;
  /** Told what became done since the last call: bytes that were written or there already, files that have all of theirs. */
  readonly onDone: (done: { readonly files: number; readonly bytes: number }) => void;
}

interface Work {
  readonly item: PlannedItem;
  readonly lengths: readonly number[];
  isNew: boolean;
  /** Positions of the chunks to write; undefined: all. */
  differing: ReadonlySet<number> | undefined;
  /** Bytes of chunks that are still to be written. */
  left: number;
  isDone: boolean;
}

export interface NeededBlob {
  readonly id: string;
  readonly location: BlobLocation;
  readonly placements: Placement[];
}

export interface Range {
  readonly packId: string;
  readonly offset: number;
  length: number;
  readonly blobs: NeededBlob[];
}

export class ContentRestore {
  /** Files that have their content already. */
  readonly unchanged = new Set<PlannedItem>();
  /** Files that are not complete, with the first reason. */
  readonly failed = new Map<PlannedItem, string>();
  /** Bytes that were written. */
  bytesWritten = 0;
  readonly #options: ContentOptions;
  readonly #work: Work[] = [];

  constructor(options: ContentOptions) {
    this.#options = options;
  }

  /** Writes the contents of files. Damage of single files is in {@link failed}; throws RESTORE_FAILED on a full disk. */
  async run(items: readonly PlannedItem[]): Promise<void> {
    await this.compare(items);
    for (const work of this.#work) this.#clear(work);
    for (const work of this.#work) this.#begin(work);
    const ranges = this.#ranges();
    await mapConcurrently(ranges, this.#options.pool.capacity, (range) => this.#restoreRange(range));
    await this.#options.pool.runOnEach({ kind: 'close' });
  }

  /** Finds out which files have their content already, and which have lost some of it. Changes nothing. */
  async compare(items: readonly PlannedItem[]): Promise<void> {
    for (const item of items) this.#take(item);
    const existing = this.#work.filter(({ item }) => item.compares);
    await this.#compareBatches(existing, (work, { differing, sizeDiffers }) => {
      if (differing.length > 0 || sizeDiffers) {
        work.differing = new Set(differing);
        return;
      }
      work.isDone = true;
      this.unchanged.add(work.item);
      this.#options.onDone({ files: 1, bytes: work.item.node.size });
    });
  }

  /** Compares files with their content and yields those that differ. */
  async verify(items: readonly PlannedItem[]): Promise<PlannedItem[]> {
    const wrong: PlannedItem[] = [];
    const work = items.flatMap((item) => {
      const lengths = this.#lengths(item);
      return lengths ? [{ item, lengths, isNew: false, differing: undefined, left: 0, isDone: false }] : [];
    });
    await this.#compareBatches(work, (compared, result) => {
      if (result.sizeDiffers || result.differing.length > 0) wrong.push(compared.item);
    });
    return wrong;
  }

  #take(item: PlannedItem): void {
    const lengths = this.#lengths(item);
    if (!lengths) return;
    this.#work.push({ item, lengths, isNew: item.isNew, differing: undefined, left: 0, isDone: false });
  }

  #lengths(item: PlannedItem): number[] | undefined {
    const lengths: number[] = [];
    for (const id of item.node.content ?? []) {
      const location = this.#options.repository.index.lookup('data', id);
      if (!location) {
        this.failed.set(item, `the repository lost a part of its content (blob ${id})`);
        return undefined;
      }
      lengths.push(plaintextLength(location));
    }
    return lengths;
  }

  async #compareBatches(
    work: readonly Work[],
    onResult: (work: Work, result: { differing: readonly number[]; sizeDiffers: boolean }) => void,
  ): Promise<void> {
    const { pool, signal } = this.#options;
    await mapConcurrently(batchesOf(work), pool.capacity, async (batch) => {
      signal?.throwIfAborted();
      const result = await pool.run(() => ({
        kind: 'compare',
        files: batch.map(({ item, lengths }) => ({ path: item.path, content: item.node.content ?? [], lengths })),
      }));
      if (result.kind !== 'compare') return;
      for (const [i, compared] of result.files.entries()) {
        const of = batch[i];
        if (of) onResult(of, compared);
      }
    });
  }

  /** A file that is to change but has other names is replaced. */
  #clear(work: Work): void {
    if (work.isDone || !work.item.isShared) return;
    try {
      unlinkSync(work.item.path);
      work.isNew = true;
      work.differing = undefined;
    } catch (error) {
      if (!isSystemError(error)) throw error;
      this.failed.set(work.item, error.message);
      work.isDone = true;
    }
  }

  /** Counts what is to be written; what is there already is done. */
  #begin(work: Work): void {
    if (work.isDone) return;
    const { lengths, differing } = work;
    let there = 0;
    for (const [i, length] of lengths.entries()) {
      if (!differing || differing.has(i)) work.left += length;
      else there += length;
    }
    if (work.left === 0 || there > 0) this.#options.onDone({ files: work.left === 0 ? 1 : 0, bytes: there });
  }

  #ranges(): Range[] {
    const { index } = this.#options.repository;
    const packs = new Map<string, Map<string, NeededBlob>>();
    for (const [file, { item, lengths, differing, isDone }] of this.#work.entries()) {
      if (isDone) continue;
      let offset = 0;
      for (const [i, id] of (item.node.content ?? []).entries()) {
        if (!differing || differing.has(i)) {
          const location = index.lookup('data', id);
          if (!location) throw new AppError('INTERNAL', `Blob ${id} is not in the index any more.`);
          let blobs = packs.get(location.packId);
          if (!blobs) packs.set(location.packId, (blobs = new Map()));
          let blob = blobs.get(id);
          if (!blob) blobs.set(id, (blob = { id, location, placements: [] }));
          blob.placements.push({ file, offset });
        }
        offset += lengths[i] ?? 0;
      }
    }
    return [...packs].flatMap(([packId, blobs]) => toRanges(packId, [...blobs.values()]));
  }

  async #restoreRange(range: Range): Promise<void> {
    const { repository, pool, signal } = this.#options;
    signal?.throwIfAborted();
    const { packId, offset, length } = range;
    const files = this.#writtenFiles(range.blobs);
    const { spare } = this.#options;
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      const buffer = spare.take(length);
      const loaded = await repository.storage.load({ type: 'pack', name: packId }, { offset, length, signal, buffer });
      bytes = ownBytes(loaded, buffer);
    } catch (error) {
      if (!isDamage(error)) throw error;
      for (const blob of range.blobs) await this.#restoreCopy(blob);
      return;
    }
    const blobs = range.blobs.map(({ id, location, placements }): StoredBlob => ({
      id,
      offset: location.offset - offset,
      length: location.length,
      uncompressedLength: location.uncompressedLength,
      placements,
    }));
    const result = await pool.run(() => ({ kind: 'range', packId, bytes, blobs, files }));
    this.#account(result);
    if (result.kind !== 'range') return;
    spare.give(result.buffer);
    const damaged = new Set(result.damaged);
    this.#advance(range.blobs.filter((_, position) => !damaged.has(position)));
    for (const position of damaged) {
      const blob = range.blobs[position];
      if (blob) await this.#restoreCopy(blob);
    }
  }

  /** The stored bytes were bad: any other copy will do. */
  async #restoreCopy(blob: NeededBlob): Promise<void> {
    const { repository, pool, signal } = this.#options;
    try {
      const plaintext = await repository.loadBlob('data', blob.id, { signal });
      const files = this.#writtenFiles([blob]);
      this.#account(await pool.run(() => ({ kind: 'blob', plaintext, placements: blob.placements, files })));
    } catch (error) {
      if (!isDamage(error)) throw error;
      for (const { file } of blob.placements) this.#fail(file, `a part of its content is damaged: ${messageOf(error)}`);
    }
    this.#advance([blob]);
  }

  /** Each placement of a blob is done once, written or not. */
  #advance(blobs: readonly NeededBlob[]): void {
    let files = 0;
    let bytes = 0;
    for (const { location, placements } of blobs) {
      const length = plaintextLength(location);
      bytes += length * placements.length;
      for (const { file } of placements) {
        const work = this.#work[file];
        if (!work) continue;
        work.left -= length;
        if (work.left === 0 && length > 0) files++;
      }
    }
    this.#options.onDone({ files, bytes });
  }

  #writtenFiles(blobs: readonly NeededBlob[]): WrittenFile[] {
    const files = new Map<number, WrittenFile>();
    for (const { placements } of blobs) {
      for (const { file } of placements) {
        const work = this.#work[file];
        if (work && !files.has(file)) files.set(file, { number: file, path: work.item.path, isNew: work.isNew });
      }
    }
    return [...files.values()];
  }

  #account(result: RestoreJobResult): void {
    if (result.kind !== 'range' && result.kind !== 'blob') return;
    for (const { file, message } of result.failures) this.#fail(file, message);
    this.bytesWritten += result.bytesWritten;
  }

  #fail(file: number, message: string): void {
    const item = this.#work[file]?.item;
    if (item && !this.failed.has(item)) this.failed.set(item, message);
  }
}

/** What is read of a pack in one go: needed blobs that lie near each other. */
export function toRanges(packId: string, blobs: NeededBlob[]): Range[] {
  const ranges: Range[] = [];
  let range: Range | undefined;
  for (const blob of blobs.sort((a, b) => a.location.offset - b.location.offset)) {
    const { offset, length } = blob.location;
    const end = offset + length;
    if (!range || offset - (range.offset + range.length) > maxGapBytes || end - range.offset > maxRangeBytes) {
      range = { packId, offset, length, blobs: [] };
      ranges.push(range);
    }
    range.length = end - range.offset;
    range.blobs.push(blob);
  }
  return ranges;
}

function* batchesOf(work: readonly Work[]): Generator<Work[]> {
  let batch: Work[] = [];
  let bytes = 0;
  for (const one of work) {
    if (batch.length >= maxComparedFiles || (batch.length > 0 && bytes + one.item.node.size > maxComparedBytes)) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(one);
    bytes += one.item.node.size;
  }
  if (batch.length > 0) yield batch;
}
