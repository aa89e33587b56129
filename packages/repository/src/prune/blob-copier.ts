// Copies blobs into new packs: each is opened and hashed first; a good one is taken over as it is sealed, or compressed when it
// should be and is not. Synchronous, without shared state: runs in worker threads, or in the main thread for little.

import type { MasterKey } from '../crypto/master-key.ts';
import { UnitCipher } from '../crypto/unit-cipher.ts';
import type { Engine } from '../native/engine.ts';
import type { BlobType, PackedBlob } from '../pack/blob-type.ts';
import { PackBuilder, type FinishedPack, type PackPart } from '../pack/pack-builder.ts';
import { openBlob } from '../pack/pack-reader.ts';
import { isDamage } from '../repository.ts';

/** Enough for every chunk: restic's are at most 8 MiB. */
const scratchBytes = 8 * 1024 * 1024;

/** Neighbouring blobs of a pack that were read with one call. */
export interface CopyJob {
  readonly packId: string;
  /** Where in the pack `bytes` begins. */
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly blobs: readonly PackedBlob[];
}

export interface BlobCopierOptions {
  readonly engine: Engine;
  readonly key: MasterKey;
  /** Compresses data that is not; trees always are. */
  readonly compressesData: boolean;
  readonly onPack: (pack: FinishedPack) => void;
  readonly onPart: (part: PackPart) => void;
}

export class BlobCopier {
  readonly #options: BlobCopierOptions;
  readonly #cipher: UnitCipher;
  readonly #scratch = Buffer.allocUnsafeSlow(scratchBytes);
  readonly #builders: Readonly<Record<BlobType, PackBuilder>>;

  constructor(options: BlobCopierOptions) {
    this.#options = options;
    const { engine, key } = options;
    this.#cipher = new UnitCipher(engine, key);
    this.#builders = {
      data: new PackBuilder({ engine, key, type: 'data' }),
      tree: new PackBuilder({ engine, key, type: 'tree' }),
    };
  }

  /** Yields the blobs that are damaged; they are not copied. */
  copy({ packId, offset, bytes, blobs }: CopyJob): PackedBlob[] {
    const tools = { engine: this.#options.engine, cipher: this.#cipher, scratch: this.#scratch };
    const damaged: PackedBlob[] = [];
    for (const blob of blobs) {
      const start = blob.offset - offset;
      const stored = bytes.subarray(start, start + blob.length);
      try {
        const plaintext = openBlob(stored, { ...blob, packId }, tools);
        const isCompressible = blob.type === 'tree' || this.#options.compressesData;
        if (blob.uncompressedLength === 0 && isCompressible) this.add(blob, plaintext);
        else this.#append(blob, stored.length, (id, builder) => builder.addSealed(stored, { ...blob, id }));
      } catch (error) {
        if (!isDamage(error)) throw error;
        damaged.push(blob);
      }
    }
    return damaged;
  }

  /** Adds a blob by its content. */
  add(blob: Pick<PackedBlob, 'type' | 'id'>, plaintext: Uint8Array): void {
    this.#append(blob, plaintext.length, (id, builder) => void builder.add(id, plaintext));
  }

  /** Hands on what is not a full pack yet. */
  flush(): void {
    for (const builder of [this.#builders.data, this.#builders.tree]) {
      if (builder.blobCount > 0) this.#options.onPart(builder.takePart());
    }
  }

  #append(
    { type, id }: Pick<PackedBlob, 'type' | 'id'>,
    sizeBytes: number,
    append: (id: Buffer, builder: PackBuilder) => void,
  ): void {
    const builder = this.#builders[type];
    if (builder.wantsOwnPack(sizeBytes)) this.#options.onPack(builder.finish());
    append(Buffer.from(id, 'hex'), builder);
    if (builder.isFull) this.#options.onPack(builder.finish());
  }
}
