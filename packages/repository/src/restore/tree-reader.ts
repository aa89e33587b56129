// Reads many trees of a snapshot: trees lie together in packs, so windows of packs are read and kept, and most trees then
// cost no call of the storage.

import type { BlobIndex } from '../blob-index/blob-index.ts';
import { isDamage, mostBytesKept, type Repository } from '../repository.ts';
import { openBlob } from '../pack/pack-reader.ts';
import { decodeTree } from '../tree/decode-tree.ts';
import type { TreeNode } from '../tree/tree-node.ts';

const windowBytes = 4 * 1024 * 1024;
const maxWindows = 8;

interface Window {
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** One per walk: what it keeps (32 MiB at most) lives as long as it does. */
export class TreeReader {
  readonly #repository: Repository;
  readonly #signal: AbortSignal | undefined;
  readonly #index: BlobIndex | undefined;
  readonly #packSizes = new Map<string, Promise<number>>();
  /** By pack and number, the longest unused first. */
  readonly #windows = new Map<string, Promise<Window>>();

  readonly #fresh: boolean;

  /** Reads what `index` lists, or the repository's own index; `fresh`: from the storage itself, not from a cache. */
  constructor(
    repository: Repository,
    signal: AbortSignal | undefined,
    options: { readonly index?: BlobIndex; readonly fresh?: boolean } = {},
  ) {
    this.#repository = repository;
    this.#signal = signal;
    this.#index = options.index;
    this.#fresh = options.fresh ?? false;
  }

  /** The nodes of a tree. REPOSITORY_DAMAGED. */
  async nodes(id: string): Promise<TreeNode[]> {
    return decodeTree(await this.load(id));
  }

  /** The plaintext of a tree. REPOSITORY_DAMAGED. */
  async load(id: string): Promise<Uint8Array> {
    const { version, engine, cipher } = this.#repository;
    const index = this.#index ?? this.#repository.index;
    const location = index.lookup('tree', id);
    const number = location ? Math.floor(location.offset / windowBytes) : 0;
    // In format 1 data may lie between the trees, and reading around them would read that too.
    const isWindowed = location && version === 2 && location.offset + location.length <= (number + 1) * windowBytes;
    if (!isWindowed) return this.#repository.loadBlob('tree', id, { signal: this.#signal, index });
    try {
      const { packId, offset, length, uncompressedLength } = location;
      const window = await this.#window(packId, number);
      const start = offset - window.offset;
      const stored = window.bytes.subarray(start, start + length);
      return openBlob(stored, { id, type: 'tree', packId, uncompressedLength }, { engine, cipher });
    } catch (error) {
      if (!isDamage(error)) throw error;
      // Fetched again, or from another copy.
      return this.#repository.loadBlob('tree', id, { signal: this.#signal, index });
    }
  }

  #window(packId: string, number: number): Promise<Window> {
    const key = `${packId}:${number}`;
    const window = this.#windows.get(key) ?? this.#readWindow(packId, number);
    this.#windows.delete(key);
    this.#windows.set(key, window);
    if (this.#windows.size > maxWindows) {
      const [oldest] = this.#windows.keys();
      if (oldest !== undefined) this.#windows.delete(oldest);
    }
    return window;
  }

  async #readWindow(packId: string, number: number): Promise<Window> {
    const { storage } = this.#repository;
    const handle = { type: 'pack', name: packId } as const;
    let size = this.#packSizes.get(packId);
    if (!size) {
      size = storage.stat(handle, { signal: this.#signal }).then(({ sizeBytes }) => sizeBytes);
      this.#packSizes.set(packId, size);
    }
    const offset = number * windowBytes;
    const length = Math.min(windowBytes, (await size) - offset);
    const keep = (await size) <= mostBytesKept;
    const range = { offset, length, signal: this.#signal, keep, fresh: this.#fresh };
    return { offset, bytes: await storage.load(handle, range) };
  }
}
