// Where every blob of a repository is, in shared memory: about 56 bytes a blob, which worker threads attach to and read while
// the main thread adds to it. One writer; entries are only ever added. A blob may be in several packs: each copy is an entry
// of its own.

import { AppError } from '@varve/base';
import { isHexId, type BlobType, type PackedBlob } from '../pack/blob-type.ts';
import { walkHeader } from '../pack/pack-header.ts';
import { IdTable, type SharedIdTable } from './id-table.ts';
import type { IndexListing } from './index-listing.ts';

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
  readonly blobs: SharedIdTable;
  readonly packs: SharedIdTable;
}

// A row of a blob: 8 words id, the number of its pack with the type in the highest bit, offset, length, uncompressed length.
const packWord = 8;
const offsetWord = 9;
const lengthWord = 10;
const uncompressedWord = 11;
const blobShape = { rowWords: 12, maxRows: 2 ** 27 } as const;
const packShape = { rowWords: 8, maxRows: 2 ** 25 } as const;
const treeBit = 0x80000000;
/** Names of packs that are kept as text; a power of two. */
const namesKept = 4096;

/** Plaintext bytes of a stored blob. */
export function plaintextLength(location: Pick<BlobLocation, 'length' | 'uncompressedLength'>): number {
  return location.uncompressedLength === 0 ? location.length - 32 : location.uncompressedLength;
}

export class BlobIndex {
  readonly #blobs: IdTable;
  readonly #packs: IdTable;
  readonly #isReadOnly: boolean;
  readonly #values = new Uint32Array(blobShape.rowWords - packWord);
  readonly #noValues = new Uint32Array(0);
  /** The pack whose name is kept at a place, plus one. */
  readonly #namedPacks = new Uint32Array(namesKept);
  readonly #names: string[] = [];

  constructor(shared?: SharedBlobIndex) {
    this.#blobs = new IdTable(blobShape, shared?.blobs);
    this.#packs = new IdTable(packShape, shared?.packs);
    this.#isReadOnly = shared !== undefined;
  }

  /** A read-only index of a worker thread. */
  static attach(shared: SharedBlobIndex): BlobIndex {
    return new BlobIndex(shared);
  }

