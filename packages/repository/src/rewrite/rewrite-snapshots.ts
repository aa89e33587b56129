// Makes changed versions of snapshots, with restic's meaning: without excluded files, with another host name or time, with the
// sums of what is in them. First trees, then index, then the new snapshot files; old ones go last and only when asked for.

import { throwIfAborted, type OnProgress } from '@varve/base';
import { ExcludePatterns } from '../filesystem/exclude-patterns.ts';
import { isDamage, type Repository } from '../repository.ts';
import { replaceSnapshots, type ReplacedSnapshot, type Replacement } from '../snapshot/replace-snapshots.ts';
import { snapshotTimeNs, type NewSnapshot, type Snapshot, type SnapshotSummary } from '../snapshot/snapshot.ts';
import { formatGoTime } from '../store/go-time.ts';
import { walkExclusions } from './exclusion-walk.ts';
import { TreeRewriter } from './tree-rewriter.ts';

export interface RewriteOptions {
  readonly snapshots: readonly Snapshot[];
  /** Patterns as in a backup, matched against paths in the snapshot. */
  readonly excludes?: readonly string[] | undefined;
  /** The same, whatever the case of letters. */
  readonly iexcludes?: readonly string[] | undefined;
  readonly newHostname?: string | undefined;
  readonly newTime?: Date | undefined;
  /** Notes number and size of the files in snapshots where that is missing or wrong. */
  readonly snapshotSummary?: boolean | undefined;
  /** Removes the old versions, for which the caller holds an exclusive lock. Otherwise new ones get the tag `rewrite`. */
  readonly forget?: boolean | undefined;
  /** Writes nothing. */
  readonly dryRun?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly onExcluded?: ((path: string, snapshot: Snapshot) => void) | undefined;
  readonly onRewritten?: ((rewritten: ReplacedSnapshot) => void) | undefined;
}

/** A snapshot that changes. */
export interface RewrittenSnapshot {
  readonly old: Snapshot;
  /** Null in a dry run. */
  readonly next: Snapshot | null;
  /** Files and folders that were taken away; what is below a folder is not counted. */
  readonly excluded: number;
}

/** Snapshots whose new trees are written before their files are: each flush makes a small pack. */
const snapshotsAtOnce = 32;

/**
 * Rewrites the snapshots that change and leaves the others alone; yields the former. The caller holds a lock: exclusive with
 * `forget`, else shared (none in a dry run). USAGE_INVALID for patterns that cannot be understood, REPOSITORY_DAMAGED when a
 * tree cannot be read or not be encoded without loss, and then this snapshot and those after it are as they were.
 */
export async function rewriteSnapshots(repository: Repository, options: RewriteOptions): Promise<RewrittenSnapshot[]> {
  const { snapshots, signal } = options;
  repository.assertWritable();
  const isExcluded = exclusion(options);
  if (isExcluded || options.snapshotSummary) await repository.loadIndex({ signal, onProgress: options.onProgress });
  const rewritten: RewrittenSnapshot[] = [];
  for (let from = 0; from < snapshots.length; from += snapshotsAtOnce) {
    const changes: Change[] = [];
    await using trees = new TreeRewriter(repository, { signal });
    try {
      for (const snapshot of snapshots.slice(from, from + snapshotsAtOnce)) {
        throwIfAborted(signal);
        const change = await changeOf(repository, snapshot, { options, isExcluded, trees });
        if (change) changes.push(change);
      }
    } catch (error) {
      // Those before it are complete, and the next run would fail here again.
      if (isDamage(error) && !signal?.aborted) await commit(repository, { changes, trees, options });
      throw error;
    }
    rewritten.push(...(await commit(repository, { changes, trees, options })));
  }
  return rewritten;
}

