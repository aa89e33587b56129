// Snapshots and nodes as restic's JSON has them, so that programs which read restic's output read ours.

import type { Snapshot, SnapshotSummary } from '@varve/repository';

/** A snapshot as in `restic snapshots --json`. */
export function snapshotJson(snapshot: Snapshot): Record<string, unknown> {
  return {
    time: snapshot.time,
    parent: snapshot.parent,
    tree: snapshot.tree,
    paths: snapshot.paths,
    hostname: snapshot.hostname,
    username: snapshot.username,
    uid: snapshot.uid,
    gid: snapshot.gid,
    excludes: snapshot.excludes,
    tags: snapshot.tags,
    original: snapshot.original,
    program_version: snapshot.programVersion,
    summary: snapshot.summary && {
      backup_start: snapshot.summary.backupStart,
      backup_end: snapshot.summary.backupEnd,
      ...summaryJson(snapshot.summary),
    },
    id: snapshot.id,
    short_id: snapshot.id.slice(0, 8),
  };
}

/** The numbers of a backup as in the summary message of `restic backup --json`. */
export function summaryJson(summary: SnapshotSummary): Record<string, unknown> {
  return {
    files_new: summary.filesNew,
    files_changed: summary.filesChanged,
    files_unmodified: summary.filesUnmodified,
    dirs_new: summary.dirsNew,
    dirs_changed: summary.dirsChanged,
    dirs_unmodified: summary.dirsUnmodified,
    data_blobs: summary.dataBlobs,
    tree_blobs: summary.treeBlobs,
    data_added: summary.dataAdded,
    data_added_packed: summary.dataAddedPacked,
    total_files_processed: summary.totalFilesProcessed,
    total_bytes_processed: summary.totalBytesProcessed,
  };
}
