// Which thread stores a new blob: of several that meet the same one, the first to claim it. The table lives in one growable
// SharedArrayBuffer, in segments that double in size, so that it grows under the hands of threads that use it.

import { AppError } from '@varve/base';
import type { BlobType } from '../pack/blob-type.ts';
import type { BlobIndex } from './blob-index.ts';

/** What a worker thread needs to attach; structured-cloneable. */
export interface SharedBlobClaims {
  readonly table: SharedArrayBuffer;
}

// A slot: the tag (0 free, 1 data, 2 tree), then 8 words id.
const slotWords = 9;
const headerWords = 4;
const lockWord = 0;
const segmentsWord = 1;
/** Claims in the newest segment. */
const countWord = 2;
const totalWord = 3;
const firstSegmentSlots = 1 << 15;
/** 32768 × (2^12 - 1) slots: 100 million claims. Only address space is reserved, memory comes with use. */
const mostSegments = 12;
const lockTimeoutMs = 10_000;

export class BlobClaims {
  readonly #index: BlobIndex;
  readonly #table: SharedArrayBuffer;
  readonly #header: Int32Array;
  /** Views of fixed length, made when a segment is first met: reading through a view that tracks growth is slow. */
  readonly #segments: Int32Array[] = [];
  readonly #keyBytes = Buffer.alloc(32);
  readonly #key = new Int32Array(this.#keyBytes.buffer, this.#keyBytes.byteOffset, 8);

  /** Claims beside `index`, which the thread has attached; `shared` is absent in the thread that starts the run. */
  constructor(index: BlobIndex, shared?: SharedBlobClaims) {
    this.#index = index;
    this.#table = shared?.table ?? createTable();
    this.#header = new Int32Array(this.#table, 0, headerWords);
  }

  share(): SharedBlobClaims {
    return { table: this.#table };
  }

  /** Blobs claimed so far. */
  get size(): number {
    return Atomics.load(this.#header, totalWord);
  }

  /**
   * True when the blob is in neither the repository nor another thread's hands: the caller, and only the caller, has to
   * store it. `id` is 32 bytes. Once claimed it counts as stored; a run whose claimant fails has to fail as a whole.
   */
  claim(type: BlobType, id: Uint8Array): boolean {
    if (this.#index.has(type, id)) return false;
    this.#keyBytes.set(id);
    const tag = type === 'tree' ? 2 : 1;
    this.#lock();
    try {
      const newest = this.#roomySegment() - 1;
      for (let number = 0; number < newest; number++) {
        const segment = this.#segment(number);
        if (segment[this.#slot(segment, tag)] !== 0) return false;
      }
      const segment = this.#segment(newest);
      const slot = this.#slot(segment, tag);
      if (segment[slot] !== 0) return false;
      segment[slot] = tag;
      for (let word = 0; word < 8; word++) segment[slot + 1 + word] = this.#key[word]!;
      this.#header[countWord]!++;
      Atomics.add(this.#header, totalWord, 1);
      return true;
    } finally {
      this.#unlock();
    }
  }

  /** The number of segments, after one more was added if the newest is 70 % full. */
  #roomySegment(): number {
    const segments = this.#header[segmentsWord]!;
    if (this.#header[countWord]! < segmentSlots(segments - 1) * 0.7) return segments;
    if (segments === mostSegments) throw new AppError('INTERNAL', `More than ${this.size} new blobs in one run.`);
    this.#table.grow(tableBytes(segments + 1));
    this.#header[countWord] = 0;
    this.#header[segmentsWord] = segments + 1;
    return segments + 1;
  }

  #segment(number: number): Int32Array {
    return (this.#segments[number] ??= new Int32Array(
      this.#table,
      tableBytes(number),
      segmentSlots(number) * slotWords,
    ));
  }

  /** The word where the key is in a segment, or the free slot where it would be. */
  #slot(segment: Int32Array, tag: number): number {
    const key = this.#key;
    const slots = segment.length / slotWords;
    for (let position = (key[0]! ^ tag) & (slots - 1); ; position = (position + 1) & (slots - 1)) {
      const slot = position * slotWords;
      const found = segment[slot];
      if (found === 0) return slot;
      if (found !== tag) continue;
      let equal = 0;
      while (equal < 8 && segment[slot + 1 + equal] === key[equal]) equal++;
      if (equal === 8) return slot;
    }
  }

  #lock(): void {
    while (Atomics.compareExchange(this.#header, lockWord, 0, 1) !== 0) {
      if (Atomics.wait(this.#header, lockWord, 1, lockTimeoutMs) !== 'timed-out') continue;
      throw new AppError('INTERNAL', 'A worker thread died while it held the lock of the blob table.');
    }
  }

  #unlock(): void {
    Atomics.store(this.#header, lockWord, 0);
    Atomics.notify(this.#header, lockWord, 1);
  }
}

function segmentSlots(number: number): number {
  return firstSegmentSlots * 2 ** number;
}

function tableBytes(segments: number): number {
  return (headerWords + firstSegmentSlots * (2 ** segments - 1) * slotWords) * 4;
}

function createTable(): SharedArrayBuffer {
  const table = new SharedArrayBuffer(tableBytes(1), { maxByteLength: tableBytes(mostSegments) });
  new Int32Array(table)[segmentsWord] = 1;
  return table;
}
