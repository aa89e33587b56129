// Saves one sequence of bytes that arrives in pieces: cut in the main thread, hashed, compressed and sealed by the workers,
// with a bounded number of chunks under way.

import { AppError } from '@varve/base';
import { plaintextLength } from '../blob-index/blob-index.ts';
import { minChunkBytes, type Chunker } from '../chunker/chunker.ts';
import { isZeroChunk } from '../chunker/zero-chunk.ts';
import { systemError } from '../filesystem/system-error.ts';
import type { StoredChunk } from './archive-options.ts';
import type { ArchiveRun } from './archive-run.ts';
import type { Counts } from './worker-protocol.ts';

export interface SavedContent {
  readonly content: string[];
  readonly size: number;
}

const readBytes = 1024 * 1024;
/** Pages go to the workers in batches of at least so much. */
const pageBatchBytes = 1024 * 1024;
/** Of one file: their ids stand in one tree, which is one text and has to fit into memory. 2 TiB of zeros, more of data. */
const maxChunks = 2 ** 22;

export interface StreamSaverOptions {
  /** Gets what the chunks cost. */
  readonly counts: Counts;
  /** Above 0: cut every so many bytes. */
  readonly pageChunkBytes?: number | undefined;
}

export class StreamSaver implements Disposable {
  readonly #run: ArchiveRun;
  readonly #counts: Counts;
  readonly #pageChunkBytes: number;
  /** In order; a batch of pages yields several ids. */
  readonly #ids: Promise<string | readonly string[]>[] = [];
  readonly #underWay = new Set<Promise<unknown>>();
  /** Pieces of an input that may turn out to be a single chunk; null once the chunker has taken over, and for pages. */
  #pieces: Uint8Array[] | null = [];
  #batch: { readonly bytes: Uint8Array<ArrayBuffer>; filled: number } | undefined;
  #chunker: Chunker | undefined;
  #size = 0;

  constructor(run: ArchiveRun, { counts, pageChunkBytes = 0 }: StreamSaverOptions) {
    this.#run = run;
    this.#counts = counts;
    this.#pageChunkBytes = pageChunkBytes;
    if (pageChunkBytes > 0) this.#pieces = null;
  }

