// The head of a WAL page. Sources: src/include/access/xlog_internal.h of 13 to 18, XLogReaderValidatePageHeader in
// src/backend/access/transam/xlogreader.c for what a server checks.

import { lsnFromBigInt, type Lsn } from '../lsn.ts';
import { isSegmentSize } from './segments.ts';

/** Versions of PostgreSQL whose log is understood. */
export type WalMajor = 13 | 14 | 15 | 16 | 17 | 18;

/** Size of a WAL page in every build that is distributed. */
export const pageBytes = 8192;

export const shortHeaderBytes = 24;
export const longHeaderBytes = 40;

export const firstIsContinuation = 0x0001;
const isLong = 0x0002;
export const firstOverwritesContinuation = 0x0008;
export const allPageFlags = 0x000f;

/** Of every `XLOG_PAGE_MAGIC`, those of later versions too. */
const magicHighByte = 0xd1;
/** `XLOG_PAGE_MAGIC`: it changes with every major version and stays within one. */
const majorOfMagic: ReadonlyMap<number, WalMajor> = new Map([
  [0xd106, 13],
  [0xd10d, 14],
  [0xd110, 15],
  [0xd113, 16],
  [0xd116, 17],
  [0xd118, 18],
]);

export interface WalPageHeader {
  readonly magic: number;
  /** Undefined when the magic is that of no version that is understood. */
  readonly major: WalMajor | undefined;
  readonly flags: number;
  readonly timeline: number;
  /** Position of the page, as it says. */
  readonly address: bigint;
  /** How many bytes of a record of earlier pages are still to come, from this page on. */
  readonly remainingBytes: number;
  readonly headerBytes: number;
  /** In the first page of a segment. */
  readonly long:
    | { readonly systemId: string; readonly segmentSizeBytes: number; readonly pageBytes: number }
    | undefined;
}

/** The flags alone, from the first 4 bytes: whether the header is a long one. */
export function headerBytesOf(view: DataView): number {
  return (view.getUint16(2, true) & isLong) === 0 ? shortHeaderBytes : longHeaderBytes;
}

/** Reads a header; the view holds at least {@link headerBytesOf} bytes. */
export function readPageHeader(view: DataView): WalPageHeader {
  const magic = view.getUint16(0, true);
  const headerBytes = headerBytesOf(view);
  const long =
    headerBytes === shortHeaderBytes
      ? undefined
      : {
          systemId: view.getBigUint64(24, true).toString(),
          segmentSizeBytes: view.getUint32(32, true),
          pageBytes: view.getUint32(36, true),
        };
  return {
    magic,
    major: majorOfMagic.get(magic),
    flags: view.getUint16(2, true),
    timeline: view.getUint32(4, true),
    address: view.getBigUint64(8, true),
    remainingBytes: view.getUint32(16, true),
    headerBytes,
    long,
  };
}

/** The header at the start of `page`; undefined when these bytes are not the header of a WAL page of any version. */
export function findPageHeader(page: Uint8Array): WalPageHeader | undefined {
  if (page.length < shortHeaderBytes) return undefined;
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  if (page.length < headerBytesOf(view)) return undefined;
  const header = readPageHeader(view);
  const isPage = header.magic >> 8 === magicHighByte && (header.flags & ~allPageFlags) === 0 && header.timeline !== 0;
  return isPage ? header : undefined;
}

/** What the first page of a file says of the file. */
export interface WalFileHeader {
  readonly major: WalMajor;
  readonly systemId: string;
  readonly segmentSizeBytes: number;
  /** Of the first page; in the segment where a timeline begins that of its parent. */
  readonly timeline: number;
  readonly startLsn: Lsn;
}

/** Reads the first {@link longHeaderBytes} of a segment file; undefined when they are not the beginning of a segment. */
export function readWalFileHeader(bytes: Uint8Array): WalFileHeader | undefined {
  if (bytes.length < longHeaderBytes) return undefined;
  const { major, long, address, timeline } = readPageHeader(new DataView(bytes.buffer, bytes.byteOffset, bytes.length));
  if (major === undefined || long === undefined || timeline === 0 || !isSegmentSize(long.segmentSizeBytes)) {
    return undefined;
  }
  const { systemId, segmentSizeBytes } = long;
  return { major, systemId, segmentSizeBytes, timeline, startLsn: lsnFromBigInt(address) };
}
