// Names of the files of the write-ahead log, and which positions they hold. Sources: src/include/access/xlog_internal.h,
// manual "WAL Internals" (wal-internals).

import { AppError } from '@varve/base';
import { lsnFromBigInt, type Lsn } from '../lsn.ts';

const mebibyte = 1024 * 1024;
const bytesPerLogId = 0x1_0000_0000n;

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

/** Sizes that initdb allows: a power of two from 1 MiB to 1 GiB. */
export function isSegmentSize(bytes: number): boolean {
  return Number.isInteger(Math.log2(bytes)) && bytes >= mebibyte && bytes <= 1024 * mebibyte;
}

/**
 * What a file is by its name: a segment (`000000010000000A000000FF`, with `.partial` or without) or a history file
 * (`00000002.history`); undefined for any other name, among them a segment number that the size does not allow.
 */
export function parseWalFileName(name: string, segmentSizeBytes: number): WalFileName | undefined {
  assertSegmentSize(segmentSizeBytes);
  const history = /^([0-9A-F]{8})\.history$/.exec(name);
  if (history) {
    const timeline = Number.parseInt(history[1] ?? '', 16);
    return timeline === 0 ? undefined : { kind: 'history', timeline };
  }
  const segment = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?$/.exec(name);
  if (!segment) return undefined;
  const [timeline = 0, logId = 0, part = 0] = segment.slice(1, 4).map((digits) => Number.parseInt(digits, 16));
  if (timeline === 0 || part >= segmentsPerLogId(segmentSizeBytes)) return undefined;
  const startLsn = lsnFromBigInt(BigInt(logId) * bytesPerLogId + BigInt(part) * BigInt(segmentSizeBytes));
  return { kind: 'segment', timeline, startLsn, isPartial: segment[4] !== undefined };
}

/** The name of the segment file that holds a position. */
export function walSegmentName(options: { timeline: number; lsn: Lsn; segmentSizeBytes: number }): string {
  const { timeline, lsn, segmentSizeBytes } = options;
  assertSegmentSize(segmentSizeBytes);
  const part = (lsn % bytesPerLogId) / BigInt(segmentSizeBytes);
  return `${hex8(timeline)}${hex8(lsn / bytesPerLogId)}${hex8(part)}`;
}

/** `00000002.history` */
export function historyFileName(timeline: number): string {
  return `${hex8(timeline)}.history`;
}

/** Position of the first byte of the segment that holds `lsn`. */
export function segmentStart(lsn: Lsn, segmentSizeBytes: number): Lsn {
  assertSegmentSize(segmentSizeBytes);
  return (lsn - (lsn % BigInt(segmentSizeBytes))) as Lsn;
}

function segmentsPerLogId(segmentSizeBytes: number): number {
  return Number(bytesPerLogId / BigInt(segmentSizeBytes));
}

function hex8(value: number | bigint): string {
  return value.toString(16).toUpperCase().padStart(8, '0');
}

function assertSegmentSize(bytes: number): void {
  if (isSegmentSize(bytes)) return;
  throw new AppError('WAL_INVALID', `${bytes} bytes are not a size of WAL segments.`, {
    hint: 'It is a power of two from 1 MiB to 1 GiB; the server tells it with SHOW wal_segment_size.',
  });
}
