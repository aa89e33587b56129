// Which entries of a snapshot exclude patterns take away: its folders are walked level by level, by their paths, for a pattern may
// match a folder in one place and not in another. Holds a small record for each folder and none for each file.

import { throwIfAborted } from '@varve/base';
import type { Repository } from '../repository.ts';
import { decodeTree } from '../tree/decode-tree.ts';
import { printableName } from '../tree/go-quote.ts';
import { readTrees } from '../walk/read-trees.ts';

/** A folder of the snapshot that is kept. */
export interface WalkedFolder {
  readonly treeId: string;
  /** Position in the list of folders, and of its entry in that folder's tree; -1 for the root. */
  readonly parent: number;
  readonly position: number;
  /** Positions of the entries that are taken away, in order; null for none. */
  excluded: readonly number[] | null;
}

export interface ExclusionWalk {
  /** Parents before their subfolders; the folders of a level are neighbours. */
  readonly folders: readonly WalkedFolder[];
  /** Entries that are taken away; what is below a folder is not counted. */
  readonly excluded: number;
  /** Files that are kept, and the sum of their sizes. */
  readonly files: number;
  readonly bytes: number;
}

export interface ExclusionWalkOptions {
  readonly repository: Repository;
  readonly isExcluded: (path: string) => boolean;
  readonly signal: AbortSignal | undefined;
  readonly onExcluded?: ((path: string) => void) | undefined;
  /** Told the number of folders read so far. */
  readonly onFolders?: ((folders: number) => void) | undefined;
}

interface OpenFolder {
  /** Position in the list of folders. */
  readonly number: number;
  readonly path: string;
}

/** Folders of a level that are walked at once: a bound for the memory. */
const foldersAtOnce = 20_000;

/** Walks a snapshot's tree. REPOSITORY_DAMAGED when a folder of it cannot be read. */
export async function walkExclusions(rootTree: string, options: ExclusionWalkOptions): Promise<ExclusionWalk> {
  const { repository, isExcluded, signal, onExcluded, onFolders } = options;
  const folders: WalkedFolder[] = [{ treeId: rootTree, parent: -1, position: -1, excluded: null }];
  const sums = { excluded: 0, files: 0, bytes: 0 };

  const visit = (folder: OpenFolder, plaintext: Uint8Array, next: OpenFolder[]): void => {
    const gone: number[] = [];
    for (const [position, node] of decodeTree(plaintext).entries()) {
      const path = `${folder.path}/${printableName(node.name)}`;
      if (isExcluded(path)) {
        gone.push(position);
        onExcluded?.(path);
      } else if (node.type === 'file') {
        sums.files++;
        sums.bytes += node.size;
      } else if (node.type === 'dir' && node.subtree !== undefined) {
        next.push({ number: folders.length, path });
        folders.push({ treeId: node.subtree, parent: folder.number, position, excluded: null });
      }
    }
    const record = folders[folder.number];
    if (gone.length > 0 && record) record.excluded = gone;
    sums.excluded += gone.length;
  };

  let done = 0;
  for (let level: OpenFolder[] = [{ number: 0, path: '' }]; level.length > 0;) {
    const next: OpenFolder[] = [];
    for (let from = 0; from < level.length; from += foldersAtOnce) {
      throwIfAborted(signal);
      const slice = level.slice(from, from + foldersAtOnce);
      const byTree = Map.groupBy(slice, ({ number }) => folders[number]?.treeId ?? '');
      await readTrees(repository, [...byTree.keys()], {
        signal,
        visit: (id, { plaintext }) => {
          for (const folder of byTree.get(id) ?? []) visit(folder, plaintext, next);
        },
      });
      done += slice.length;
      onFolders?.(done);
    }
    level = next;
  }
  return { folders, ...sums };
}
