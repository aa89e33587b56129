// Says which files of which snapshots damage has reached. Reads every tree once to learn which hold damage somewhere below them,
// then walks down to it; the list is bounded, the counts are exact.

import { messageOf } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import type { Repository } from '../repository.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { printableName } from '../tree/go-quote.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { TreeFold } from './fold-trees.ts';
import { fileProblem } from './inspect-node.ts';
import type { LostBlobs } from './lost-blobs.ts';

/** A file that cannot be restored whole, or a folder whose list of entries is damaged (then everything in it may be lost). */
export interface AffectedFile {
  readonly snapshotId: string;
  /** Absolute, printable path in the snapshot. */
  readonly path: string;
  readonly type: 'file' | 'folder';
  /** What is wrong with it, for a person. */
  readonly reason: string;
}

export interface AffectedFiles {
  /** The newest snapshots first; at most as many as were asked for. */
  readonly affected: readonly AffectedFile[];
  /** All of them, over all snapshots. */
  readonly affectedCount: number;
  /** Every snapshot that is affected, the newest first, with the number of its files and folders that are. */
  readonly affectedSnapshots: readonly { readonly snapshotId: string; readonly count: number }[];
}

export interface AffectedOptions {
  readonly repository: Repository;
  readonly index: BlobIndex;
  readonly lost: Pick<LostBlobs, 'reasonOf'>;
  /** Entries of the list. */
  readonly mostListed: number;
  /** What is wrong with a node beside lost content; folders are asked too. */
  readonly nodeProblem?: ((node: TreeNode) => string | null) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onTrees?: ((trees: number) => void) | undefined;
}

/** What a tree that holds damage is known by. */
interface DamagedTree {
  /** Affected files and folders in it and below, itself included when it is damaged. */
  readonly count: number;
  readonly problem: string | null;
}

/** `snapshots` are ordered by time, the oldest first. */
export async function findAffectedFiles(
  snapshots: readonly Snapshot[],
  options: AffectedOptions,
): Promise<AffectedFiles> {
  const search = new AffectedSearch(options);
  const affectedSnapshots: { snapshotId: string; count: number }[] = [];
  const affected: AffectedFile[] = [];
  let affectedCount = 0;
  for (const { id, tree } of snapshots.toReversed()) {
    const count = await search.count(tree);
    if (count === 0) continue;
    affectedSnapshots.push({ snapshotId: id, count });
    affectedCount += count;
    if (affected.length >= options.mostListed) continue;
    for await (const file of search.list(tree)) {
      affected.push({ snapshotId: id, ...file });
      if (affected.length >= options.mostListed) break;
    }
  }
  return { affected, affectedCount, affectedSnapshots };
}

class AffectedSearch {
  readonly #options: AffectedOptions;
  readonly #fold: TreeFold<DamagedTree>;

  constructor(options: AffectedOptions) {
    this.#options = options;
    this.#fold = new TreeFold<DamagedTree>({
      ...options,
      visit: (_treeId, { nodes, problems }, resultOf) => {
        const [first] = problems;
        const problem =
          first === undefined ? null : problems.length === 1 ? first : `${first}, and ${problems.length - 1} more`;
        let count = problem === null ? 0 : 1;
        for (const node of nodes) {
          if (this.#problemOf(node) !== null) count++;
          else if (node.subtree !== undefined) count += resultOf(node.subtree)?.count ?? 0;
        }
        return count === 0 ? null : { count, problem };
      },
      unreadable: (treeId, error) => ({
        count: 1,
        problem: `its list of entries cannot be read (tree ${treeId.slice(0, 10)}): ${messageOf(error)}`,
      }),
    });
  }

  async count(treeId: string): Promise<number> {
    return (await this.#fold.fold(treeId))?.count ?? 0;
  }

  /** What is affected below a tree that was counted; follows only what leads to damage. */
  async *list(rootId: string): AsyncGenerator<Omit<AffectedFile, 'snapshotId'>> {
    const stack = [{ path: '', treeId: rootId }];
    for (let top = stack.pop(); top; top = stack.pop()) {
      const { path, treeId } = top;
      const problem = this.#fold.resultOf(treeId)?.problem ?? null;
      if (problem !== null) yield { path: path === '' ? '/' : path, type: 'folder', reason: problem };
      const folders: typeof stack = [];
      for (const node of (await this.#fold.read(treeId))?.nodes ?? []) {
        const nodePath = `${path}/${printableName(node.name)}`;
        const reason = this.#problemOf(node);
        if (reason !== null) yield { path: nodePath, type: node.type === 'dir' ? 'folder' : 'file', reason };
        else if (node.subtree !== undefined && this.#fold.resultOf(node.subtree))
          folders.push({ path: nodePath, treeId: node.subtree });
      }
      stack.push(...folders.reverse());
    }
  }

  #problemOf(node: TreeNode): string | null {
    return fileProblem(node, this.#options.lost) ?? this.#options.nodeProblem?.(node) ?? null;
  }
}
