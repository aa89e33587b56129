export {
  createRepository,
  openRepository,
  type CreateRepositoryOptions,
  type OpenRepositoryOptions,
  type RepositoryCache,
} from './open-repository.ts';
export { Repository, type CallOptions } from './repository.ts';
export { BlobIndex, plaintextLength, type BlobLocation, type IndexedPack } from './blob-index/blob-index.ts';
export type { BlobType, PackedBlob } from './pack/blob-type.ts';
export type { Snapshot, SnapshotSummary } from './snapshot/snapshot.ts';
export { matchesFilter, type SnapshotFilter } from './snapshot/find-snapshot.ts';
export { groupSnapshots, parseGroupBy, type GroupField, type SnapshotGroup } from './snapshot/snapshot-groups.ts';
export type { KeyDerivation } from './crypto/scrypt.ts';
export {
  lockRepository,
  removeDeadLocks,
  unlockRepository,
  type LockOptions,
  type RepositoryLock,
} from './lock/repository-lock.ts';
export type { LockOwnerOptions, LockProcess } from './lock/process-identity.ts';
export { planRetention, type KeptSnapshot, type RetentionPlan, type RetentionPolicy } from './snapshot/retention.ts';
export { planForget, type ForgetGroup, type ForgetRules, type GroupBy } from './snapshot/plan-forget.ts';
export { checkRepository, type CheckOptions, type CheckReport } from './check/check-repository.ts';
export type { AffectedFile, AffectedFiles } from './check/affected-files.ts';
export { parseDataSubset, type DataSubset } from './check/data-subset.ts';
export type { Finding, FindingCode } from './check/findings.ts';
export { runPrune, type PruneResult, type RunPruneOptions } from './prune/prune-repository.ts';
export { planPrune, type PlanPruneOptions, type PrunePhase, type PrunePlan } from './prune/survey.ts';
export type { Amount, MaxUnused, PackToRepack, PlannedPack, PruneRules, RepackReason } from './prune/prune-plan.ts';
export {
  planIndexRepair,
  type IndexRepair,
  type IndexRepairOptions,
  type IndexRepairPlan,
  type IndexRepairResult,
} from './repair/repair-index.ts';
export {
  planPackRepair,
  type PackRepair,
  type PackRepairOptions,
  type PackRepairPlan,
  type PackRepairResult,
} from './repair/repair-packs.ts';
export { keepPackCopy } from './repair/keep-copy.ts';
export type { DamagedPack } from './repair/salvage-packs.ts';
export {
  planSnapshotRepair,
  type BrokenSnapshot,
  type SnapshotRepair,
  type SnapshotRepairOptions,
  type SnapshotRepairPlan,
  type SnapshotRepairResult,
} from './repair/repair-snapshots.ts';
export {
  planRecovery,
  type RecoverOptions,
  type RecoverPlan,
  type RecoverableRoot,
  type RecoverResult,
  type Recovery,
} from './repair/recover.ts';
export type { ArchiveSession } from './archive/archive-session.ts';
export { startArchive } from './archive/start-archive.ts';
export type {
  AddBytesOptions,
  AddedItem,
  AddFolderOptions,
  AddPathOptions,
  AddSavedOptions,
  AddStreamOptions,
  AddTarOptions,
  ArchiveOutcome,
  ArchiveResult,
  CommitOptions,
  FinishOptions,
  RewrittenFile,
  StartArchiveOptions,
  StoredChunk,
} from './archive/archive-options.ts';
export type { LiveFiles } from './archive/live-files.ts';
export { backupPaths, type BackupOutcome, type BackupPathsOptions } from './archive/backup-paths.ts';
export type { ParentGroup } from './archive/find-parent.ts';
export { cacheMark, type ExcludeRules, type FolderMark, type PageFiles } from './archive/selection.ts';
export type { Comparison, Item, Notice, Problem } from './archive/worker-protocol.ts';
export { expandGlob } from './filesystem/expand-glob.ts';
export type { Compression } from './pack/pack-builder.ts';
export { findNode, findTree, type SnapshotPath } from './restore/find-node.ts';
export { FileFetcher, type FetchedFile, type FileFetcherOptions } from './restore/file-fetcher.ts';
export { listTree, readFileContent, type ListedNode, type ListTreeOptions } from './restore/list-tree.ts';
export { restoreTree, type RestoreOptions, type RestoreResult } from './restore/restore-tree.ts';
export type { RestoreAction, RestoredItem } from './restore/restore-report.ts';
export { parseOwnerRule, type OwnerMap, type OwnerRule } from './restore/owner-map.ts';
export type { Overwrite } from './restore/restore-plan.ts';
export { walkTree, type WalkedFolder, type WalkedNode, type WalkOptions, type WalkStep } from './browse/walk-tree.ts';
export { FindPatterns } from './browse/find-patterns.ts';
export {
  findNodes,
  findObjects,
  objectsOfPacks,
  type FindHit,
  type FindNodesOptions,
  type FindObjectsOptions,
} from './browse/find-in-snapshots.ts';
export {
  findFileId,
  listBlobs,
  listFileIds,
  readBlob,
  readConfig,
  readMasterKey,
  readRepositoryFile,
  type FileKind,
} from './browse/read-object.ts';
export { diffTrees, type DiffOptions, type DiffStatistics, type TreeChange } from './browse/diff-trees.ts';
export { collectStats, statsModes, type StatsMode, type StatsOptions } from './browse/repository-stats.ts';
export type { RepositoryStats } from './browse/stats-counters.ts';
export { streamTar } from './restore/stream-tar.ts';
export { streamZip } from './restore/stream-zip.ts';
export type { ArchiveOptions } from './restore/archive-entries.ts';
export type { ExtendedAttribute, NodeType, TreeNode } from './tree/tree-node.ts';
export { goText, printableName } from './tree/go-quote.ts';
export { parseTime } from './tree/go-time.ts';
export {
  addKey,
  changePassword,
  listKeys,
  removeKey,
  type KeyInfo,
  type NewKeyOptions,
} from './keys/repository-keys.ts';
export { tagSnapshots, type TagChange } from './snapshot/tag-snapshots.ts';
export type { ReplacedSnapshot } from './snapshot/replace-snapshots.ts';
export { copySnapshots, type CopiedSnapshot, type CopyOptions, type CopyResult } from './copy/copy-snapshots.ts';
export { rewriteSnapshots, type RewriteOptions, type RewrittenSnapshot } from './rewrite/rewrite-snapshots.ts';
export {
  listMigrations,
  migrateRepository,
  type MigrateOptions,
  type Migration,
  type MigrationName,
} from './migrate/migrations.ts';
