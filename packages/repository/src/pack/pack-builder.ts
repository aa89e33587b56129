// Builds packs in memory: blobs are compressed and sealed straight into the pack's buffer, then header and length follow.
// Synchronous and free of shared state, so that worker threads can use it; a finished pack is transferred, never copied.

import { AppError } from '@varve/base';
import type { MasterKey } from '../crypto/master-key.ts';
import { UnitCipher, unitOverheadBytes } from '../crypto/unit-cipher.ts';
import { compressBound, ivBytes, type Compressor, type Engine } from '../native/engine.ts';
import type { BlobType } from './blob-type.ts';
import { compressedEntryBytes, maxHeaderBytes, packSizeOf, walkHeader, writeEntry } from './pack-header.ts';

/** restic's default. Packs end up between this and this plus one blob. */
export const defaultPackSizeBytes = 16 * 1024 * 1024;
/**
 * Room for what comes when the target is nearly reached: for nearly every chunk; a larger one makes the buffer grow. Not more,
 * because V8 collects garbage for every 64 MiB of such buffers that a thread gets, touched or not. Less for small packs.
 */
const slackBytes = 4 * 1024 * 1024;

export type Compression = 'off' | 'fastest' | 'auto' | 'better' | 'max';

/** zstd levels of the settings; `off` still compresses trees, as format 2 demands. */
const compressionLevels: Readonly<Record<Compression, number>> = {
  off: 3,
  fastest: 1,
  auto: 3,
  better: 7,
  max: 12,
};

/** A pack that is ready to be stored. */
export interface FinishedPack {
  /** SHA-256 of `bytes`, 64 hex digits: the file's name. */
  readonly id: string;
  /** The whole file. Its buffer belongs to this pack alone (transferable) and may be longer than the view. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The plaintext header: see {@link walkHeader} and `parseHeader`. */
  readonly header: Uint8Array<ArrayBuffer>;
}

/** Blobs of a pack that was not finished, sealed already: another builder with the same key can take them on. */
export interface PackPart {
  readonly type: BlobType;
  /** The blobs, one after the other. Its buffer belongs to this part alone (transferable) and may be longer. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly header: Uint8Array<ArrayBuffer>;
}

export interface PackBuilderOptions {
  readonly engine: Engine;
  readonly key: MasterKey;
  /** Format 2 keeps trees and data in packs of their own. */
  readonly type: BlobType;
  readonly compression?: Compression | undefined;
  readonly packSizeBytes?: number | undefined;
  /** Opens, decompresses and hashes every blob again before the pack leaves (guards against bad memory). Default false. */
  readonly verify?: boolean | undefined;
}

export class PackBuilder {
  readonly type: BlobType;
  readonly packSizeBytes: number;
  readonly #engine: Engine;
  readonly #cipher: UnitCipher;
  readonly #compressor: Compressor | null;
  readonly #verify: boolean;
  #buffer: Buffer<ArrayBuffer> | null = null;
  #size = 0;
  #header = Buffer.alloc(64 * compressedEntryBytes);
  #headerSize = 0;
  #blobCount = 0;

  constructor(options: PackBuilderOptions) {
    this.type = options.type;
    this.packSizeBytes = options.packSizeBytes ?? defaultPackSizeBytes;
    const compression = options.compression ?? 'auto';
    this.#engine = options.engine;
    this.#cipher = new UnitCipher(options.engine, options.key);
    const compresses = compression !== 'off' || options.type === 'tree';
    this.#compressor = compresses ? options.engine.createCompressor(compressionLevels[compression]) : null;
    this.#verify = options.verify ?? false;
  }

  get blobCount(): number {
    return this.#blobCount;
  }

  /** Bytes of the blobs so far, without the header. */
  get sizeBytes(): number {
    return this.#size;
  }

  /** Time to call {@link PackBuilder.finish}. */
  get isFull(): boolean {
    return (
      this.#size >= this.packSizeBytes ||
      this.#headerSize > maxHeaderBytes - 2 * compressedEntryBytes - unitOverheadBytes
    );
  }

  /** Whether a blob should wait for the next pack: it alone makes a pack, and this one is not empty. */
  wantsOwnPack(plaintextBytes: number): boolean {
    return this.#blobCount > 0 && plaintextBytes >= this.packSizeBytes;
  }

  /** Appends a blob. `id` is the SHA-256 of `plaintext` (32 bytes; the caller has it). Yields the bytes that it takes. */
  add(id: Uint8Array, plaintext: Uint8Array): number {
    const bound = Math.max(compressBound(plaintext.length), plaintext.length) + unitOverheadBytes;
    const buffer = this.#room(bound);
    const start = this.#size;
    let textBytes = plaintext.length;
    let uncompressedLength = 0;
    // A zero-length blob cannot be marked as compressed: an uncompressed length of 0 means "not compressed".
    if (this.#compressor && plaintext.length > 0) {
      textBytes = this.#compressor.compress(plaintext, buffer.subarray(start + ivBytes, start + bound));
      if (textBytes < 0) throw new AppError('INTERNAL', `zstd could not compress a blob of ${plaintext.length} bytes.`);
      uncompressedLength = plaintext.length;
    } else {
      buffer.set(plaintext, start + ivBytes);
    }
    const length = textBytes + unitOverheadBytes;
    this.#cipher.sealInPlace(buffer.subarray(start, start + length));
    this.#size += length;
    this.#appendEntry({ type: this.type, length, uncompressedLength, id });
    return length;
  }

