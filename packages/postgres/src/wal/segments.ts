// Names and borders of WAL segments. A name is 24 hexadecimal digits: timeline, then the two halves of the segment's
// number. Manual: "WAL Internals" (wal-internals); source: XLogFileName and XLByteToSeg of xlog_internal.h.

import { AppError } from '@varve/base';
import { lsnFromBigInt, type Lsn } from '../lsn.ts';

/** A place in the history of a cluster: a position means little without the timeline that it is on. */
export interface WalPosition {
  readonly timeline: number;
  readonly lsn: Lsn;
}

const leastSegmentBytes = 1 << 20;
const greatestSegmentBytes = 1 << 30;
const greatestTimeline = 0xffff_ffff;
const segmentName = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/;
const historyName = /^([0-9A-F]{8})\.history$/;

/** Throws DATABASE_PROTOCOL unless it is a power of two from 1 MiB to 1 GiB, which is all that initdb allows. */
export function checkSegmentBytes(segmentBytes: number): number {
  const isPowerOfTwo = Number.isInteger(segmentBytes) && (segmentBytes & (segmentBytes - 1)) === 0;
  if (isPowerOfTwo && segmentBytes >= leastSegmentBytes && segmentBytes <= greatestSegmentBytes) return segmentBytes;
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
  const number = lsn / BigInt(segmentBytes);
  const perHigh = 0x1_0000_0000n / BigInt(segmentBytes);
  return [BigInt(timeline), number / perHigh, number % perHigh].map((part) => hex8(part)).join('');
}

/** Where the segment of this name starts, or undefined when it is not the name of a segment of that size. */
export function parseSegmentName(name: string, segmentBytes: number): WalPosition | undefined {
  const match = segmentName.exec(name);
  if (!match) return undefined;
  const [timeline, high, low] = [match[1], match[2], match[3]].map((part) => BigInt(`0x${part}`)) as [
    bigint,
    bigint,
    bigint,
  ];
  const perHigh = 0x1_0000_0000n / BigInt(segmentBytes);
  if (timeline === 0n || low >= perHigh) return undefined;
  return { timeline: Number(timeline), lsn: lsnFromBigInt((high * perHigh + low) * BigInt(segmentBytes)) };
}

/** `00000002.history` */
export function historyFileName(timeline: number): string {
  return `${hex8(BigInt(timeline))}.history`;
}

/** The timeline of a history file's name, or undefined when it is not one. */
export function parseHistoryFileName(name: string): number | undefined {
  const match = historyName.exec(name);
  return match ? Number.parseInt(match[1] ?? '', 16) : undefined;
}

function hex8(value: bigint): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}
