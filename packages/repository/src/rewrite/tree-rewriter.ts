// Writes the trees of a snapshot anew without the entries that a walk took away: from the deepest level up, only folders that
// change. A tree that would not come out as the same bytes when nothing is taken away is refused: it holds something that
// this program does not know and would lose.

import { AppError, throwIfAborted } from '@varve/base';
import { BlobClaims } from '../blob-index/blob-claims.ts';
import { PackBuilder } from '../pack/pack-builder.ts';
import { PackUploader } from '../pack/pack-uploader.ts';
import type { Repository } from '../repository.ts';
import { decodeTree } from '../tree/decode-tree.ts';
import { encodeTree } from '../tree/encode-tree.ts';
import { readTrees } from '../walk/read-trees.ts';
import type { ExclusionWalk, WalkedFolder } from './exclusion-walk.ts';

/** Trees that are written anew before the next are read: a bound for the memory. */
const treesAtOnce = 5_000;

export class TreeRewriter implements AsyncDisposable {
  readonly #repository: Repository;
  readonly #signal: AbortSignal | undefined;
  readonly #claims: BlobClaims;
  readonly #builder: PackBuilder;
  readonly #uploader: PackUploader;

  /** The index has to be loaded. */
  constructor(repository: Repository, { signal }: { readonly signal: AbortSignal | undefined }) {
    this.#repository = repository;
    this.#signal = signal;
    this.#claims = new BlobClaims(repository.index);
    this.#builder = new PackBuilder({ engine: repository.engine, key: repository.key, type: 'tree' });
    this.#uploader = new PackUploader(repository, { signal });
  }

  /** The id of the new root tree; it and all below it are durable after {@link TreeRewriter.flush}. */
  async rewrite({ folders }: ExclusionWalk): Promise<string> {
    /** New ids of the changed subfolders of a folder, by the position of their entries. */
    const changed = new Map<number, Map<number, string>>();
    const levels = levelsOf(folders);
    for (const [start, end] of levels.reverse()) {
      const due: number[] = [];
      for (let number = start; number < end; number++) {
        if (folders[number]?.excluded || changed.has(number)) due.push(number);
      }
      for (let from = 0; from < due.length; from += treesAtOnce) {
        await this.#rewriteSome(due.slice(from, from + treesAtOnce), { folders, changed });
      }
    }
    return changed.get(-1)?.get(-1) ?? folders[0]?.treeId ?? '';
  }

  /** Resolves when all new trees are durable and in a durable index file. */
  async flush(): Promise<void> {
    throwIfAborted(this.#signal);
    if (this.#builder.blobCount > 0) await this.#uploader.add(this.#builder.finish());
    await this.#uploader.flush();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#uploader.settle();
  }

  async #rewriteSome(
    due: readonly number[],
    walk: { readonly folders: readonly WalkedFolder[]; readonly changed: Map<number, Map<number, string>> },
  ): Promise<void> {
    const { folders, changed } = walk;
    throwIfAborted(this.#signal);
    const byTree = Map.groupBy(due, (number) => folders[number]?.treeId ?? '');
    await readTrees(this.#repository, [...byTree.keys()], {
      signal: this.#signal,
      visit: async (treeId, { plaintext }) => {
        for (const number of byTree.get(treeId) ?? []) {
          const folder = folders[number];
          if (!folder) continue;
          const subtrees = changed.get(number);
          const newId = await this.#store(changedTree(plaintext, { treeId, excluded: folder.excluded, subtrees }));
          changed.delete(number);
          const siblings = changed.get(folder.parent) ?? new Map<number, string>();
          changed.set(folder.parent, siblings.set(folder.position, newId));
        }
      },
    });
  }

  async #store(tree: Buffer): Promise<string> {
    const hash = this.#repository.engine.sha256(tree);
    if (this.#claims.claim('tree', hash)) {
      this.#builder.add(hash, tree);
      if (this.#builder.isFull) await this.#uploader.add(this.#builder.finish());
    }
    return hash.toString('hex');
  }
}

/** A tree without the entries that are taken away and with the new ids of subfolders. */
function changedTree(
  plaintext: Uint8Array,
  change: {
    readonly treeId: string;
    readonly excluded: readonly number[] | null;
    readonly subtrees: ReadonlyMap<number, string> | undefined;
  },
): Buffer {
  const nodes = decodeTree(plaintext);
  if (Buffer.compare(encodeTree(nodes), plaintext) !== 0) {
    throw new AppError('REPOSITORY_DAMAGED', `Cannot encode tree ${change.treeId} without losing information.`, {
      hint: 'It was written by a program that notes more than this one knows. Nothing was changed; use that program.',
    });
  }
  const excluded = new Set(change.excluded);
  const kept = nodes.flatMap((node, position) => {
    if (excluded.has(position)) return [];
    const subtree = change.subtrees?.get(position);
    return subtree === undefined ? [node] : [{ ...node, subtree }];
  });
  return encodeTree(kept);
}

/** From and to (exclusive) of each level; the folders of a level have their parents in the level before. */
function levelsOf(folders: readonly WalkedFolder[]): [number, number][] {
  const levels: [number, number][] = [];
  let start = 0;
  for (const [number, { parent }] of folders.entries()) {
    if (number === 0 || parent < start) continue;
    levels.push([start, number]);
    start = number;
  }
  if (folders.length > 0) levels.push([start, folders.length]);
  return levels;
}
