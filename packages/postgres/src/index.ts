export { connectPostgres, PgConnection, type ConnectOptions, type RequestOptions } from './connection/connection.ts';
export type { QueryResult } from './connection/result-collector.ts';
export type { AuthenticationMethod } from './connection/authentication.ts';
export type { PostgresStream, TlsMode } from './connection/transport.ts';
export { parsePostgresUrl, type PostgresLocation } from './connection/connection-url.ts';
export { findPassword, findPasswordInFile, type PasswordQuestion } from './connection/password-file.ts';
export { formatLsn, lsnFromBigInt, parseLsn, type Lsn } from './lsn.ts';
export { readServerFacts, type DatabaseSummary, type ServerFacts } from './server-facts.ts';
export { readServerIdentity, serverIdentityByTool, type ServerIdentity } from './server-identity.ts';
export { quoteIdentifier, quoteLiteral } from './sql-quoting.ts';
export { runToEnd, type ToolExit, type ToolRequest, type ToolRun, type ToolRunner } from './logical/tool-runner.ts';
export { findHostTool, hostToolRunner, type HostToolRunnerOptions } from './logical/host-tool-runner.ts';
export type { DatabaseTarget } from './logical/target.ts';
export {
  databaseFacts,
  listDatabases,
  parseDatabaseProperties,
  type DatabaseGrant,
  type DatabaseProperties,
  type DatabaseSetting,
  type ListedDatabase,
} from './logical/database-facts.ts';
export {
  dumpDatabase,
  dumpGlobals,
  type DumpDatabaseOptions,
  type DumpGlobalsOptions,
  type DumpOptions,
} from './logical/dump.ts';
export { restoreGlobals, type RestoredGlobals, type RestoreGlobalsOptions } from './logical/restore-globals.ts';
export {
  dropRestoreLeftovers,
  restoreDatabase,
  type RestoreDatabaseOptions,
  type RestoredDatabase,
} from './logical/restore-database.ts';
export { baseBackup, type BaseBackupOptions, type BaseBackupPart } from './base-backup/base-backup.ts';
export { BackupProof } from './base-backup/backup-proof.ts';
export {
  parseBackupManifest,
  replaceInManifest,
  type BackupManifest,
  type ManifestFile,
  type ReplacedFile,
} from './base-backup/backup-manifest.ts';
export { rebuildFile, wholeBackupLabel, wholeName, type OlderFile } from './base-backup/rebuild-file.ts';
export type { BackupTablespace } from './base-backup/backup-stream.ts';
export {
  summarizeWal,
  type WalGap,
  type WalRange,
  type WalSegmentBytes,
  type WalSummary,
} from './wal-reader/wal-summary.ts';
export { WalReader, type WalReaderStart, type WalReaderState } from './wal-reader/wal-reader.ts';
export type { WalIdentity } from './wal-reader/page-check.ts';
export type { WalEnd, WalEndReason } from './wal-reader/wal-end.ts';
export type { WalEvent, WalParameters } from './wal-reader/wal-event.ts';
export { readWalFileHeader, type WalFileHeader, type WalMajor } from './wal/page-header.ts';
export {
  historyFileName,
  isSegmentSize,
  parseWalFileName,
  segmentNameAt,
  segmentStart,
  type WalFileName,
  type WalPosition,
} from './wal/segments.ts';
export {
  formatTimelineHistory,
  parseTimelineHistory,
  recoveryPath,
  timelineAt,
  type RecoveryPath,
  type TimelineHistory,
} from './wal/timeline-history.ts';
export { formatUnixMicros, parseUnixMicros } from './wal-reader/wal-time.ts';
export { createPhysicalSlot, dropSlot, listSlots, readSlot, type SlotFacts } from './replication/slots.ts';
export {
  captureObstacles,
  describeCaptureFacts,
  readCaptureFacts,
  type CaptureFacts,
  type CaptureObstacle,
} from './replication/capture-readiness.ts';
export { identifyWalSource, readTimelineHistory, type WalSource } from './replication/cluster.ts';
export { archiveCommand, archiveSettings, isArchiveDirectory } from './archive-folder/archive-command.ts';
export {
  archiveObstacles,
  isArchiverFailing,
  readArchiveFacts,
  type ArchiveFacts,
} from './archive-folder/archive-facts.ts';
export {
  archiveFailure,
  findArchived,
  listArchive,
  readArchivedHeader,
  type ArchivedFile,
} from './archive-folder/archive-files.ts';
export { archiveDiverged, otherCluster } from './archive-folder/archive-errors.ts';
export { takeArchivedWal, type ArchiveKeeper, type TakeArchivedOptions } from './archive-folder/take-archived.ts';
export { receiveWal, type ReceiveWalOptions } from './replication/wal-receiver.ts';
export type { GapReason, WalEvent as WalCaptureEvent, WalProgress } from './replication/wal-events.ts';
export { WalSpool, type WalSpoolOptions } from './replication/spool/wal-spool.ts';
export type { SpoolBlock } from './replication/spool/spool-space.ts';
export { listSegments, readSpoolState, type SpoolSegment, type SpoolState } from './replication/spool/spool-folder.ts';
export { readPgControl, type PgControl, type RecoverySizes } from './host-server/pg-control.ts';
export {
  promoteServer,
  serverStatus,
  startServer,
  stopServer,
  type HostServer,
  type ServerStatus,
  type StartServerOptions,
  type StopServerOptions,
} from './host-server/host-server.ts';
export { swapDataDirectory, type DataDirectorySwap, type SwapOptions } from './host-server/swap-data-directory.ts';
export {
  recoveryWay,
  type AvailableSegment,
  type BaseRange,
  type RecoveryWay,
  type SegmentTimes,
  type WaySegment,
} from './recovery/recovery-way.ts';
export {
  stopAtEnd,
  stopAtLsn,
  stopAtRestorePoint,
  stopAtTime,
  stopWhenConsistent,
  type StopPoint,
} from './recovery/stop-point.ts';
export { readPostmasterPid, type PostmasterPid } from './host-server/postmaster-pid.ts';
export { largestSizes, recoverySettings } from './recovery/recovery-settings.ts';
export { restoreCommand } from './recovery/fetch-script.ts';
export { finishDataFolder, prepareDataFolder, settingIn, type FileOwner } from './recovery/prepare-data-folder.ts';
export {
  moveTablespaceLinks,
  parseTablespaceMap,
  placeTablespaces,
  tablespacesFolder,
  type MappedTablespace,
} from './recovery/place-tablespaces.ts';
export { WalExchange, type WalFileSource, type WrittenWalFile } from './recovery/wal-exchange.ts';
export {
  mayBackUpVolume,
  startVolumeBackup,
  type VolumeBackup,
  type VolumeBackupEnd,
  type VolumeBackupOptions,
} from './volume-backup/volume-backup.ts';
export {
  backupWalNames,
  findBackupWal,
  proveBackupWal,
  type BackupWal,
  type WalFile,
} from './volume-backup/backup-wal.ts';
export { readControlFile, type ControlFile } from './volume-backup/control-file.ts';
export {
  initForkSuffix,
  leftOutOfBackup,
  linkedFolders,
  readTablespaceLinks,
  tablespaceVersionFolder,
  type LinkedTablespace,
} from './volume-backup/data-folder.ts';
export { findBadPage } from './volume-backup/page-check.ts';
export { dataPageBytes } from './volume-backup/page-checksum.ts';
export { pageCheckModule } from './volume-backup/page-check-module.ts';
