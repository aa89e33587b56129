// Where every blob of a repository is: an open-addressing table in SharedArrayBuffers, about 60 bytes a blob, that worker
// threads attach to and read while the main thread adds to it. One writer; entries are only ever added. A blob may be in several
// packs: each copy is an entry of its own. A reader that attached before the table grew keeps a valid, older view.

import { AppError } from '@varve/base';
import { isHexId, type BlobType, type PackedBlob } from '../pack/blob-type.ts';
import { walkHeader } from '../pack/pack-header.ts';

/** A stored copy of a blob. */
export interface BlobLocation {
  readonly packId: string;
  readonly offset: number;
  /** Stored bytes, the 32 of the encryption unit included. */
  readonly length: number;
  /** Plaintext bytes of a compressed blob; 0 when it is not compressed. */
  readonly uncompressedLength: number;
}

/** The blobs of a pack as the index knows them, by offset. */
export interface IndexedPack {
  readonly packId: string;
  readonly blobs: readonly PackedBlob[];
}

/** What a worker thread needs to attach; structured-cloneable. */
export interface SharedBlobIndex {
  readonly entries: SharedArrayBuffer;
  readonly slots: SharedArrayBuffer;
  readonly packs: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
}

// An entry: 8 words id, pack number with the type in the highest bit, offset, length, uncompressed length.
const entryWords = 12;
const packWord = 8;
const offsetWord = 9;
const lengthWord = 10;
const uncompressedWord = 11;
const treeBit = 0x80000000;
const packIdWords = 8;
const entryCounter = 0;
const packCounter = 1;
const firstEntries = 4096;

/** Plaintext bytes of a stored blob. */
export function plaintextLength(location: Pick<BlobLocation, 'length' | 'uncompressedLength'>): number {
  return location.uncompressedLength === 0 ? location.length - 32 : location.uncompressedLength;
}

export class BlobIndex {
  #entries: Uint32Array;
  /** Entry number + 1; 0 is free. Twice as many as entries, a power of two. */
  #slots: Int32Array;
  #packs: Uint32Array;
  readonly #counters: Int32Array;
  /** Null in an attached, read-only index. */
  readonly #packNumbers: Map<string, number> | null;
  readonly #packIds: string[] = [];
  readonly #keyBytes = Buffer.alloc(32);
  readonly #key = new Uint32Array(this.#keyBytes.buffer, this.#keyBytes.byteOffset, 8);

  constructor(shared?: SharedBlobIndex) {
    this.#entries = new Uint32Array(shared?.entries ?? new SharedArrayBuffer(firstEntries * entryWords * 4));
    this.#slots = new Int32Array(shared?.slots ?? new SharedArrayBuffer(firstEntries * 2 * 4));
    this.#packs = new Uint32Array(shared?.packs ?? new SharedArrayBuffer(256 * packIdWords * 4));
    this.#counters = new Int32Array(shared?.counters ?? new SharedArrayBuffer(8));
    this.#packNumbers = shared ? null : new Map();
  }

  /** A read-only index of a worker thread. */
  static attach(shared: SharedBlobIndex): BlobIndex {
    return new BlobIndex(shared);
  }

  /** What {@link BlobIndex.attach} takes. Entries added later are seen as long as the table does not have to grow. */
  share(): SharedBlobIndex {
    return {
      entries: this.#entries.buffer as SharedArrayBuffer,
      slots: this.#slots.buffer as SharedArrayBuffer,
      packs: this.#packs.buffer as SharedArrayBuffer,
      counters: this.#counters.buffer as SharedArrayBuffer,
    };
  }

