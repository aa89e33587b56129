// Which snapshots a command works on: those that are named, else all that match the filter.

import type { Repository, Snapshot, SnapshotFilter } from '@varve/repository';

/** Each once, in the order of the names; without names the oldest first. SNAPSHOT_NOT_FOUND, SNAPSHOT_AMBIGUOUS. */
export async function selectSnapshots(
  repository: Repository,
  options: {
    readonly names: readonly string[];
    readonly filter: SnapshotFilter;
    readonly signal: AbortSignal;
  },
): Promise<Snapshot[]> {
  const { names, filter, signal } = options;
  if (names.length > 0) {
    const found = await Promise.all(names.map((name) => repository.findSnapshot(name, filter, { signal })));
    return [...new Map(found.map((snapshot) => [snapshot.id, snapshot])).values()];
  }
  const { matchesFilter } = await import('@varve/repository');
  const all = await repository.listSnapshots({ signal });
  return all.filter((snapshot) => matchesFilter(snapshot, filter));
}
