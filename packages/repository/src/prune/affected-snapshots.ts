// Which snapshots contain something bad: walks all trees once more and then from the bad ones upwards. Only for telling an error.

import type { BlobIndex } from '../blob-index/blob-index.ts';
import type { Repository } from '../repository.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { walkTrees, type TreeVisitor } from '../tree/walk-trees.ts';

/** Besides blobs for which `isBad` holds (by first copy), what is not in the index or cannot be read is bad. */
export async function affectedSnapshots(
  snapshots: readonly Snapshot[],
  options: {
    readonly repository: Repository;
    readonly index: BlobIndex;
    readonly isBad?: ((entry: number) => boolean) | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Snapshot[]> {
  const { index, isBad = () => false } = options;
  const seen = new Uint8Array(index.size);
  const parents: number[] = [];
  const children: number[] = [];
  const bad = new Set<number>();
  const visitor: TreeVisitor = {
    enter: (treeId, parent) => {
      const entry = index.entryOf('tree', treeId);
      if (entry < 0 || isBad(entry)) bad.add(parent ?? entry);
      if (entry < 0) return -1;
      if (parent !== null) {
        parents.push(parent);
        children.push(entry);
      }
      if (seen[entry] !== 0) return -1;
      seen[entry] = 1;
      return entry;
    },
    visit: (treeEntry, { data }) => {
      for (const id of data) {
        const entry = index.entryOf('data', id);
        if (entry < 0 || isBad(entry)) bad.add(treeEntry);
      }
    },
    fail: (treeEntry) => bad.add(treeEntry),
  };
  await walkTrees(
    snapshots.map(({ tree }) => tree),
    { ...options, visitor },
  );
  for (let size = -1; size !== bad.size;) {
    size = bad.size;
    for (let edge = children.length - 1; edge >= 0; edge--) if (bad.has(children[edge]!)) bad.add(parents[edge]!);
  }
  return snapshots.filter(({ tree }) => {
    const entry = index.entryOf('tree', tree);
    return entry < 0 || bad.has(entry);
  });
}

const mostNamed = 5;

/** `1a2b3c4d, 5e6f7a8b and 3 more`. */
export function nameSnapshots(snapshots: readonly Snapshot[]): string {
  const ids = snapshots.slice(0, mostNamed).map(({ id }) => id.slice(0, 8));
  const more = snapshots.length > mostNamed ? ` and ${snapshots.length - mostNamed} more` : '';
  return ids.join(', ') + more;
}
