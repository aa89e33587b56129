// Names of the files of the write-ahead log and borders of its segments. A segment's name is 24 hexadecimal digits:
// timeline, then the two halves of the segment's number. Manual: "WAL Internals" (wal-internals); source: XLogFileName and
// XLByteToSeg of xlog_internal.h.

import { AppError } from '@varve/base';
import { lsnFromBigInt, type Lsn } from '../lsn.ts';

/** A place in the history of a cluster: a position means little without the timeline that it is on. */
export interface WalPosition {
  readonly timeline: number;
  readonly lsn: Lsn;
}

/** A whole segment file, or (`isPartial`) the last one of a timeline, which may hold less than a segment. */
export interface WalSegment {
  readonly timeline: number;
  /** Position of its first byte. */
  readonly startLsn: Lsn;
  readonly isPartial: boolean;
}

export type WalFileName =
  | ({ readonly kind: 'segment' } & WalSegment)
  | { readonly kind: 'history'; readonly timeline: number };

const leastSegmentBytes = 1 << 20;
const greatestSegmentBytes = 1 << 30;
const greatestTimeline = 0xffff_ffff;
const bytesPerLogId = 0x1_0000_0000n;
const segmentName = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?$/;
const historyName = /^([0-9A-F]{8})\.history$/;

/** Sizes that initdb allows: a power of two from 1 MiB to 1 GiB. */
export function isSegmentSize(bytes: number): boolean {
  const isPowerOfTwo = Number.isInteger(bytes) && (bytes & (bytes - 1)) === 0;
  return isPowerOfTwo && bytes >= leastSegmentBytes && bytes <= greatestSegmentBytes;
}

/** What a server says of its segments. Throws DATABASE_PROTOCOL unless {@link isSegmentSize}. */
export function checkSegmentBytes(segmentBytes: number): number {
  if (isSegmentSize(segmentBytes)) return segmentBytes;
  throw new AppError('DATABASE_PROTOCOL', `${segmentBytes} bytes is not a possible size of a WAL segment.`);
}

/** Throws DATABASE_PROTOCOL unless it is a whole number from 1 to 2^32-1. */
export function checkTimeline(timeline: number): number {
  if (Number.isInteger(timeline) && timeline >= 1 && timeline <= greatestTimeline) return timeline;
  throw new AppError('DATABASE_PROTOCOL', `${timeline} is not a possible timeline.`);
}

/** First byte of the segment that contains the position. */
export function segmentStart(lsn: Lsn, segmentBytes: number): Lsn {
  return lsnFromBigInt(lsn - (lsn % BigInt(segmentBytes)));
}

/** Bytes between the start of its segment and the position. */
export function offsetInSegment(lsn: Lsn, segmentBytes: number): number {
  return Number(lsn % BigInt(segmentBytes));
}

/** A position moved forward. */
export function advance(lsn: Lsn, bytes: number): Lsn {
  return lsnFromBigInt(lsn + BigInt(bytes));
}

/** `000000010000000000000003`: the name of the segment that contains the position. */
export function segmentNameAt({ timeline, lsn }: WalPosition, segmentBytes: number): string {
  const part = (lsn % bytesPerLogId) / BigInt(segmentBytes);
  return `${hex8(timeline)}${hex8(lsn / bytesPerLogId)}${hex8(part)}`;
}

/** `00000002.history` */
export function historyFileName(timeline: number): string {
  return `${hex8(timeline)}.history`;
}

/**
 * What a file is by its name: a segment (`000000010000000A000000FF`, with `.partial` or without) or a history file
 * (`00000002.history`); undefined for any other name, among them a segment number that the size does not allow. Throws
 * WAL_INVALID for a size that cannot be.
 */
export function parseWalFileName(name: string, segmentBytes: number): WalFileName | undefined {
  if (!isSegmentSize(segmentBytes)) {
    throw new AppError('WAL_INVALID', `${segmentBytes} bytes are not a size of WAL segments.`, {
      hint: 'It is a power of two from 1 MiB to 1 GiB; the server tells it with SHOW wal_segment_size.',
    });
  }
  const history = historyName.exec(name);
  if (history) {
    const timeline = Number.parseInt(history[1] ?? '', 16);
    return timeline === 0 ? undefined : { kind: 'history', timeline };
  }
  const segment = segmentName.exec(name);
  if (!segment) return undefined;
  const [timeline = 0, logId = 0, part = 0] = segment.slice(1, 4).map((digits) => Number.parseInt(digits, 16));
  if (timeline === 0 || part >= Number(bytesPerLogId / BigInt(segmentBytes))) return undefined;
  const startLsn = lsnFromBigInt(BigInt(logId) * bytesPerLogId + BigInt(part) * BigInt(segmentBytes));
  return { kind: 'segment', timeline, startLsn, isPartial: segment[4] !== undefined };
}

function hex8(value: number | bigint): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}