  /** What {@link BlobIndex.attach} takes. Entries that are added later are seen too. */
  share(): SharedBlobIndex {
    return { blobs: this.#blobs.share(), packs: this.#packs.share() };
  }

  /** Copies of blobs: at least the number of different blobs. */
  get size(): number {
    return this.#blobs.count;
  }

  get packCount(): number {
    return this.#packs.count;
  }

  hasPack(packId: string): boolean {
    return this.packNumberOf(packId) >= 0;
  }

  /** Whether any copy is known. `id` is 64 hex digits or 32 bytes. */
  has(type: BlobType, id: string | Uint8Array): boolean {
    return this.entryOf(type, id) >= 0;
  }

  /**
   * The number of the first known copy, from 0 to below {@link BlobIndex.size}, or -1: what marks of blobs (in use, seen)
   * are kept by. Numbers stay as they are while blobs are added.
   */
  entryOf(type: BlobType, id: string | Uint8Array): number {
    this.#blobs.setKey(id);
    return this.#next(type, -1);
  }

  /** The first known copy. */
  lookup(type: BlobType, id: string | Uint8Array): BlobLocation | undefined {
    const entry = this.entryOf(type, id);
    return entry < 0 ? undefined : this.#location(entry);
  }

  /** Every known copy, the one that {@link BlobIndex.lookup} yields first. */
  lookupAll(type: BlobType, id: string | Uint8Array): BlobLocation[] {
    const copies: BlobLocation[] = [];
    for (let entry = this.entryOf(type, id); entry >= 0; entry = this.#next(type, entry)) {
      copies.push(this.#location(entry));
    }
    return copies;
  }

  /** The number of the first copy of the blob that entry `entry` is a copy of: what {@link BlobIndex.entryOf} yields. */
  firstCopyOf(entry: number): number {
    this.#blobs.setKeyOf(entry);
    return this.#next(this.typeAt(entry), -1);
  }

  /** The number of the pack that a copy is in, from 0 to below {@link BlobIndex.packCount}. */
  packOf(entry: number): number {
    return (this.#blobs.word(entry, packWord) & ~treeBit) >>> 0;
  }

  typeAt(entry: number): BlobType {
    return this.#blobs.word(entry, packWord) >>> 31 === 0 ? 'data' : 'tree';
  }

  offsetAt(entry: number): number {
    return this.#blobs.word(entry, offsetWord);
  }

  lengthAt(entry: number): number {
    return this.#blobs.word(entry, lengthWord);
  }

  uncompressedLengthAt(entry: number): number {
    return this.#blobs.word(entry, uncompressedWord);
  }

  /** A copy as an object. */
  blobAt(entry: number): PackedBlob {
    return {
      type: this.typeAt(entry),
      id: this.#blobs.hexId(entry),
      offset: this.offsetAt(entry),
      length: this.lengthAt(entry),
      uncompressedLength: this.uncompressedLengthAt(entry),
    };
  }

  /** The name of the pack with a number. */
  packIdOf(pack: number): string {
    const place = pack % namesKept;
    if (this.#namedPacks[place] !== pack + 1) {
      this.#names[place] = this.#packs.hexId(pack);
      this.#namedPacks[place] = pack + 1;
    }
    return this.#names[place]!;
  }

  /** The number of a pack, or -1. */
  packNumberOf(packId: string): number {
    if (!isHexId(packId)) return -1;
    this.#packs.setKey(packId);
    return this.#packs.find();
  }

  /** Makes room for this many more blobs at once. */
  reserve(blobs: number): void {
    this.#blobs.reserve(blobs);
  }

  /** Adds a pack by its plaintext header. Known entries are not added again. */
  addPack(packId: string, header: Uint8Array): void {
    const pack = this.#packNumber(packId);
    walkHeader(header, (type, idOffset, offset, length, uncompressedLength) => {
      this.#blobs.setKey(header.subarray(idOffset, idOffset + 32));
      this.#insert(pack, type, offset, length, uncompressedLength);
    });
  }

  /** Adds blobs of a pack as an index file lists them. Known entries are not added again. */
  addBlobs(packId: string, blobs: Iterable<PackedBlob>): void {
    const pack = this.#packNumber(packId);
    for (const { id, type, offset, length, uncompressedLength } of blobs) {
      this.#blobs.setKey(id);
      this.#insert(pack, type, offset, length, uncompressedLength);
    }
  }

  /** Adds everything that an index file lists. Known entries are not added again. */
  addListing({ packs, packEnds, blobs }: IndexListing): void {
    this.reserve(blobs.length / blobShape.rowWords);
    let blob = 0;
    for (const [number, end] of packEnds.entries()) {
      this.#assertWritable();
      this.#packs.setKeyWords(packs, number * packShape.rowWords);
      const pack = this.#packOfKey();
      for (; blob < end; blob++) {
        const start = blob * blobShape.rowWords;
        this.#blobs.setKeyWords(blobs, start);
        const type: BlobType = blobs[start + packWord] === 0 ? 'data' : 'tree';
        this.#insert(
          pack,
          type,
          blobs[start + offsetWord]!,
          blobs[start + lengthWord]!,
          blobs[start + uncompressedWord]!,
        );
      }
    }
  }

  /**
   * Every pack with its blobs, or those that are wanted by their number. Beside the pack in hand it needs 8 bytes for each run of entries of one pack, of which there
   * are usually as many as packs; what is added meanwhile is left out.
   */
  *packs(isWanted: (pack: number) => boolean = () => true): Generator<IndexedPack> {
    const runs = this.#runs();
    const { order, ends } = this.#runsByPack(runs);
    for (let pack = 0, at = 0; pack < ends.length; pack++) {
      if (!isWanted(pack)) {
        at = ends[pack]!;
        continue;
      }
      const blobs: PackedBlob[] = [];
      for (; at < ends[pack]!; at++) {
        const run = order[at]!;
        for (let entry = runs[run]!; entry < runs[run + 1]!; entry++) blobs.push(this.blobAt(entry));
      }
      yield { packId: this.#packs.hexId(pack), blobs: blobs.sort((a, b) => a.offset - b.offset) };
    }
  }

  /** The first entry of each run of entries of one pack, and the end of the last. */
  #runs(): Uint32Array {
    const count = this.size;
    const isStart = (entry: number): boolean => entry === 0 || this.packOf(entry) !== this.packOf(entry - 1);
    let runCount = 0;
    for (let entry = 0; entry < count; entry++) if (isStart(entry)) runCount++;
    const runs = new Uint32Array(runCount + 1);
    let run = 0;
    for (let entry = 0; entry < count; entry++) if (isStart(entry)) runs[run++] = entry;
    runs[run] = count;
    return runs;
  }

  /** The numbers of the runs, those of one pack beside each other, and where each pack's end in that order. */
  #runsByPack(runs: Uint32Array): { readonly order: Uint32Array; readonly ends: Uint32Array } {
    const order = new Uint32Array(runs.length - 1);
    const starts = new Uint32Array(this.packCount);
    for (let run = 0; run < order.length; run++) starts[this.packOf(runs[run]!)]!++;
    for (let pack = 0, sum = 0; pack < starts.length; pack++) {
      const runsOfPack = starts[pack]!;
      starts[pack] = sum;
      sum += runsOfPack;
    }
    for (let run = 0; run < order.length; run++) order[starts[this.packOf(runs[run]!)]!++] = run;
    return { order, ends: starts };
  }

  /** The next copy of the key's blob after an entry, or -1. */
  #next(type: BlobType, after: number): number {
    const typeBit = type === 'tree' ? 1 : 0;
    let entry = this.#blobs.find(after);
    while (entry >= 0 && this.#blobs.word(entry, packWord) >>> 31 !== typeBit) entry = this.#blobs.find(entry);
    return entry;
  }

  #location(entry: number): BlobLocation {
    return {
      packId: this.packIdOf(this.packOf(entry)),
      offset: this.#blobs.word(entry, offsetWord),
      length: this.#blobs.word(entry, lengthWord),
      uncompressedLength: this.#blobs.word(entry, uncompressedWord),
    };
  }

  /** Adds an entry for the key's blob, unless the same place is known. */
  #insert(pack: number, type: BlobType, offset: number, length: number, uncompressedLength: number): void {
    const packAndType = (pack | (type === 'tree' ? treeBit : 0)) >>> 0;
    for (let entry = this.#blobs.find(); entry >= 0; entry = this.#blobs.find(entry)) {
      if (this.#blobs.word(entry, packWord) === packAndType && this.#blobs.word(entry, offsetWord) === offset) return;
    }
    this.#values[0] = packAndType;
    this.#values[1] = offset;
    this.#values[2] = length;
    this.#values[3] = uncompressedLength;
    this.#blobs.append(this.#values);
  }

  #packNumber(packId: string): number {
    this.#assertWritable();
    if (!isHexId(packId)) throw new AppError('REPOSITORY_DAMAGED', `“${String(packId)}” is not the name of a pack.`);
    this.#packs.setKey(packId);
    return this.#packOfKey();
  }

  #packOfKey(): number {
    const known = this.#packs.find();
    return known >= 0 ? known : this.#packs.append(this.#noValues);
  }

  #assertWritable(): void {
    if (this.#isReadOnly) throw new AppError('INTERNAL', 'An attached index is read-only.');
  }
}
