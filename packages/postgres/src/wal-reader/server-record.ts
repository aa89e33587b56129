// Records of the resource managers "XLOG" (the server's own), "Database" and "Tablespace". Their layouts are the same from
// 13 to 18 in all fields that are read here. Sources: src/include/catalog/pg_control.h, access/xlog_internal.h,
// commands/dbcommands_xlog.h, commands/tablespace.h.

import type { WalMajor } from '../wal/page-header.ts';
import { UnreadableRecord, type WalRecord } from './record-data.ts';
import type { Checkpoint, DatabaseCreated, ParameterChange, WalEvent, WalParameters } from './wal-event.ts';

const kindMask = 0xf0;

const shutdownCheckpoint = 0x00;
const onlineCheckpoint = 0x10;
export const segmentSwitch = 0x40;
const backupEnd = 0x50;
const parameterChange = 0x60;
const restorePoint = 0x70;
const fullPageWritesChange = 0x80;
const endOfRecovery = 0x90;
const overwriteContrecord = 0xd0;

const serverEvents: ReadonlySet<number> = new Set([
  shutdownCheckpoint,
  onlineCheckpoint,
  segmentSwitch,
  backupEnd,
  parameterChange,
  restorePoint,
  fullPageWritesChange,
  endOfRecovery,
  overwriteContrecord,
]);

const walLevels = ['minimal', 'replica', 'logical'] as const;

/** True when {@link decodeServerRecord} yields an event for records with this flag byte. */
export function isServerEvent(info: number): boolean {
  return serverEvents.has(info & kindMask);
}

/** True for the record behind which the rest of its segment is empty. */
export function isSegmentSwitch(info: number): boolean {
  return (info & kindMask) === segmentSwitch;
}

export function decodeServerRecord(record: WalRecord): WalEvent {
  const { data } = record;
  const place = { lsn: record.lsn, endLsn: record.endLsn };
  const kind = record.info & kindMask;
  switch (kind) {
    case shutdownCheckpoint:
    case onlineCheckpoint:
      return decodeCheckpoint(record, kind === shutdownCheckpoint);
    case segmentSwitch:
      return { type: 'switch', ...place };
    case backupEnd:
      return { type: 'backup-end', ...place, backupStartLsn: data.lsn() };
    case parameterChange:
      return decodeParameterChange(record);
    case restorePoint: {
      const unixMicros = data.unixMicros();
      return { type: 'restore-point', ...place, name: data.text(), unixMicros };
    }
    case fullPageWritesChange:
      return { type: 'full-page-writes', ...place, isOn: data.u8() !== 0 };
    case endOfRecovery: {
      const unixMicros = data.unixMicros();
      return { type: 'end-of-recovery', ...place, timeline: data.u32(), previousTimeline: data.u32(), unixMicros };
    }
    case overwriteContrecord:
      return { type: 'overwrite-contrecord', ...place, overwrittenLsn: data.lsn(), unixMicros: data.unixMicros() };
    default:
      throw new UnreadableRecord(`kind ${kind} is none that is decoded`);
  }
}

function decodeCheckpoint({ lsn, endLsn, data }: WalRecord, isShutdown: boolean): Checkpoint {
  const redoLsn = data.lsn();
  const timeline = data.u32();
  const previousTimeline = data.u32();
  // full_page_writes, and wal_level or padding.
  data.skip(8);
  const nextXid = data.u64();
  // Next OID, next multixact and offset, oldest transaction and multixact with their databases, padding.
  data.skip(8 * 4);
  const unixMicros = Number(data.i64()) * 1e6;
  return { type: 'checkpoint', lsn, endLsn, isShutdown, redoLsn, timeline, previousTimeline, nextXid, unixMicros };
}

function decodeParameterChange({ lsn, endLsn, data }: WalRecord): ParameterChange {
  const [maxConnections, maxWorkerProcesses, maxWalSenders, maxPreparedTransactions, maxLocksPerTransaction, level] = [
    data.i32(),
    data.i32(),
    data.i32(),
    data.i32(),
    data.i32(),
    data.i32(),
  ] as const;
  const walLevel = walLevels[level];
  if (walLevel === undefined) throw new UnreadableRecord(`${level} is no wal_level`);
  const parameters: WalParameters = {
    maxConnections,
    maxWorkerProcesses,
    maxWalSenders,
    maxPreparedTransactions,
    maxLocksPerTransaction,
    walLevel,
    walLogHints: data.u8() !== 0,
    trackCommitTimestamp: data.u8() !== 0,
  };
  return { type: 'parameter-change', lsn, endLsn, parameters };
}

/** Yields nothing for kinds that do not matter here. */
export function decodeDatabaseRecord(record: WalRecord, major: WalMajor): WalEvent | undefined {
  const { lsn, endLsn, data } = record;
  const kind = record.info & kindMask;
  // 15 put the second way of creating in between.
  const drop = major >= 15 ? 0x20 : 0x10;
  if (kind === drop) return { type: 'database-drop', lsn, endLsn, oid: data.u32() };
  if (kind > drop) return undefined;
  const strategy: DatabaseCreated['strategy'] = kind === 0x00 ? 'file-copy' : 'wal-log';
  return { type: 'database-create', lsn, endLsn, oid: data.u32(), tablespaceOid: data.u32(), strategy };
}

/** Yields nothing for kinds that do not matter here. */
export function decodeTablespaceRecord({ lsn, endLsn, info, data }: WalRecord): WalEvent | undefined {
  const kind = info & kindMask;
  if (kind === 0x00) return { type: 'tablespace-create', lsn, endLsn, oid: data.u32(), path: data.text() };
  if (kind === 0x10) return { type: 'tablespace-drop', lsn, endLsn, oid: data.u32() };
  return undefined;
}
