// What a page header must say to be the next one.

import { formatLsn, type Lsn } from '../lsn.ts';
import { allPageFlags, pageBytes, type WalMajor, type WalPageHeader } from '../wal/page-header.ts';
import { isSegmentSize } from '../wal/segments.ts';
import type { WalFault } from './wal-end.ts';

/** What is known of the log from pages before, or from elsewhere. */
export interface WalIdentity {
  readonly major: WalMajor;
  /** Of the cluster, decimal. */
  readonly systemId: string;
  readonly segmentSizeBytes: number;
  /** Of the latest page: in the segment where a timeline begins the first pages are those of its parent. */
  readonly timeline: number;
}

export interface PageExpectation {
  readonly address: Lsn;
  readonly known: Partial<WalIdentity>;
  /** The timeline of the file's name: its pages may be of ancestors, never of a later one. */
  readonly maximumTimeline: number | undefined;
}

/** The first thing that is wrong with a page header, if any. */
export function checkPageHeader(header: WalPageHeader, expected: PageExpectation): WalFault | undefined {
  const at = formatLsn(expected.address);
  if (header.magic === 0 && header.address === 0n && header.flags === 0) {
    return { reason: 'zeros', detail: `nothing was written from the page at ${at} on` };
  }
  return (
    checkVersion(header, expected, at) ??
    checkAddress(header, expected, at) ??
    checkFile(header, expected, at) ??
    checkTimeline(header, expected, at)
  );
}

function checkVersion(header: WalPageHeader, { known }: PageExpectation, at: string): WalFault | undefined {
  const magic = `the page at ${at} has the magic number ${header.magic.toString(16).toUpperCase().padStart(4, '0')}`;
  if (header.major === undefined) {
    return { reason: 'wrong-magic', detail: `${magic}, which is not that of PostgreSQL 13 to 18` };
  }
  if (known.major !== undefined && header.major !== known.major) {
    return { reason: 'wrong-magic', detail: `${magic} of PostgreSQL ${header.major} instead of ${known.major}` };
  }
  if ((header.flags & ~allPageFlags) !== 0) {
    return { reason: 'wrong-page-flags', detail: `the page at ${at} has unknown flags (${header.flags})` };
  }
  return undefined;
}

function checkAddress(header: WalPageHeader, { address }: PageExpectation, at: string): WalFault | undefined {
  if (header.address === address) return undefined;
  const other = formatLsn(header.address as Lsn);
  return { reason: 'wrong-page-address', detail: `the page at ${at} says that it is the page at ${other}` };
}

/** The long header, which the first page of every segment has. */
function checkFile({ long }: WalPageHeader, { known, address }: PageExpectation, at: string): WalFault | undefined {
  const segmentSizeBytes = long?.segmentSizeBytes ?? known.segmentSizeBytes;
  if (segmentSizeBytes === undefined) {
    return { reason: 'wrong-page-flags', detail: `the page at ${at} has no long header, so it begins no segment` };
  }
  if (!long) {
    if (address % BigInt(segmentSizeBytes) !== 0n) return undefined;
    return { reason: 'wrong-page-flags', detail: `the first page of the segment at ${at} has no long header` };
  }
  if (known.systemId !== undefined && long.systemId !== known.systemId) {
    const detail = `the page at ${at} is of the cluster ${long.systemId} instead of ${known.systemId}`;
    return { reason: 'wrong-system', detail };
  }
  const isOtherSize = known.segmentSizeBytes !== undefined && segmentSizeBytes !== known.segmentSizeBytes;
  if (!isSegmentSize(segmentSizeBytes) || isOtherSize || long.pageBytes !== pageBytes) {
    const detail = `the page at ${at} tells of segments of ${segmentSizeBytes} bytes and pages of ${long.pageBytes}`;
    return { reason: 'wrong-geometry', detail };
  }
  return undefined;
}

function checkTimeline(header: WalPageHeader, expected: PageExpectation, at: string): WalFault | undefined {
  const { timeline } = header;
  const { known, maximumTimeline } = expected;
  if (timeline === 0) return { reason: 'wrong-timeline', detail: `the page at ${at} is of no timeline` };
  if (known.timeline !== undefined && timeline < known.timeline) {
    return {
      reason: 'wrong-timeline',
      detail: `the page at ${at} is of timeline ${timeline}, after ${known.timeline}`,
    };
  }
  if (maximumTimeline !== undefined && timeline > maximumTimeline) {
    const detail = `the page at ${at} is of timeline ${timeline}, in the WAL of timeline ${maximumTimeline}`;
    return { reason: 'wrong-timeline', detail };
  }
  return undefined;
}
