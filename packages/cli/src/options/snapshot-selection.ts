// Which snapshots a command works on: those that are named, else all that match the filter.

import type { Repository, Snapshot, SnapshotFilter } from '@varve/repository';

export interface SelectionOptions {
  readonly names: readonly string[];
  readonly filter: SnapshotFilter;
  readonly signal: AbortSignal;
  /** Told of each snapshot that cannot be read and is left out; without it that is REPOSITORY_DAMAGED. */
  readonly warn?: ((message: string) => void) | undefined;
}

/** Each once, the oldest first. SNAPSHOT_NOT_FOUND, SNAPSHOT_AMBIGUOUS for names. */
export async function selectSnapshots(repository: Repository, options: SelectionOptions): Promise<Snapshot[]> {
  const { matchesFilter } = await import('@varve/repository');
  const { names, filter, signal, warn } = options;
  const named = new Set<string>();
  for (const name of names) named.add((await repository.findSnapshot(name, filter, { signal })).id);
  const { snapshots, failures } = await repository.readSnapshots({ signal });
  if (names.length > 0) return snapshots.filter(({ id }) => named.has(id));
  const [failure] = failures;
  if (failure && !warn) throw failure.error;
  for (const { id } of failures)
    warn?.(`The snapshot ${id.slice(0, 8)} cannot be read and is left out: see varve repo check.`);
  return snapshots.filter((snapshot) => matchesFilter(snapshot, filter));
}
