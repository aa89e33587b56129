// Which blobs no good copy is known of. Damage is noted by copy (pack and offset); what the index does not list is lost as well.

import type { BlobIndex } from '../blob-index/blob-index.ts';
import type { BlobType, PackedBlob } from '../pack/blob-type.ts';

export class LostBlobs {
  readonly #index: BlobIndex;
  readonly #packs = new Set<string>();
  /** Offsets of bad copies by pack. */
  readonly #copies = new Map<string, Set<number>>();

  /** Blobs as `index` knows them; nothing is damaged yet. */
  constructor(index: BlobIndex) {
    this.#index = index;
  }

  /** Whether any damage was noted. */
  get isEmpty(): boolean {
    return this.#packs.size === 0 && this.#copies.size === 0;
  }

  /** Nothing of this pack can be had. */
  addPack(packId: string): void {
    this.#packs.add(packId);
    this.#copies.delete(packId);
  }

  /** These blobs of a pack are bad; `all` is everything that it holds, so that a pack without a good blob takes little room. */
  addCopies(packId: string, bad: readonly PackedBlob[], all: readonly PackedBlob[]): void {
    if (bad.length === 0 || this.#packs.has(packId)) return;
    const offsets = this.#copies.get(packId) ?? new Set();
    for (const { offset } of bad) offsets.add(offset);
    if (offsets.size >= all.length) this.addPack(packId);
    else this.#copies.set(packId, offsets);
  }

  /** Why no good copy is known, or null when there is one. */
  reasonOf(type: BlobType, id: string): 'missing' | 'damaged' | null {
    if (this.isEmpty) return this.#index.has(type, id) ? null : 'missing';
    const copies = this.#index.lookupAll(type, id);
    if (copies.length === 0) return 'missing';
    const isBad = (packId: string, offset: number): boolean =>
      this.#packs.has(packId) || this.#copies.get(packId)?.has(offset) === true;
    return copies.every(({ packId, offset }) => isBad(packId, offset)) ? 'damaged' : null;
  }
}