  /** Takes bytes; they are copied. Resolves when more can be taken. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#size += bytes.length;
    if (this.#pageChunkBytes > 0) {
      await this.#feed(bytes);
      return;
    }
    if (this.#pieces && this.#size <= minChunkBytes) {
      this.#pieces.push(Uint8Array.from(bytes));
      return;
    }
    if (this.#pieces) {
      const pieces = this.#pieces;
      this.#pieces = null;
      for (const piece of pieces) await this.#feed(piece);
    }
    await this.#feed(bytes);
  }

  /** Takes a chunk over that the repository has. REPOSITORY_DAMAGED when it has not; only at the border of a chunk of pages. */
  async writeStored({ id, sizeBytes }: StoredChunk): Promise<void> {
    const filled = this.#batch?.filled ?? 0;
    if (this.#pageChunkBytes === 0 || filled % this.#pageChunkBytes !== 0)
      throw new AppError('INTERNAL', 'A stored chunk was added within another one.');
    const location = this.#run.repository.index.lookup('data', id);
    if (location === undefined || plaintextLength(location) !== sizeBytes) {
      throw new AppError(
        'REPOSITORY_DAMAGED',
        `The data blob ${id} is not in the repository any more, or not as it was.`,
        {
          hint: 'Check the repository.',
        },
      );
    }
    if (filled > 0) await this.#sendBatch();
    this.#assertRoom(1);
    this.#size += sizeBytes;
    this.#ids.push(Promise.resolve(id));
  }

  /**
   * Takes bytes from `read`, which fills a part of the given space from a position and yields how many bytes; 0 is the end.
   * `zerosUntil` tells, for a position, where the zeros that begin there end at least (the position itself: nothing known).
   */
  async writeFrom(source: {
    readonly read: (space: Uint8Array, position: number) => Promise<number>;
    readonly zerosUntil: (position: number) => number;
  }): Promise<void> {
    this.#pieces = null;
    for (;;) {
      if (this.#pageChunkBytes === 0) await this.#skipZeros(source.zerosUntil);
      const count = await source.read(this.#space().subarray(0, readBytes), this.#size);
      if (count === 0) return;
      this.#size += count;
      await this.#filled(count);
    }
  }

  /** The ids of all chunks. Rejects with the first failure to store one. */
  async finish(): Promise<SavedContent> {
    if (this.#batch && this.#batch.filled > 0) await this.#sendBatch();
    else if (this.#pieces) {
      if (this.#size > 0) await this.#send(this.#run.storeData(concat(this.#pieces, this.#size), this.#counts));
    } else if (this.#pageChunkBytes === 0) await this.#store(true);
    return { content: (await Promise.all(this.#ids)).flat(), size: this.#size };
  }

  [Symbol.dispose](): void {
    if (this.#chunker) this.#run.giveChunker(this.#chunker);
    this.#chunker = undefined;
  }

  /** A chunk under way that has zeros only so far ends as the smallest chunk: whole ones of a hole need not be read. */
  async #skipZeros(zerosUntil: (position: number) => number): Promise<void> {
    const chunkStart = this.#size - this.#takeChunker().pendingBytes;
    const count = Math.floor((zerosUntil(chunkStart) - chunkStart) / minChunkBytes);
    if (count < 1) return;
    this.#takeChunker().reset();
    this.#size = chunkStart + count * minChunkBytes;
    const id = this.#run.storeZeroChunk(this.#counts);
    this.#assertRoom(count);
    for (let i = 0; i < count; i++) this.#ids.push(id);
    await id;
  }

  #takeChunker(): Chunker {
    return (this.#chunker ??= this.#run.takeChunker());
  }

  #space(): Uint8Array {
    if (this.#pageChunkBytes === 0) return this.#takeChunker().space();
    const size = Math.max(1, Math.floor(pageBatchBytes / this.#pageChunkBytes)) * this.#pageChunkBytes;
    this.#batch ??= { bytes: new Uint8Array(size), filled: 0 };
    return this.#batch.bytes.subarray(this.#batch.filled);
  }

  async #filled(count: number): Promise<void> {
    if (!this.#batch) {
      this.#takeChunker().filled(count);
      await this.#store(false);
      return;
    }
    this.#batch.filled += count;
    if (this.#batch.filled === this.#batch.bytes.length) await this.#sendBatch();
  }

  async #feed(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) {
      const space = this.#space();
      const part = bytes.subarray(at, at + Math.min(space.length, readBytes));
      space.set(part);
      at += part.length;
      await this.#filled(part.length);
    }
  }

  async #store(atEnd: boolean): Promise<void> {
    const chunker = this.#takeChunker();
    for (let chunk = chunker.next({ atEnd }); chunk; chunk = chunker.next({ atEnd })) {
      const id = isZeroChunk(chunker, chunk)
        ? this.#run.storeZeroChunk(this.#counts)
        : this.#run.storeData(Uint8Array.from(chunk), this.#counts);
      await this.#send(id);
    }
  }

  async #sendBatch(): Promise<void> {
    if (!this.#batch) return;
    const { bytes, filled } = this.#batch;
    this.#batch = undefined;
    const whole = filled === bytes.length ? bytes : bytes.slice(0, filled);
    await this.#send(this.#run.storePages(whole, this.#pageChunkBytes, this.#counts));
  }

  #assertRoom(count: number): void {
    if (this.#ids.length + count <= maxChunks) return;
    throw systemError('EFBIG', 'read', `more than ${maxChunks} chunks`);
  }

  async #send(ids: Promise<string | readonly string[]>): Promise<void> {
    this.#assertRoom(1);
    this.#ids.push(ids);
    this.#underWay.add(ids);
    ids.then(
      () => this.#underWay.delete(ids),
      // Seen again, and thrown, by whoever waits for it below.
      () => {},
    );
    while (this.#underWay.size > this.#run.pool.capacity) await Promise.race(this.#underWay);
  }
}

function concat(pieces: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