/** Makes the new trees durable, then the new snapshots, then removes old ones. */
async function commit(
  repository: Repository,
  work: { readonly changes: readonly Change[]; readonly trees: TreeRewriter; readonly options: RewriteOptions },
): Promise<RewrittenSnapshot[]> {
  const { changes, trees, options } = work;
  const { dryRun, forget = false, signal, onRewritten } = options;
  if (dryRun) return changes.map(({ old, excluded }) => ({ old, next: null, excluded }));
  if (changes.length === 0) return [];
  await trees.flush();
  const replaced = await replaceSnapshots(repository, changes, { removesOld: forget, signal, onReplaced: onRewritten });
  const excluded = new Map(changes.map((change) => [change.old.id, change.excluded]));
  return replaced.map(({ old, next }) => ({ old, next, excluded: excluded.get(old.id) ?? 0 }));
}

interface Change extends Replacement {
  readonly excluded: number;
}

/** What becomes of a snapshot, with its new trees handed in; null when it stays as it is. */
async function changeOf(
  repository: Repository,
  old: Snapshot,
  work: {
    readonly options: RewriteOptions;
    readonly isExcluded: ((path: string) => boolean) | null;
    readonly trees: TreeRewriter;
  },
): Promise<Change | null> {
  const { options, isExcluded, trees } = work;
  const { newHostname, newTime, onExcluded, onProgress, dryRun } = options;
  const time = newTime ? formatGoTime(newTime) : old.time;
  let next: NewSnapshot = { ...withoutId(old), hostname: newHostname ?? old.hostname, time };
  let isChanged = next.hostname !== old.hostname || snapshotTimeNs(next) !== snapshotTimeNs(old);
  let excluded = 0;
  if (isExcluded || options.snapshotSummary) {
    const walk = await walkExclusions(old.tree, {
      repository,
      signal: options.signal,
      isExcluded: isExcluded ?? (() => false),
      onExcluded: (path) => onExcluded?.(path, old),
      onFolders: (filesDone) => onProgress?.({ filesDone, bytesDone: 0, current: `snapshot ${old.id.slice(0, 8)}` }),
    });
    excluded = walk.excluded;
    const summary = withSums(old.summary, walk);
    const isSummaryWanted = options.snapshotSummary === true && !isSameSummary(summary, old.summary);
    if (excluded > 0 || isSummaryWanted) {
      const tree = excluded > 0 && !dryRun ? await trees.rewrite(walk) : old.tree;
      next = { ...next, tree, summary };
      isChanged = true;
    }
  }
  if (!isChanged) return null;
  const tags = options.forget ? old.tags : [...new Set([...(old.tags ?? []), 'rewrite'])];
  // Always the id of what was changed, never an older one: this is a snapshot of other things than the first version.
  return { old, next: { ...next, tags, original: old.id }, excluded };
}

function exclusion({ excludes = [], iexcludes = [] }: RewriteOptions): ((path: string) => boolean) | null {
  const exact = new ExcludePatterns(excludes);
  const folded = new ExcludePatterns(iexcludes.map((pattern) => pattern.toLowerCase()));
  if (exact.isEmpty && folded.isEmpty) return null;
  return (path) => exact.matches(path) || folded.matches(path.toLowerCase());
}

function withSums(
  summary: SnapshotSummary | undefined,
  { files, bytes }: { readonly files: number; readonly bytes: number },
): SnapshotSummary {
  return { ...(summary ?? emptySummary), totalFilesProcessed: files, totalBytesProcessed: bytes };
}

function isSameSummary(a: SnapshotSummary, b: SnapshotSummary | undefined): boolean {
  return a.totalFilesProcessed === b?.totalFilesProcessed && a.totalBytesProcessed === b.totalBytesProcessed;
}

function withoutId({ id: _id, ...fields }: Snapshot): NewSnapshot {
  return fields;
}

/** Times as Go writes one that was never set. */
const emptySummary: SnapshotSummary = {
  backupStart: '0001-01-01T00:00:00Z',
  backupEnd: '0001-01-01T00:00:00Z',
  filesNew: 0,
  filesChanged: 0,
  filesUnmodified: 0,
  dirsNew: 0,
  dirsChanged: 0,
  dirsUnmodified: 0,
  dataBlobs: 0,
  treeBlobs: 0,
  dataAdded: 0,
  dataAddedPacked: 0,
  totalFilesProcessed: 0,
  totalBytesProcessed: 0,
};
