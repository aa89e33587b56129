// Headers of WAL pages. Every page starts with one; the first page of a segment has the long form, which names the cluster.
// Fields are in the server's byte order, and only little-endian servers are supported (x86-64, arm64).
// Source: src/include/access/xlog_internal.h, XLogPageHeaderData and XLogLongPageHeaderData.

import { lsnFromBigInt, type Lsn } from '../lsn.ts';

export const shortHeaderBytes = 24;
export const longHeaderBytes = 40;

const longHeaderFlag = 0x0002;
const knownFlags = 0x000f;
/** XLOG_PAGE_MAGIC is 0xD106 in version 13 and grows with each change of the format. */
const magicHighByte = 0xd1;
const alignmentBytes = 8n;

export interface WalPageHeader {
  readonly magic: number;
  /** Timeline that the page was written on; in the first segment of a timeline pages of its parent come first. */
  readonly timeline: number;
  readonly address: Lsn;
  /** Only in the long form. */
  readonly long?: {
    readonly systemId: string;
    readonly segmentBytes: number;
    readonly pageBytes: number;
  };
}

/** Reads the header at the start of `page`; undefined when these bytes are not the header of a WAL page. */
export function readPageHeader(page: Uint8Array): WalPageHeader | undefined {
  if (page.length < shortHeaderBytes) return undefined;
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const magic = view.getUint16(0, true);
  const info = view.getUint16(2, true);
  const timeline = view.getUint32(4, true);
  const address = lsnFromBigInt(view.getBigUint64(8, true));
  if (magic >> 8 !== magicHighByte || (info & ~knownFlags) !== 0 || timeline === 0) return undefined;
  if (address % alignmentBytes !== 0n) return undefined;
  if ((info & longHeaderFlag) === 0) return { magic, timeline, address };
  if (page.length < longHeaderBytes) return undefined;
  return {
    magic,
    timeline,
    address,
    long: {
      systemId: view.getBigUint64(24, true).toString(),
      segmentBytes: view.getUint32(32, true),
      pageBytes: view.getUint32(36, true),
    },
  };
}
