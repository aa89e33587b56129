// Takes blobs of one repository into packs of another: opened and checked with the source's key, sealed with the destination's.
// Frames that are compressed stay as they are. Synchronous; runs in worker threads and, for little data, in the main one.

import { UnitCipher } from '../crypto/unit-cipher.ts';
import type { MasterKey } from '../crypto/master-key.ts';
import type { Engine } from '../native/engine.ts';
import type { BlobType } from '../pack/blob-type.ts';
import { PackBuilder, type Compression, type FinishedPack, type PackPart } from '../pack/pack-builder.ts';
import { openBlobParts, type OpenedBlob } from '../pack/pack-reader.ts';
import { isDamage } from '../repository.ts';
import type { StoredBlob } from '../walk/stored-runs.ts';

export interface ResealerOptions {
  readonly engine: Engine;
  readonly sourceKey: MasterKey;
  readonly destinationKey: MasterKey;
  readonly type: BlobType;
  /** For blobs that are not compressed in the source. */
  readonly compression: Compression;
  /** Memory of a pack that is stored, to be used again; undefined when there is none. */
  readonly takeBuffer?: (() => ArrayBuffer | undefined) | undefined;
}

/** Bytes of a source's pack and the blobs in it that are wanted. */
export interface ResealJob {
  readonly bytes: Uint8Array;
  /** Where in the pack `bytes` begin. */
  readonly offset: number;
  readonly blobs: readonly StoredBlob[];
}

export interface ResealResult {
  /** Packs that became full. */
  readonly packs: readonly FinishedPack[];
  /** Blobs that are damaged here; another copy may be good. */
  readonly damaged: readonly StoredBlob[];
  /** Plaintext bytes of the blobs that were taken. */
  readonly plaintextBytes: number;
}

/** Enough for every chunk: restic's are at most 8 MiB. */
const scratchBytes = 8 * 1024 * 1024;

export class Resealer {
  readonly #engine: Engine;
  readonly #cipher: UnitCipher;
  readonly #builder: PackBuilder;
  readonly #takeBuffer: () => ArrayBuffer | undefined;
  #scratch: Buffer | undefined;

  constructor({ engine, sourceKey, destinationKey, type, compression, takeBuffer }: ResealerOptions) {
    this.#takeBuffer = takeBuffer ?? (() => undefined);
    this.#engine = engine;
    this.#cipher = new UnitCipher(engine, sourceKey);
    this.#builder = new PackBuilder({ engine, key: destinationKey, type, compression });
  }

  /** Takes blobs over. The job's bytes are overwritten. */
  run({ bytes, offset, blobs }: ResealJob): ResealResult {
    const packs: FinishedPack[] = [];
    const damaged: StoredBlob[] = [];
    let plaintextBytes = 0;
    for (const blob of blobs) {
      const start = blob.offset - offset;
      const opened = this.#tryOpen(blob, bytes.subarray(start, start + blob.length));
      if (opened) {
        plaintextBytes += opened.plaintext.length;
        packs.push(...this.add(blob.id, opened));
      } else damaged.push(blob);
    }
    return { packs, damaged, plaintextBytes };
  }

  /** Takes an opened blob over; yields the packs that became full. */
  add(id: string, { plaintext, frame }: OpenedBlob): FinishedPack[] {
    const packs: FinishedPack[] = [];
    const storedBytes = (frame ?? plaintext).length;
    if (this.#builder.wantsOwnPack(storedBytes)) packs.push(this.#finishPack());
    const idBytes = Buffer.from(id, 'hex');
    if (frame) this.#builder.addFrame(idBytes, frame, plaintext.length);
    else this.#builder.add(idBytes, plaintext);
    if (this.#builder.isFull) packs.push(this.#finishPack());
    return packs;
  }

  /** Takes over what another thread has left; yields the pack that became full by it. */
  addPart(part: PackPart): FinishedPack[] {
    const isTooMuch =
      this.#builder.blobCount > 0 && this.#builder.sizeBytes + part.bytes.length > this.#builder.packSizeBytes;
    const packs = isTooMuch ? [this.#finishPack()] : [];
    this.#builder.addPart(part);
    return packs;
  }

  /** What is not a full pack yet, for another thread; null when there is nothing. */
  takePart(): PackPart | null {
    return this.#builder.blobCount > 0 ? this.#builder.takePart() : null;
  }

  /** The last pack, full or not. */
  finish(): FinishedPack[] {
    return this.#builder.blobCount > 0 ? [this.#finishPack()] : [];
  }

  #finishPack(): FinishedPack {
    return this.#builder.finish({ recycled: this.#takeBuffer() });
  }

  #tryOpen(blob: StoredBlob, stored: Uint8Array): OpenedBlob | null {
    this.#scratch ??= Buffer.allocUnsafeSlow(scratchBytes);
    const tools = { engine: this.#engine, cipher: this.#cipher, scratch: this.#scratch, inPlace: true };
    try {
      return openBlobParts(stored, { ...blob, type: this.#builder.type }, tools);
    } catch (error) {
      if (isDamage(error)) return null;
      throw error;
    }
  }
}
