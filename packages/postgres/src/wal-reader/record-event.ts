// From a record to the event that it stands for: which resource managers matter, and their decoders.
// Source of the numbers: src/include/access/rmgrlist.h, where they are the order of the lines.

import type { WalMajor } from '../wal/page-header.ts';
import type { WalRecord } from './record-data.ts';
import {
  decodeDatabaseRecord,
  decodeServerRecord,
  decodeTablespaceRecord,
  isSegmentSwitch,
  isServerEvent,
} from './server-record.ts';
import { decodeTransactionRecord, isTransactionEvent } from './transaction-record.ts';
import type { WalEvent } from './wal-event.ts';

const server = 0;
const transaction = 1;
const database = 4;
const tablespace = 5;

/** True for records that may be events: the content of all others need not be kept. */
export function mayBeEvent(resourceManager: number, info: number): boolean {
  switch (resourceManager) {
    case server:
      return isServerEvent(info);
    case transaction:
      return isTransactionEvent(info);
    case database:
    case tablespace:
      return true;
    default:
      return false;
  }
}

/** True for the record behind which the rest of its segment is empty. */
export function endsSegment(resourceManager: number, info: number): boolean {
  return resourceManager === server && isSegmentSwitch(info);
}

/** The event of a record of which {@link mayBeEvent} is true. Throws UnreadableRecord. */
export function decodeRecord(record: WalRecord, major: WalMajor): WalEvent | undefined {
  switch (record.resourceManager) {
    case server:
      return decodeServerRecord(record);
    case transaction:
      return decodeTransactionRecord(record, major);
    case database:
      return decodeDatabaseRecord(record, major);
    case tablespace:
      return decodeTablespaceRecord(record);
    default:
      return undefined;
  }
}
