// How much snapshots hold, counted as restic's stats does. Each tree is read once, however many snapshots share it.

import type { OnProgress } from '@varve/base';
import type { Repository } from '../repository.ts';
import { TreeReader } from '../restore/tree-reader.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import {
  ContentCounter,
  RawDataCounter,
  RestoreSizeCounter,
  type RepositoryStats,
  type StatsCounter,
} from './stats-counters.ts';
import { walkTree } from './walk-tree.ts';

/**
 * `restore-size`: what restoring each of the snapshots writes, hard links once. `files-by-contents`: files that differ in
 * content. `blobs-per-file`: blobs of those, once for each path. `raw-data`: stored bytes of the blobs that are referred to.
 */
export type StatsMode = 'restore-size' | 'files-by-contents' | 'blobs-per-file' | 'raw-data';

export const statsModes = ['restore-size', 'files-by-contents', 'blobs-per-file', 'raw-data'] as const;

export interface StatsOptions {
  /** Counted in this order, which decides only which of several paths with the same content counts. */
  readonly snapshots: readonly Snapshot[];
  readonly mode: StatsMode;
  readonly signal?: AbortSignal | undefined;
  /** Files are those that were looked at, of folders that were not seen before. */
  readonly onProgress?: OnProgress | undefined;
}

/** The index has to be loaded. REPOSITORY_DAMAGED when a tree cannot be read or a blob is not in the index. */
export async function collectStats(repository: Repository, options: StatsOptions): Promise<RepositoryStats> {
  const { snapshots, signal, onProgress } = options;
  const counter = counterOf(repository, options.mode);
  const trees = new TreeReader(repository, signal);
  let filesDone = 0;
  for (const [position, snapshot] of snapshots.entries()) {
    const current = `snapshot ${position + 1} of ${snapshots.length}`;
    if (!counter.begin(snapshot.tree)) continue;
    const { seen } = counter;
    const enters = ({ subtree }: { readonly subtree: string }): boolean => counter.enters?.(subtree) ?? true;
    for await (const step of walkTree(repository, { treeId: snapshot.tree, trees, signal, seen, enters })) {
      counter.step(step);
      if (step.kind === 'node' && ++filesDone % 256 === 0) onProgress?.({ filesDone, bytesDone: 0, current });
    }
    counter.end?.();
  }
  return { ...counter.result(), snapshotsCount: snapshots.length };
}

function counterOf(repository: Repository, mode: StatsMode): StatsCounter {
  switch (mode) {
    case 'restore-size':
      return new RestoreSizeCounter();
    case 'files-by-contents':
    case 'blobs-per-file':
      return new ContentCounter(repository, { countsBlobs: mode === 'blobs-per-file' });
    case 'raw-data':
      return new RawDataCounter(repository);
  }
}
