// Files with WAL segments, whole or not, checked page by page: every page must say that it belongs at its place. Record
// checksums are the business of whoever reads records. After a segment switch (pg_switch_wal, archive_timeout) the server
// fills the rest of a segment with zeros, page headers included; source: CopyXLogRecordToWAL in xlog.c.

import { open, type FileHandle } from 'node:fs/promises';
import { AppError } from '@varve/base';
import { formatLsn, lsnFromBigInt, type Lsn } from '../lsn.ts';
import { findPageHeader, shortHeaderBytes, type WalPageHeader } from './page-header.ts';
import { advance, segmentNameAt } from './segments.ts';

/** What the pages of a segment must say. */
export interface SegmentIdentity {
  readonly timeline: number;
  readonly start: Lsn;
  readonly segmentBytes: number;
  readonly pageBytes: number;
  readonly systemId: string;
}

interface Fault {
  readonly offset: number;
  readonly reason: string;
}

const readBytes = 1 << 20;
const zeros = Buffer.alloc(1 << 16);

/** Throws WAL_INVALID, with the place and the reason, unless the file is this whole segment. */
export async function checkSegmentFile(path: string, identity: SegmentIdentity): Promise<void> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const fault =
    size === identity.segmentBytes
      ? await findFault(file, size, identity)
      : { offset: size, reason: `it has ${size} bytes instead of ${identity.segmentBytes}` };
  if (!fault) return;
  const name = segmentNameAt({ timeline: identity.timeline, lsn: identity.start }, identity.segmentBytes);
  throw new AppError('WAL_INVALID', `WAL segment ${name} is damaged at byte ${fault.offset}: ${fault.reason}.`, {
    hint: 'Check disk and memory of this machine. Remove this file and start again: the server still has the segment.',
    context: { path, segment: name, offset: fault.offset },
  });
}

/** How many bytes from the start are pages of this segment. Zeros at the end are not counted: they may be what a crash left. */
export async function measureSegmentFile(path: string, identity: SegmentIdentity): Promise<number> {
  await using file = await open(path, 'r');
  const { size } = await file.stat();
  const checker = new PageChecker(identity);
  const length = Math.min(size, identity.segmentBytes);
  const fault = await findFault(file, length, identity, checker);
  return Math.min(fault?.offset ?? length, checker.zerosFrom ?? length);
}

async function findFault(
  file: FileHandle,
  length: number,
  identity: SegmentIdentity,
  checker = new PageChecker(identity),
): Promise<Fault | undefined> {
  const { pageBytes } = identity;
  const buffer = Buffer.allocUnsafe(Math.max(readBytes, pageBytes));
  for (let offset = 0; offset < length;) {
    const wanted = Math.min(buffer.length, length - offset);
    const { bytesRead } = await file.read(buffer, 0, wanted, offset);
    if (bytesRead === 0) return { offset, reason: 'it ends too early' };
    // A short read ends at a page border, so that every page is seen in one piece.
    const usable = bytesRead === wanted ? bytesRead : bytesRead - (bytesRead % pageBytes) || bytesRead;
    for (let page = 0; page < usable; page += pageBytes) {
      const reason = checker.check(buffer.subarray(page, Math.min(page + pageBytes, usable)), offset + page);
      if (reason !== undefined) return { offset: offset + page, reason };
    }
    offset += usable;
  }
  return undefined;
}

class PageChecker {
  readonly #identity: SegmentIdentity;
  #magic: number | undefined;
  #timeline = 1;
  /** Offset of the first page of zeros, from where on all must be zeros. */
  zerosFrom: number | undefined;

  constructor(identity: SegmentIdentity) {
    this.#identity = identity;
  }

  /** Why this page does not belong here, or undefined when it does. */
  check(page: Uint8Array, offset: number): string | undefined {
    if (offset > 0 && isZero(page)) {
      this.zerosFrom ??= offset;
      return undefined;
    }
    if (this.zerosFrom !== undefined) return 'there is data after pages of zeros';
    if (page.length < shortHeaderBytes) return 'its last page is cut within the header';
    const header = findPageHeader(page);
    if (!header) return 'there is no WAL page';
    const { start, timeline } = this.#identity;
    const address = advance(start, offset);
    if (header.address !== address) {
      return `the page is that of ${formatLsn(lsnFromBigInt(header.address))}, not of ${formatLsn(address)}`;
    }
    // Pages of parents come first in a timeline's first segment.
    if (header.timeline > timeline || header.timeline < this.#timeline) {
      return `the page is of timeline ${header.timeline}`;
    }
    this.#timeline = header.timeline;
    this.#magic ??= header.magic;
    if (header.magic !== this.#magic) return 'the page has the format of another version';
    return offset === 0 ? this.#checkLong(header.long) : undefined;
  }

  #checkLong(long: WalPageHeader['long']): string | undefined {
    const { systemId, segmentBytes, pageBytes } = this.#identity;
    if (!long) return 'its first page does not name the cluster';
    if (long.systemId !== systemId) return `it belongs to the cluster ${long.systemId}, not ${systemId}`;
    if (long.segmentSizeBytes !== segmentBytes) return `its cluster has segments of ${long.segmentSizeBytes} bytes`;
    return long.pageBytes === pageBytes ? undefined : `its cluster has WAL pages of ${long.pageBytes} bytes`;
  }
}

function isZero(bytes: Uint8Array): boolean {
  // Almost every page ends at its first byte, which is that of the magic number.
  if (bytes[0] !== 0) return false;
  if (bytes.length > zeros.length) return bytes.every((byte) => byte === 0);
  return zeros.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;
}
