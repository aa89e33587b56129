// Walks the trees of all snapshots, level by level, each tree once: every tree has to be readable, and every blob that a file
// refers to has to be in the index. Trees of a level are read in the order in which they are stored, neighbours at once.

import { mapConcurrently, messageOf, throwIfAborted } from '@varve/base';
import { BlobClaims } from '../blob-index/blob-claims.ts';
import { BlobIndex, type BlobLocation } from '../blob-index/blob-index.ts';
import { openBlob } from '../pack/pack-reader.ts';
import { isDamage, type Repository } from '../repository.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { decodeTree } from '../tree/decode-tree.ts';
import { isSafeName } from '../tree/node-name.ts';
import type { Findings } from './findings.ts';

interface StoredTree extends BlobLocation {
  readonly id: string;
}

interface TreeRun {
  readonly packId: string;
  readonly offset: number;
  end: number;
  readonly trees: StoredTree[];
}

const runsAtOnce = 8;
/** Neighbours closer than this are read with one call, up to the second size. */
const mostGapBytes = 64 * 1024;
const mostRunBytes = 4 * 1024 * 1024;

export interface TreeCheck {
  readonly repository: Repository;
  readonly index: BlobIndex;
  readonly findings: Findings;
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of trees read so far. */
  readonly onTrees?: ((trees: number) => void) | undefined;
}

/** Yields how many different blobs, trees included, the snapshots refer to. */
export async function checkTrees(snapshots: readonly Snapshot[], check: TreeCheck): Promise<number> {
  const walk = new TreeWalk(check);
  let level = walk.unseen(snapshots.map(({ tree }) => tree));
  while (level.length > 0) {
    throwIfAborted(check.signal);
    const next: string[] = [];
    const runs = groupIntoRuns(walk.locate(level));
    await mapConcurrently(runs, runsAtOnce, async (run) => {
      for (const subtree of await walk.readRun(run)) next.push(subtree);
    });
    level = walk.unseen(next);
  }
  return walk.blobsSeen;
}

class TreeWalk {
  readonly #check: TreeCheck;
  /** A compact set: 36 bytes a blob instead of a string. */
  readonly #seen = new BlobClaims(new BlobIndex());
  #trees = 0;

  constructor(check: TreeCheck) {
    this.#check = check;
  }

  get blobsSeen(): number {
    return this.#seen.size;
  }

  unseen(ids: readonly string[]): string[] {
    return ids.filter((id) => this.#seen.claim('tree', Buffer.from(id, 'hex')));
  }

  locate(ids: readonly string[]): StoredTree[] {
    const { index, findings } = this.#check;
    return ids.flatMap((id) => {
      const location = index.lookup('tree', id);
      if (location) return { ...location, id };
      findings.error('TREE_MISSING', id, `The tree ${id}, a folder of a snapshot, is not in the index.`);
      return [];
    });
  }

  /** The subtrees of the trees in a run. */
  async readRun(run: TreeRun): Promise<string[]> {
    const { repository, signal } = this.#check;
    const range = { offset: run.offset, length: run.end - run.offset, signal };
    const bytes = await repository.storage.load({ type: 'pack', name: run.packId }, range).catch((error: unknown) => {
      if (isDamage(error)) return null;
      throw error;
    });
    const subtrees: string[] = [];
    for (const tree of run.trees) {
      const stored = bytes?.subarray(tree.offset - run.offset, tree.offset - run.offset + tree.length);
      subtrees.push(...(await this.#readTree(tree, stored ?? null)));
    }
    return subtrees;
  }

  async #readTree(tree: StoredTree, stored: Uint8Array | null): Promise<string[]> {
    const { findings, signal } = this.#check;
    try {
      const plaintext = (stored && this.#tryOpen(tree, stored)) ?? (await this.#openElsewhere(tree, signal));
      this.#trees++;
      this.#check.onTrees?.(this.#trees);
      return this.#checkNodes(tree.id, plaintext);
    } catch (error) {
      if (!isDamage(error)) throw error;
      findings.error(
        'TREE_DAMAGED',
        tree.id,
        `The tree ${tree.id}, a folder of a snapshot, cannot be read: ${messageOf(error)}`,
      );
      return [];
    }
  }

  #tryOpen(tree: StoredTree, stored: Uint8Array): Uint8Array | null {
    try {
      return openBlob(stored, { ...tree, type: 'tree' }, this.#check.repository);
    } catch {
      return null;
    }
  }

  /** Another copy, or the same one once more; its error when none is good. */
  async #openElsewhere(tree: StoredTree, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { repository, index } = this.#check;
    let firstError: unknown;
    for (const copy of index.lookupAll('tree', tree.id)) {
      try {
        const range = { offset: copy.offset, length: copy.length, signal };
        const stored = await repository.storage.load({ type: 'pack', name: copy.packId }, range);
        return openBlob(stored, { ...copy, id: tree.id, type: 'tree' }, repository);
      } catch (error) {
        if (!isDamage(error)) throw error;
        firstError ??= error;
      }
    }
    throw firstError;
  }

  #checkNodes(treeId: string, plaintext: Uint8Array): string[] {
    const { index, findings } = this.#check;
    const subtrees: string[] = [];
    for (const node of decodeTree(plaintext)) {
      const name = (): string => JSON.stringify(node.name.toString('utf8'));
      if (!isSafeName(node.name)) {
        findings.error('TREE_DAMAGED', treeId, `The name ${name()} in tree ${treeId} could lead out of its folder.`);
      }
      if (node.type === 'dir') {
        if (node.subtree === undefined)
          findings.error('TREE_DAMAGED', treeId, `The folder ${name()} in tree ${treeId} has no content.`);
        else subtrees.push(node.subtree);
      }
      if (node.type === 'file' && node.content === null) {
        findings.error('TREE_DAMAGED', treeId, `The file ${name()} in tree ${treeId} has no list of its content.`);
      }
      for (const id of node.content ?? []) {
        if (!this.#seen.claim('data', Buffer.from(id, 'hex')) || index.has('data', id)) continue;
        findings.error(
          'BLOB_MISSING',
          id,
          `The data blob ${id} of the file ${name()} in tree ${treeId} is not in the index.`,
        );
      }
    }
    return subtrees;
  }
}

function groupIntoRuns(trees: readonly StoredTree[]): TreeRun[] {
  const order = trees.toSorted((a, b) => (a.packId === b.packId ? a.offset - b.offset : a.packId < b.packId ? -1 : 1));
  const runs: TreeRun[] = [];
  for (const tree of order) {
    const run = runs.at(-1);
    const end = tree.offset + tree.length;
    const isNear =
      run?.packId === tree.packId && tree.offset - run.end <= mostGapBytes && end - run.offset <= mostRunBytes;
    if (run && isNear) {
      run.trees.push(tree);
      run.end = Math.max(run.end, end);
    } else {
      runs.push({ packId: tree.packId, offset: tree.offset, end, trees: [tree] });
    }
  }
  return runs;
}
