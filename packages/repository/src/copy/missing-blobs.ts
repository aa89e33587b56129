// What a snapshot needs that another repository lacks: its trees are walked level by level, each tree once in a whole run, also
// those that the other repository has (an interrupted run may have left a tree there without what it refers to).

import { AppError, throwIfAborted } from '@varve/base';
import { BlobClaims } from '../blob-index/blob-claims.ts';
import { BlobIndex } from '../blob-index/blob-index.ts';
import type { BlobType } from '../pack/blob-type.ts';
import type { OpenedBlob } from '../pack/pack-reader.ts';
import type { Repository } from '../repository.ts';
import { decodeTree } from '../tree/decode-tree.ts';
import { printableName } from '../tree/go-quote.ts';
import { readTrees } from '../walk/read-trees.ts';
import type { StoredBlob } from '../walk/stored-runs.ts';

/** Blobs that are handed on at once: about 20 MB of memory. */
const batchBlobs = 100_000;
/** Trees between two batches at most. */
const treesAtOnce = 5_000;

export interface MissingBlobsOptions {
  readonly source: Repository;
  readonly signal: AbortSignal | undefined;
  /** Whether a blob has to be copied; true once for each. */
  readonly claim: (type: BlobType, id: string) => boolean;
  /** Takes a tree that has to be copied. `storedBytes` is what it takes in the source. */
  readonly onTree: (id: string, tree: OpenedBlob, storedBytes: number) => void | Promise<void>;
}

export class MissingBlobs {
  readonly #options: MissingBlobsOptions;
  /** A compact set of the trees that were walked. */
  readonly #seen = new BlobClaims(new BlobIndex());
  #batch: StoredBlob[] = [];

  constructor(options: MissingBlobsOptions) {
    this.#options = options;
  }

  /** The data blobs to be copied for a tree and all below it, in batches. REPOSITORY_DAMAGED when something is missing. */
  async *below(rootTree: string): AsyncGenerator<readonly StoredBlob[]> {
    const { source, signal } = this.#options;
    let level = this.#unseen([rootTree]);
    while (level.length > 0) {
      const next: string[] = [];
      for (let from = 0; from < level.length; from += treesAtOnce) {
        throwIfAborted(signal);
        await readTrees(source, level.slice(from, from + treesAtOnce), {
          signal,
          visit: (id, tree) => this.#visit(id, tree, next),
        });
        if (this.#batch.length >= batchBlobs) yield this.#takeBatch();
      }
      level = next;
    }
    if (this.#batch.length > 0) yield this.#takeBatch();
  }

  async #visit(id: string, tree: OpenedBlob, next: string[]): Promise<void> {
    const { source, claim, onTree } = this.#options;
    // Before the wait: what is a view into shared memory may be another tree after it.
    const nodes = decodeTree(tree.plaintext);
    if (claim('tree', id)) await onTree(id, tree, source.index.lookup('tree', id)?.length ?? 0);
    for (const { name, subtree, content } of nodes) {
      if (subtree !== undefined) next.push(...this.#unseen([subtree]));
      for (const blob of content ?? []) {
        if (!claim('data', blob)) continue;
        const location = source.index.lookup('data', blob);
        if (!location) {
          const file = JSON.stringify(printableName(name));
          throw new AppError(
            'REPOSITORY_DAMAGED',
            `The data blob ${blob} of the file ${file} is not in the source's index.`,
            {
              hint: 'Check the source. Snapshots that do not need this blob can be copied by their ids.',
            },
          );
        }
        this.#batch.push({ ...location, id: blob });
      }
    }
  }

  #unseen(ids: readonly string[]): string[] {
    return ids.filter((id) => this.#seen.claim('tree', Buffer.from(id, 'hex')));
  }

  #takeBatch(): readonly StoredBlob[] {
    const batch = this.#batch;
    this.#batch = [];
    return batch;
  }
}
