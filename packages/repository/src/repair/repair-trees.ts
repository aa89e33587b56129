// Makes trees without what is lost, from the leaves up. Trees that are whole keep their ids and are not written.

import { TreeFold } from '../check/fold-trees.ts';
import { contentBytes } from '../check/inspect-node.ts';
import type { LostBlobs } from '../check/lost-blobs.ts';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import type { Repository } from '../repository.ts';
import { emptyTreeId } from '../tree/decode-tree.ts';
import { encodeTree } from '../tree/encode-tree.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { BlobSaver } from './blob-saver.ts';

export interface TreeRepairOptions {
  readonly repository: Repository;
  readonly index: BlobIndex;
  readonly lost: LostBlobs;
  readonly signal?: AbortSignal | undefined;
  /** Where new trees go; without it they are only counted. */
  readonly saver?: BlobSaver | undefined;
}

/** What stands for a tree that had to change. */
interface RepairedTree {
  readonly treeId: string;
  readonly isReadable: boolean;
}

export class TreeRepair {
  readonly #options: TreeRepairOptions;
  readonly #fold: TreeFold<RepairedTree>;
  readonly #saved = new Set<string>();

  constructor(options: TreeRepairOptions) {
    this.#options = options;
    this.#fold = new TreeFold<RepairedTree>({
      ...options,
      visit: async (_treeId, { nodes, problems }, resultOf) => {
        const repaired = nodes.flatMap((node) => this.#repairNode(node, resultOf));
        const isSame =
          problems.length === 0 && repaired.length === nodes.length && repaired.every((node, i) => node === nodes[i]);
        if (isSame) return null;
        if (repaired.some(({ subtree }) => subtree === emptyTreeId)) await this.#save([]);
        return { treeId: await this.#save(repaired), isReadable: true };
      },
      unreadable: () => ({ treeId: emptyTreeId, isReadable: false }),
    });
  }

  /** The id of the tree that takes the place of a root, itself when it is whole; null when it cannot be read. */
  async repair(rootId: string): Promise<string | null> {
    const result = await this.#fold.fold(rootId);
    if (result === null) return rootId;
    return result.isReadable ? result.treeId : null;
  }

  #repairNode(node: TreeNode, resultOf: (treeId: string) => RepairedTree | null): TreeNode[] {
    if (node.type === 'irregular') return [];
    if (node.type === 'file') return [this.#repairFile(node)];
    const subtree = node.subtree === undefined ? undefined : resultOf(node.subtree)?.treeId;
    return [subtree === undefined ? node : { ...node, subtree }];
  }

  #repairFile(node: TreeNode): TreeNode {
    const { lost, index } = this.#options;
    const content = (node.content ?? []).filter((id) => lost.reasonOf('data', id) === null);
    const size = contentBytes(content, index);
    const isSame = content.length === node.content?.length && size === node.size;
    return isSame ? node : { ...node, content, size };
  }

  /** Stores a tree unless a copy that reads well is there. */
  async #save(nodes: readonly TreeNode[]): Promise<string> {
    const bytes = encodeTree(nodes);
    const { repository, saver } = this.#options;
    const treeId = repository.engine.sha256(bytes).toString('hex');
    if (!saver || this.#saved.has(treeId)) return treeId;
    this.#saved.add(treeId);
    if ((await this.#fold.read(treeId)) === null) await saver.add('tree', treeId, bytes);
    return treeId;
  }
}
