// Which snapshots a command works on: those that are named, or all that match the filter.

import type { Repository, Snapshot, SnapshotFilter } from '@varve/repository';

/** Each once, the oldest first. SNAPSHOT_NOT_FOUND, SNAPSHOT_AMBIGUOUS for names. */
export async function chooseSnapshots(
  repository: Repository,
  options: { readonly names: readonly string[]; readonly filter: SnapshotFilter; readonly signal: AbortSignal },
): Promise<Snapshot[]> {
  const { matchesFilter } = await import('@varve/repository');
  const { names, filter, signal } = options;
  const all = await repository.listSnapshots({ signal });
  if (names.length === 0) return all.filter((snapshot) => matchesFilter(snapshot, filter));
  const named = new Set<string>();
  for (const name of names) named.add((await repository.findSnapshot(name, filter, { signal })).id);
  return all.filter(({ id }) => named.has(id));
}
