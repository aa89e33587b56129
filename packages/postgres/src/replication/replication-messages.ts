// What goes over a connection in copy-both mode during physical replication: the bodies of CopyData messages. Pure; numbers are
// big-endian, times are microseconds since 2000-01-01 UTC. Manual: "Streaming Replication Protocol" (protocol-replication),
// messages XLogData, primary keepalive, standby status update.

import { AppError } from '@varve/base';
import { lsnFromBigInt, type Lsn } from '../lsn.ts';
import { BodyReader } from '../wire/backend-messages.ts';

export type ReplicationMessage =
  | {
      readonly kind: 'data';
      /** Position of the first byte of `bytes`. */
      readonly lsn: Lsn;
      /** End of the WAL on the server when it sent this. */
      readonly serverEnd: Lsn;
      readonly sentAtMs: number;
      /** A view of the received bytes. */
      readonly bytes: Uint8Array;
    }
  | {
      readonly kind: 'keepalive';
      readonly serverEnd: Lsn;
      readonly sentAtMs: number;
      /** The server wants a status update at once, or it will give us up. */
      readonly isReplyWanted: boolean;
    };

/** How far we are. A position of 0 tells the server nothing. */
export interface StandbyStatus {
  /** Everything before it has been received. */
  readonly received: Lsn;
  /** Everything before it is durable: the server may forget it. */
  readonly flushed: Lsn;
  readonly applied: Lsn;
  readonly nowMs: number;
  /** Ask the server to answer at once. */
  readonly isReplyWanted: boolean;
}

/** 2000-01-01 in milliseconds since 1970. */
const postgresEpochMs = 946_684_800_000;
const statusBytes = 34;

/** The first byte says what it is. */
const letters = { data: 0x77, keepalive: 0x6b, status: 0x72 } as const;

/** Reads the body of a CopyData message. Throws DATABASE_PROTOCOL when it is cut short or unknown. */
export function decodeReplicationMessage(body: Uint8Array): ReplicationMessage {
  const reader = new BodyReader(body);
  const letter = reader.uint8();
  switch (letter) {
    case letters.data:
      return {
        kind: 'data',
        lsn: readLsn(reader),
        serverEnd: readLsn(reader),
        sentAtMs: readTime(reader),
        bytes: reader.rest(),
      };
    case letters.keepalive:
      return {
        kind: 'keepalive',
        serverEnd: readLsn(reader),
        sentAtMs: readTime(reader),
        isReplyWanted: reader.uint8() === 1,
      };
    default:
      throw new AppError(
        'DATABASE_PROTOCOL',
        `The server sent an unknown replication message (0x${letter.toString(16)}).`,
      );
  }
}

/** The body of a CopyData message with a standby status update. */
export function encodeStandbyStatus(status: StandbyStatus): Uint8Array {
  const bytes = Buffer.allocUnsafe(statusBytes);
  bytes.writeUInt8(letters.status, 0);
  bytes.writeBigUInt64BE(status.received, 1);
  bytes.writeBigUInt64BE(status.flushed, 9);
  bytes.writeBigUInt64BE(status.applied, 17);
  bytes.writeBigInt64BE(BigInt(Math.round(status.nowMs - postgresEpochMs)) * 1000n, 25);
  bytes.writeUInt8(status.isReplyWanted ? 1 : 0, 33);
  return bytes;
}

function readLsn(reader: BodyReader): Lsn {
  return lsnFromBigInt(BigInt.asUintN(64, reader.int64()));
}

function readTime(reader: BodyReader): number {
  return Number(reader.int64() / 1000n) + postgresEpochMs;
}
