// The index as its files have it, with who lists what: read anew by every prune, because what is deleted must follow from what is
// stored and from nothing else. Later reads add the files that came since.

import { AppError, isAppError, mapConcurrently, throwIfAborted } from '@varve/base';
import { BlobIndex } from '../blob-index/blob-index.ts';
import { decodeIndexFile, encodeIndexedPacks, maxBlobsPerIndexFile } from '../blob-index/index-file.ts';
import type { IndexedPack } from '../blob-index/blob-index.ts';
import type { Repository } from '../repository.ts';

const filesAtOnce = 8;

interface IndexFile {
  /** Numbers of the packs that it lists. */
  readonly packs: Uint32Array;
  readonly blobs: number;
}

/** Which packs go away. */
export type IsGone = (pack: number) => boolean;

export class IndexState {
  readonly index = new BlobIndex();
  readonly #repository: Repository;
  readonly #files = new Map<string, IndexFile>();

  constructor(repository: Repository) {
    this.#repository = repository;
  }

  /**
   * Reads the files that were not read yet. False when one that was read is gone: somebody pruned or repaired, and this
   * state is of no use any more. REPOSITORY_DAMAGED when one cannot be read: its packs would look unused.
   */
  async refresh(signal: AbortSignal | undefined): Promise<boolean> {
    const files = await this.#repository.listFiles('index', { signal });
    const present = new Set(files.map(({ name }) => name));
    for (const name of this.#files.keys()) if (!present.has(name)) return false;
    const missing = files.filter(({ name }) => !this.#files.has(name));
    await mapConcurrently(missing, filesAtOnce, async ({ name }) => {
      throwIfAborted(signal);
      const packs = decodeIndexFile(await this.#load(name, signal), name);
      const blobs = packs.reduce((sum, pack) => sum + pack.blobs.length, 0);
      this.index.reserve(blobs);
      for (const pack of packs) this.index.addBlobs(pack.packId, pack.blobs);
      const numbers = Uint32Array.from(packs, ({ packId }) => this.index.packNumberOf(packId));
      this.#files.set(name, { packs: numbers, blobs });
    });
    return true;
  }

  /**
   * The index files to delete when packs go: those that list such a pack and, if wanted, those that are not full or list a
   * pack that another file lists too, which are merged on the occasion.
   */
  obsoleteFiles(isGone: IsGone, { merges }: { readonly merges: boolean }): string[] {
    const listings = new Uint8Array(this.index.packCount);
    for (const { packs } of this.#files.values()) for (const pack of packs) if (listings[pack]! < 2) listings[pack]!++;
    return [...this.#files]
      .filter(([, { packs, blobs }]) => {
        if (packs.some((pack) => isGone(pack))) return true;
        return merges && (blobs < maxBlobsPerIndexFile || packs.some((pack) => listings[pack]! > 1));
      })
      .map(([name]) => name);
  }

  /** Stores index files of what obsolete ones list, without the packs that go. Yields the names of the new files. */
  async saveReplacement(
    obsolete: readonly string[],
    { isGone, signal }: { readonly isGone: IsGone; readonly signal: AbortSignal | undefined },
  ): Promise<string[]> {
    const staying = new Uint8Array(this.index.packCount);
    for (const name of obsolete) for (const pack of this.#files.get(name)?.packs ?? []) staying[pack] = 1;
    const packs = this.index.packs((pack) => staying[pack] === 1 && !isGone(pack));
    return mapConcurrently(inFiles(packs), this.#repository.storage.connections, async (listed) => {
      throwIfAborted(signal);
      return this.#repository.saveUnpacked('index', encodeIndexedPacks(listed), { signal });
    });
  }

  async #load(name: string, signal: AbortSignal | undefined): Promise<Uint8Array> {
    try {
      return await this.#repository.loadUnpacked('index', name, { signal, fresh: true });
    } catch (error) {
      if (!isAppError(error, 'REPOSITORY_DAMAGED')) throw error;
      throw new AppError('REPOSITORY_DAMAGED', `${error.message} Nothing was removed.`, {
        hint: 'Rebuild the index from the packs first: varve repo repair index.',
        cause: error,
      });
    }
  }
}

function* inFiles(packs: Iterable<IndexedPack>): Generator<IndexedPack[]> {
  let listed: IndexedPack[] = [];
  let blobs = 0;
  for (const pack of packs) {
    listed.push(pack);
    blobs += pack.blobs.length;
    if (blobs < maxBlobsPerIndexFile) continue;
    yield listed;
    listed = [];
    blobs = 0;
  }
  if (listed.length > 0) yield listed;
}