  /** Copies of blobs: at least the number of different blobs. */
  get size(): number {
    return Atomics.load(this.#counters, entryCounter);
  }

  get packCount(): number {
    return Atomics.load(this.#counters, packCounter);
  }

  hasPack(packId: string): boolean {
    return this.#packNumbers?.has(packId) ?? false;
  }

  /** Whether any copy is known. `id` is 64 hex digits or 32 bytes. */
  has(type: BlobType, id: string | Uint8Array): boolean {
    this.#setKey(id);
    return this.#find(type, this.#firstSlot(type)) >= 0;
  }

  /**
   * The number of the first known copy, from 0 to below {@link BlobIndex.size}, or -1: what marks of blobs (in use, seen)
   * are kept by. Numbers stay as they are while blobs are added.
   */
  entryOf(type: BlobType, id: string | Uint8Array): number {
    this.#setKey(id);
    const slot = this.#find(type, this.#firstSlot(type));
    return slot < 0 ? -1 : this.#slots[slot]! - 1;
  }

  /** The first known copy. */
  lookup(type: BlobType, id: string | Uint8Array): BlobLocation | undefined {
    this.#setKey(id);
    const slot = this.#find(type, this.#firstSlot(type));
    return slot < 0 ? undefined : this.#location(this.#slots[slot]! - 1);
  }

  /** Every known copy, the one that {@link BlobIndex.lookup} yields first. */
  lookupAll(type: BlobType, id: string | Uint8Array): BlobLocation[] {
    this.#setKey(id);
    const copies: BlobLocation[] = [];
    const mask = this.#slots.length - 1;
    let slot = this.#find(type, this.#firstSlot(type));
    while (slot >= 0) {
      copies.push(this.#location(this.#slots[slot]! - 1));
      slot = this.#find(type, (slot + 1) & mask);
    }
    return copies;
  }

  /** The number of the first copy of the blob that entry `entry` is a copy of: what {@link BlobIndex.entryOf} yields. */
  firstCopyOf(entry: number): number {
    const start = entry * entryWords;
    for (let word = 0; word < 8; word++) this.#key[word] = this.#entries[start + word]!;
    const type = this.typeAt(entry);
    return this.#slots[this.#find(type, this.#firstSlot(type))]! - 1;
  }

  /** The number of the pack that a copy is in, from 0 to below {@link BlobIndex.packCount}. */
  packOf(entry: number): number {
    return (this.#entries[entry * entryWords + packWord]! & ~treeBit) >>> 0;
  }

  typeAt(entry: number): BlobType {
    return (this.#entries[entry * entryWords + packWord]! & treeBit) !== 0 ? 'tree' : 'data';
  }

  offsetAt(entry: number): number {
    return this.#entries[entry * entryWords + offsetWord]!;
  }

  lengthAt(entry: number): number {
    return this.#entries[entry * entryWords + lengthWord]!;
  }

  uncompressedLengthAt(entry: number): number {
    return this.#entries[entry * entryWords + uncompressedWord]!;
  }

  /** A copy as an object. */
  blobAt(entry: number): PackedBlob {
    const start = entry * entryWords;
    const words = this.#entries.slice(start, start + 8);
    const { offset, length, uncompressedLength } = this.#location(entry);
    const id = Buffer.from(words.buffer).toString('hex');
    return { type: this.typeAt(entry), id, offset, length, uncompressedLength };
  }

  /** The name of the pack with a number. */
  packIdOf(pack: number): string {
    const known = this.#packIds[pack];
    if (known !== undefined) return known;
    const words = this.#packs.slice(pack * packIdWords, (pack + 1) * packIdWords);
    return (this.#packIds[pack] = Buffer.from(words.buffer).toString('hex'));
  }

  /** The number of a pack, or -1. Not for an attached index. */
  packNumberOf(packId: string): number {
    return this.#packNumbers?.get(packId) ?? -1;
  }

  /** Makes room for this many more blobs at once. */
  reserve(blobs: number): void {
    const needed = this.size + blobs;
    let capacity = this.#slots.length / 2;
    if (needed <= capacity) return;
    while (capacity < needed) capacity *= 2;
    this.#grow(capacity);
  }

  /** Adds a pack by its plaintext header. Known entries are not added again. */
  addPack(packId: string, header: Uint8Array): void {
    const pack = this.#packNumber(packId);
    walkHeader(header, (type, idOffset, offset, length, uncompressedLength) => {
      this.#keyBytes.set(header.subarray(idOffset, idOffset + 32));
      this.#insert(type, pack, offset, length, uncompressedLength);
    });
  }

  /** Adds blobs of a pack as an index file lists them. Known entries are not added again. */
  addBlobs(packId: string, blobs: Iterable<PackedBlob>): void {
    const pack = this.#packNumber(packId);
    for (const blob of blobs) {
      this.#setKey(blob.id);
      this.#insert(blob.type, pack, blob.offset, blob.length, blob.uncompressedLength);
    }
  }

  /**
   * Every pack, or those with a wanted number, with its blobs. Works on a copy of the order (4 bytes a blob); blobs added
   * meanwhile are left out.
   */
  *packs(isWanted: (pack: number) => boolean = () => true): Generator<IndexedPack> {
    const count = this.size;
    const starts = new Uint32Array(this.packCount + 1);
    for (let entry = 0; entry < count; entry++) starts[this.packOf(entry) + 1]!++;
    for (let pack = 0; pack < starts.length - 1; pack++) starts[pack + 1]! += starts[pack]!;
    const order = new Uint32Array(count);
    const next = starts.slice();
    for (let entry = 0; entry < count; entry++) order[next[this.packOf(entry)]!++] = entry;
    for (let pack = 0; pack < starts.length - 1; pack++) {
      if (!isWanted(pack)) continue;
      const blobs = Array.from(order.subarray(starts[pack], starts[pack + 1]), (entry) => this.blobAt(entry));
      yield { packId: this.packIdOf(pack), blobs: blobs.sort((a, b) => a.offset - b.offset) };
    }
  }

  #location(entry: number): BlobLocation {
    const start = entry * entryWords;
    return {
      packId: this.packIdOf(this.packOf(entry)),
      offset: this.#entries[start + offsetWord]!,
      length: this.#entries[start + lengthWord]!,
      uncompressedLength: this.#entries[start + uncompressedWord]!,
    };
  }

  #setKey(id: string | Uint8Array): void {
    const written = typeof id === 'string' ? (id.length === 64 ? this.#keyBytes.write(id, 'hex') : 0) : id.length;
    if (written !== 32) throw new AppError('USAGE_INVALID', 'A blob id has 32 bytes or 64 hex digits.');
    if (typeof id !== 'string') this.#keyBytes.set(id);
  }

  // Ids are SHA-256 hashes, so any word of them is a good hash.
  #firstSlot(type: BlobType): number {
    return (this.#key[0]! ^ (type === 'tree' ? 0x5bd1e995 : 0)) & (this.#slots.length - 1);
  }

  /** The slot of the next entry with the key, from `slot` on, or -1. */
  #find(type: BlobType, slot: number): number {
    const mask = this.#slots.length - 1;
    const typeBit = type === 'tree' ? treeBit : 0;
    for (;;) {
      const entry = Atomics.load(this.#slots, slot) - 1;
      if (entry < 0) return -1;
      if (this.#isKey(entry * entryWords, typeBit)) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #isKey(start: number, typeBit: number): boolean {
    const entries = this.#entries;
    const key = this.#key;
    for (let word = 0; word < 8; word++) if (entries[start + word] !== key[word]) return false;
    return (entries[start + packWord]! & treeBit) === (typeBit | 0);
  }

  #insert(type: BlobType, pack: number, offset: number, length: number, uncompressedLength: number): void {
    const count = this.size;
    if (count >= this.#slots.length / 2) this.#grow(this.#slots.length);
    const mask = this.#slots.length - 1;
    const typeBit = type === 'tree' ? treeBit : 0;
    let slot = this.#firstSlot(type);
    for (let entry = this.#slots[slot]! - 1; entry >= 0; entry = this.#slots[slot]! - 1) {
      const start = entry * entryWords;
      const isSamePlace = this.#entries[start + offsetWord] === offset && this.packOf(entry) === pack;
      if (isSamePlace && this.#isKey(start, typeBit)) return;
      slot = (slot + 1) & mask;
    }
    const start = count * entryWords;
    this.#entries.set(this.#key, start);
    this.#entries[start + packWord] = pack | typeBit;
    this.#entries[start + offsetWord] = offset;
    this.#entries[start + lengthWord] = length;
    this.#entries[start + uncompressedWord] = uncompressedLength;
    Atomics.store(this.#counters, entryCounter, count + 1);
    // Last, so that a reader in another thread never follows a slot to an entry that is not there yet.
    Atomics.store(this.#slots, slot, count + 1);
  }

  #packNumber(packId: string): number {
    if (!this.#packNumbers) throw new AppError('INTERNAL', 'An attached index is read-only.');
    const known = this.#packNumbers.get(packId);
    if (known !== undefined) return known;
    if (!isHexId(packId)) throw new AppError('REPOSITORY_DAMAGED', `“${String(packId)}” is not the name of a pack.`);
    const number = this.packCount;
    if ((number + 1) * packIdWords > this.#packs.length) this.#packs = grown(this.#packs, this.#packs.length * 2);
    this.#setKey(packId);
    this.#packs.set(this.#key, number * packIdWords);
    this.#packNumbers.set(packId, number);
    this.#packIds[number] = packId;
    Atomics.store(this.#counters, packCounter, number + 1);
    return number;
  }

  #grow(capacity: number): void {
    this.#entries = grown(this.#entries, capacity * entryWords);
    const slots = new Int32Array(new SharedArrayBuffer(capacity * 2 * 4));
    const mask = slots.length - 1;
    const count = this.size;
    for (let entry = 0; entry < count; entry++) {
      const start = entry * entryWords;
      const typeHash = (this.#entries[start + packWord]! & treeBit) !== 0 ? 0x5bd1e995 : 0;
      let slot = (this.#entries[start]! ^ typeHash) & mask;
      while (slots[slot] !== 0) slot = (slot + 1) & mask;
      slots[slot] = entry + 1;
    }
    this.#slots = slots;
  }
}

function grown(source: Uint32Array, words: number): Uint32Array {
  const target = new Uint32Array(new SharedArrayBuffer(words * 4));
  target.set(source);
  return target;
}
