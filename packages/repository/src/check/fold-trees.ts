// Folds the trees of snapshots from the leaves up: every different tree is read once, however many snapshots share it, and its
// result is made of those of its folders. Only results that are not null are kept, beside one byte a blob. No recursion: folders
// may be nested as deeply as they like.

import { throwIfAborted } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import { isDamage, type Repository } from '../repository.ts';
import { TreeReader } from '../restore/tree-reader.ts';
import { salvageTree, type SalvagedTree } from '../tree/salvage-tree.ts';

export interface TreeFoldOptions<Result> {
  readonly repository: Repository;
  /** Where the trees are. Blobs may be added to it meanwhile. */
  readonly index: BlobIndex;
  readonly signal?: AbortSignal | undefined;
  /** The result of a tree whose folders have theirs; null when there is nothing to tell. */
  readonly visit: (
    treeId: string,
    tree: SalvagedTree,
    resultOf: (treeId: string) => Result | null,
  ) => Result | null | Promise<Result | null>;
  /** The result of a tree that cannot be read. */
  readonly unreadable: (treeId: string, error: unknown) => Result;
  /** Called with the number of trees read so far. */
  readonly onTrees?: ((trees: number) => void) | undefined;
}

const unknown = 0;
const started = 1;
const done = 2;

interface Frame {
  readonly treeId: string;
  readonly tree: SalvagedTree;
  next: number;
}

export class TreeFold<Result> {
  readonly #options: TreeFoldOptions<Result>;
  readonly #reader: TreeReader;
  /** By the number of the tree's entry in the index. */
  readonly #states: Uint8Array;
  readonly #results = new Map<string, Result>();
  #trees = 0;

  constructor(options: TreeFoldOptions<Result>) {
    this.#options = options;
    this.#reader = new TreeReader(options.repository, options.signal, { index: options.index, fresh: true });
    this.#states = new Uint8Array(options.index.size);
  }

  /** The result of a tree that was folded. */
  resultOf(treeId: string): Result | null {
    return this.#results.get(treeId) ?? null;
  }

  /** What a tree holds, or null when it cannot be read. */
  async read(treeId: string): Promise<SalvagedTree | null> {
    try {
      return salvageTree(await this.#reader.load(treeId));
    } catch (error) {
      if (isDamage(error)) return null;
      throw error;
    }
  }

  /** The result of a tree with everything below it. */
  async fold(rootId: string): Promise<Result | null> {
    const stack: Frame[] = [];
    await this.#enter(rootId, stack);
    for (let frame = stack.at(-1); frame; frame = stack.at(-1)) {
      const subtree = nextSubtree(frame);
      if (subtree !== undefined) {
        await this.#enter(subtree, stack);
        continue;
      }
      const { treeId, tree } = frame;
      const result = await this.#options.visit(treeId, tree, (id) => this.resultOf(id));
      this.#finish(treeId, result);
      stack.pop();
    }
    return this.resultOf(rootId);
  }

  async #enter(treeId: string, stack: Frame[]): Promise<void> {
    const { index, signal, onTrees, unreadable } = this.#options;
    throwIfAborted(signal);
    const entry = index.entryOf('tree', treeId);
    // One that is under way would contain itself: impossible unless SHA-256 is broken, and then it is at least not followed.
    if (this.#results.has(treeId) || (this.#states[entry] ?? unknown) !== unknown) return;
    let tree: SalvagedTree;
    try {
      tree = salvageTree(await this.#reader.load(treeId));
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#results.set(treeId, unreadable(treeId, error));
      return;
    }
    this.#states[entry] = started;
    stack.push({ treeId, tree, next: 0 });
    onTrees?.(++this.#trees);
  }

  #finish(treeId: string, result: Result | null): void {
    if (result !== null) this.#results.set(treeId, result);
    this.#states[this.#options.index.entryOf('tree', treeId)] = done;
  }
}

function nextSubtree(frame: Frame): string | undefined {
  const { nodes } = frame.tree;
  while (frame.next < nodes.length) {
    const node = nodes[frame.next++];
    if (node?.type === 'dir' && node.subtree !== undefined) return node.subtree;
  }
  return undefined;
}