  /** Appends a blob whose plaintext is compressed already: `frame` is the zstd frame that another repository holds. */
  addFrame(id: Uint8Array, frame: Uint8Array, uncompressedLength: number): number {
    const length = frame.length + unitOverheadBytes;
    const buffer = this.#room(length);
    const start = this.#size;
    buffer.set(frame, start + ivBytes);
    this.#cipher.sealInPlace(buffer.subarray(start, start + length));
    this.#size += length;
    this.#appendEntry({ type: this.type, length, uncompressedLength, id });
    return length;
  }

  /** Appends a blob that is sealed with the same key already, as it is: a sealed blob does not depend on its place. */
  addSealed(stored: Uint8Array, blob: { readonly id: Uint8Array; readonly uncompressedLength: number }): void {
    this.#room(stored.length).set(stored, this.#size);
    this.#size += stored.length;
    this.#appendEntry({ type: this.type, length: stored.length, ...blob });
  }

  /** Ends the pack and starts a new one. `recycled` is a buffer of an earlier pack of this builder, to be used again. */
  finish(options: { readonly recycled?: ArrayBuffer | undefined } = {}): FinishedPack {
    if (this.#blobCount === 0) throw new AppError('INTERNAL', 'An empty pack cannot be finished.');
    const header = new Uint8Array(this.#header.subarray(0, this.#headerSize));
    const unit = this.#cipher.seal(header);
    const buffer = this.#room(unit.length + 4);
    buffer.set(unit, this.#size);
    const end = buffer.writeUInt32LE(unit.length, this.#size + unit.length);
    const bytes = new Uint8Array(buffer.buffer, buffer.byteOffset, end);
    this.#check(bytes, header);
    const pack = { id: this.#engine.sha256(bytes).toString('hex'), bytes, header };
    this.#buffer = options.recycled ? Buffer.from(options.recycled) : null;
    this.#size = this.#headerSize = this.#blobCount = 0;
    return pack;
  }

  /** What a last, small pack would hold, to be put together with those of other threads. Starts anew. */
  takePart(): PackPart {
    const bytes = new Uint8Array(this.#buffer?.buffer ?? new ArrayBuffer(0), 0, this.#size);
    this.#buffer = null;
    const header = new Uint8Array(this.#header.subarray(0, this.#headerSize));
    this.#size = this.#headerSize = this.#blobCount = 0;
    return { type: this.type, bytes, header };
  }

  /** Appends the blobs of a part of the same type, which it uses up: a builder that is empty goes on in the part's memory. */
  addPart({ type, bytes, header }: PackPart): void {
    if (type !== this.type) throw new AppError('INTERNAL', `A ${type} part does not belong into a ${this.type} pack.`);
    const size = bytes.length;
    if (this.#blobCount === 0 && bytes.byteOffset === 0) this.#buffer = Buffer.from(bytes.buffer);
    else {
      this.#room(size).set(bytes, this.#size);
      bytes.buffer.transfer(0);
    }
    this.#size += size;
    walkHeader(header, (_type, idOffset, _offset, length, uncompressedLength) => {
      this.#appendEntry({ type, length, uncompressedLength, id: header.subarray(idOffset, idOffset + 32) });
    });
  }

  #room(bytes: number): Buffer<ArrayBuffer> {
    const needed = this.#size + bytes;
    if (this.#buffer && this.#buffer.length >= needed) return this.#buffer;
    const slack = Math.min(slackBytes, this.packSizeBytes);
    const capacity = this.#buffer
      ? Math.max(needed * 1.25, needed + slack)
      : Math.max(needed, this.packSizeBytes) + slack;
    const larger = Buffer.from(new ArrayBuffer(Math.ceil(capacity)));
    if (this.#buffer) larger.set(this.#buffer.subarray(0, this.#size));
    this.#buffer = larger;
    return larger;
  }

  #appendEntry(entry: { type: BlobType; length: number; uncompressedLength: number; id: Uint8Array }): void {
    if (this.#headerSize + compressedEntryBytes > this.#header.length) {
      this.#header = Buffer.concat([this.#header], this.#header.length * 2);
    }
    this.#headerSize += writeEntry(this.#header, this.#headerSize, entry);
    this.#blobCount++;
  }

  #check(bytes: Uint8Array, header: Uint8Array): void {
    if (packSizeOf(header) !== bytes.length)
      throw new AppError('INTERNAL', 'A pack does not have the size that its header says.');
    const unitBytes = header.length + unitOverheadBytes;
    const stored = this.#cipher.open(
      bytes.subarray(bytes.length - 4 - unitBytes, bytes.length - 4),
      'The header of a new pack',
    );
    if (Buffer.compare(stored, header) !== 0)
      throw new AppError('INTERNAL', 'The header of a new pack reads back differently.');
    if (!this.#verify) return;
    walkHeader(header, (_type, idOffset, offset, length, uncompressedLength) => {
      const text = this.#cipher.open(bytes.subarray(offset, offset + length), 'A blob of a new pack');
      const plaintext = uncompressedLength === 0 ? text : this.#engine.decompress(text, uncompressedLength);
      if (plaintext && this.#engine.sha256(plaintext).compare(header, idOffset, idOffset + 32) === 0) return;
      throw new AppError('REPOSITORY_DAMAGED', 'A blob of a new pack reads back differently, nothing was stored.', {
        hint: 'The memory or processor of this machine may be faulty; test them.',
      });
    });
  }
}
