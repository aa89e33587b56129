// One bit for each blob of the index: which were met.

import { AppError } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import type { BlobType } from '../pack/blob-type.ts';

export class BlobMarks {
  readonly #index: BlobIndex;
  readonly #bits: Uint8Array;

  /** Blobs that are added to the index afterwards cannot be marked. */
  constructor(index: BlobIndex) {
    this.#index = index;
    this.#bits = new Uint8Array(Math.ceil(index.size / 8));
  }

  has(type: BlobType, id: string): boolean {
    const entry = this.#index.entryOf(type, id);
    return entry >= 0 && ((this.#bits[entry >> 3] ?? 0) & (1 << (entry & 7))) !== 0;
  }

  /** True when the blob was not marked before. REPOSITORY_DAMAGED when the index does not have it. */
  mark(type: BlobType, id: string): boolean {
    const entry = this.#index.entryOf(type, id);
    if (entry < 0) throw new AppError('REPOSITORY_DAMAGED', `The ${type} blob ${id} is not in the index.`);
    const byte = this.#bits[entry >> 3] ?? 0;
    const bit = 1 << (entry & 7);
    this.#bits[entry >> 3] = byte | bit;
    return (byte & bit) === 0;
  }
}
