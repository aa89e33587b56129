// What the reader tells of the log: the records that decide what can be recovered, with their place.

import type { Lsn } from '../lsn.ts';

interface RecordPlace {
  /** First byte of the record, as pg_waldump prints it. */
  readonly lsn: Lsn;
  /** First position behind it, rounded up to where the next record may begin. */
  readonly endLsn: Lsn;
}

/** End of a transaction: what a recovery to a time counts. */
export interface TransactionEnd extends RecordPlace {
  readonly type: 'commit' | 'abort';
  /** Of the transaction that ended, also when another session ended a prepared one. */
  readonly xid: number;
  readonly unixMicros: number;
  /** COMMIT PREPARED or ROLLBACK PREPARED; the name is there from wal_level = logical on only. */
  readonly prepared: { readonly gid: string | undefined } | undefined;
  readonly databaseOid: number | undefined;
  readonly subtransactionCount: number;
  /** Relation files that go away with it. */
  readonly droppedRelationCount: number;
  /** Where and when it was committed at first, for what logical replication brought. */
  readonly origin: { readonly lsn: Lsn; readonly unixMicros: number } | undefined;
}

/** PREPARE TRANSACTION. */
export interface TransactionPrepared extends RecordPlace {
  readonly type: 'prepare';
  readonly xid: number;
  readonly gid: string;
  readonly databaseOid: number;
  readonly unixMicros: number;
}

/** `pg_create_restore_point`: a target by name. Names need not be unique. */
export interface RestorePoint extends RecordPlace {
  readonly type: 'restore-point';
  readonly name: string;
  readonly unixMicros: number;
}

/** Settings that a recovering server must not go below, and the level of the log. */
export interface WalParameters {
  readonly maxConnections: number;
  readonly maxWorkerProcesses: number;
  readonly maxWalSenders: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
  /** WAL written at `minimal` makes earlier base backups useless for what comes after it. */
  readonly walLevel: 'minimal' | 'replica' | 'logical';
  readonly walLogHints: boolean;
  readonly trackCommitTimestamp: boolean;
}

/** Written when the server starts with other settings than before. */
export interface ParameterChange extends RecordPlace {
  readonly type: 'parameter-change';
  readonly parameters: WalParameters;
}

export interface Checkpoint extends RecordPlace {
  readonly type: 'checkpoint';
  /** Of a shutdown, or of the end of a recovery; else of a running server. */
  readonly isShutdown: boolean;
  /** Where a recovery that begins with it reads first. */
  readonly redoLsn: Lsn;
  readonly timeline: number;
  /** Differs from `timeline` in the record that begins a timeline. */
  readonly previousTimeline: number;
  /** With its epoch. */
  readonly nextXid: bigint;
  readonly unixMicros: number;
}

/** A promotion that was not followed by a checkpoint at once: a timeline begins. */
export interface EndOfRecovery extends RecordPlace {
  readonly type: 'end-of-recovery';
  readonly timeline: number;
  readonly previousTimeline: number;
  readonly unixMicros: number;
}

/** `pg_switch_wal`, `archive_timeout`, the end of a backup: `endLsn` is the end of the segment, which holds nothing more. */
export interface SegmentSwitch extends RecordPlace {
  readonly type: 'switch';
}

/** A base backup of the server ended: from here on it is consistent. */
export interface BackupEnd extends RecordPlace {
  readonly type: 'backup-end';
  readonly backupStartLsn: Lsn;
}

export interface FullPageWritesChange extends RecordPlace {
  readonly type: 'full-page-writes';
  readonly isOn: boolean;
}

/** After a crash: the record that a crash cut off at `overwrittenLsn` never was. */
export interface OverwriteContrecord extends RecordPlace {
  readonly type: 'overwrite-contrecord';
  readonly overwrittenLsn: Lsn;
  readonly unixMicros: number;
}

/** CREATE TABLESPACE: recovery makes the same absolute path on whatever machine it runs. Empty for one inside PGDATA. */
export interface TablespaceCreated extends RecordPlace {
  readonly type: 'tablespace-create';
  readonly oid: number;
  readonly path: string;
}

export interface TablespaceDropped extends RecordPlace {
  readonly type: 'tablespace-drop';
  readonly oid: number;
}

export interface DatabaseCreated extends RecordPlace {
  readonly type: 'database-create';
  readonly oid: number;
  readonly tablespaceOid: number;
  /** By the log (15 and later), or a copy of the template's files. */
  readonly strategy: 'wal-log' | 'file-copy';
}

export interface DatabaseDropped extends RecordPlace {
  readonly type: 'database-drop';
  readonly oid: number;
}

export type WalEvent =
  | TransactionEnd
  | TransactionPrepared
  | RestorePoint
  | ParameterChange
  | Checkpoint
  | EndOfRecovery
  | SegmentSwitch
  | BackupEnd
  | FullPageWritesChange
  | OverwriteContrecord
  | TablespaceCreated
  | TablespaceDropped
  | DatabaseCreated
  | DatabaseDropped;
