export {
  createRepository,
  openRepository,
  type CreateRepositoryOptions,
  type OpenRepositoryOptions,
} from './open-repository.ts';
export { Repository, type CallOptions } from './repository.ts';
export { BlobIndex, plaintextLength, type BlobLocation, type IndexedPack } from './blob-index/blob-index.ts';
export type { BlobType, PackedBlob } from './pack/blob-type.ts';
export type { Snapshot, SnapshotSummary } from './snapshot/snapshot.ts';
export type { SnapshotFilter } from './snapshot/find-snapshot.ts';
export type { KeyDerivation } from './store/key-file.ts';
export { lockRepository, unlockRepository, type LockOptions, type RepositoryLock } from './lock/repository-lock.ts';
export { planRetention, type KeptSnapshot, type RetentionPlan, type RetentionPolicy } from './snapshot/retention.ts';
export { checkRepository, type CheckOptions, type CheckReport } from './check/check-repository.ts';
export type { Finding, FindingCode } from './check/findings.ts';
export { startArchive, type ArchiveSession } from './archive/archive-session.ts';
export type {
  AddBytesOptions,
  AddedItem,
  AddPathOptions,
  AddStreamOptions,
  AddTarOptions,
  ArchiveOutcome,
  ArchiveResult,
  CommitOptions,
  FinishOptions,
  StartArchiveOptions,
} from './archive/archive-options.ts';
export { backupPaths, type BackupOutcome, type BackupPathsOptions } from './archive/backup-paths.ts';
export type { ParentGroup } from './archive/find-parent.ts';
export { cacheMark, type ExcludeRules, type FolderMark, type PageFiles } from './archive/selection.ts';
export type { Comparison, Item, Notice, Problem } from './archive/worker-protocol.ts';
export { expandGlob } from './filesystem/expand-glob.ts';
export type { Compression } from './pack/pack-builder.ts';
export { findNode, type SnapshotPath } from './restore/find-node.ts';
export { listTree, readFileContent, type ListedNode, type ListTreeOptions } from './restore/list-tree.ts';
export { restoreTree, type RestoreOptions, type RestoreResult } from './restore/restore-tree.ts';
export type { Overwrite } from './restore/restore-plan.ts';
export { streamTar } from './restore/stream-tar.ts';
export type { ExtendedAttribute, NodeType, TreeNode } from './tree/tree-node.ts';
export { printableName } from './tree/go-quote.ts';
export { parseTime } from './tree/go-time.ts';
