// Records of the resource manager "Transaction": commits, aborts, prepared transactions. What follows the time in them is
// optional and told by flags. Sources: src/include/access/xact.h, src/backend/access/rmgrdesc/xactdesc.c of 13 to 18.

import type { WalMajor } from '../wal/page-header.ts';
import type { WalRecord } from './record-data.ts';
import type { TransactionEnd, TransactionPrepared } from './wal-event.ts';

const operationMask = 0x70;
const hasFlags = 0x80;
const prepare = 0x10;
const abort = 0x20;
const commitPrepared = 0x30;
const abortPrepared = 0x40;

const flags = {
  database: 1 << 0,
  subtransactions: 1 << 1,
  relationFiles: 1 << 2,
  invalidations: 1 << 3,
  twoPhase: 1 << 4,
  origin: 1 << 5,
  gid: 1 << 7,
  droppedStatistics: 1 << 8,
} as const;

const subtransactionBytes = 4;
const relationFileBytes = 12;
const invalidationBytes = 16;

/** True when {@link decodeTransactionRecord} yields an event for records with this flag byte. */
export function isTransactionEvent(info: number): boolean {
  return (info & operationMask) <= abortPrepared;
}

export function decodeTransactionRecord(record: WalRecord, major: WalMajor): TransactionEnd | TransactionPrepared {
  const operation = record.info & operationMask;
  if (operation === prepare) return decodePrepare(record, major);
  return decodeEnd(record, {
    type: operation === abort || operation === abortPrepared ? 'abort' : 'commit',
    isPrepared: operation === commitPrepared || operation === abortPrepared,
    major,
  });
}

function decodeEnd(
  { lsn, endLsn, xid, info, data }: WalRecord,
  options: { type: 'commit' | 'abort'; isPrepared: boolean; major: WalMajor },
): TransactionEnd {
  const { type, isPrepared, major } = options;
  const unixMicros = data.unixMicros();
  const present = (info & hasFlags) === 0 ? 0 : data.u32();
  const has = (flag: number): boolean => (present & flag) !== 0;

  let databaseOid: number | undefined;
  if (has(flags.database)) {
    databaseOid = data.u32();
    data.skip(4);
  }
  const subtransactionCount = has(flags.subtransactions) ? data.skipItems(subtransactionBytes) : 0;
  const droppedRelationCount = has(flags.relationFiles) ? data.skipItems(relationFileBytes) : 0;
  if (has(flags.droppedStatistics)) data.skipItems(droppedStatisticBytes(major));
  if (has(flags.invalidations)) data.skipItems(invalidationBytes);
  const preparedXid = has(flags.twoPhase) ? data.u32() : undefined;
  const gid = has(flags.gid) ? data.text() : undefined;
  const origin = has(flags.origin) ? { lsn: data.lsn(), unixMicros: data.unixMicros() } : undefined;
  return {
    type,
    lsn,
    endLsn,
    xid: preparedXid ?? xid,
    unixMicros,
    prepared: isPrepared ? { gid } : undefined,
    databaseOid,
    subtransactionCount,
    droppedRelationCount,
    origin,
  };
}

/** Kind, database and object; the object grew to 64 bits with 18. Before 15 there are none. */
function droppedStatisticBytes(major: WalMajor): number {
  return major >= 18 ? 16 : 12;
}

function decodePrepare({ lsn, endLsn, data }: WalRecord, major: WalMajor): TransactionPrepared {
  // Format identifier and length of the state file that the record is a copy of.
  data.skip(8);
  const xid = data.u32();
  const databaseOid = data.u32();
  const unixMicros = data.unixMicros();
  // Owner and the counts of what follows: four, with 15 six.
  data.skip(4 + 4 * (major >= 15 ? 6 : 4));
  // A flag and its padding, the length of the name, the origin's position and time.
  data.skip(2 + 2 + 8 + 8);
  return { type: 'prepare', lsn, endLsn, xid, gid: data.text(), databaseOid, unixMicros };
}
