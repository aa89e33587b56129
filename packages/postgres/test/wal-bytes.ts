// WAL segments made by a test: pages that say where they belong, filled with bytes that tell where they are.

import type { Lsn } from '../src/index.ts';
import { segmentStart } from '../src/wal/segments.ts';

export interface MadeWal {
  readonly systemId: string;
  readonly timeline: number;
  readonly segmentBytes: number;
  /** Another value makes other content at the same place. */
  readonly seed?: number;
}

export const pageBytes = 8192;

/** The bytes of WAL from one position to another. */
export function madeWal(from: Lsn, to: Lsn, made: MadeWal): Buffer {
  const firstPage = from - (from % BigInt(pageBytes));
  const pages: Buffer[] = [];
  for (let address = firstPage; address < to; address += BigInt(pageBytes)) pages.push(page(address as Lsn, made));
  return Buffer.concat(pages).subarray(Number(from - firstPage), Number(to - firstPage));
}

function page(address: Lsn, { systemId, timeline, segmentBytes, seed = 0 }: MadeWal): Buffer {
  const bytes = Buffer.alloc(pageBytes, Number((address / BigInt(pageBytes)) % 251n) + seed);
  const isFirst = segmentStart(address, segmentBytes) === address;
  bytes.writeUInt16LE(0xd110, 0);
  bytes.writeUInt16LE(isFirst ? 2 : 0, 2);
  bytes.writeUInt32LE(timeline, 4);
  bytes.writeBigUInt64LE(address, 8);
  bytes.writeUInt32LE(0, 16);
  if (!isFirst) return bytes;
  bytes.writeBigUInt64LE(BigInt(systemId), 24);
  bytes.writeUInt32LE(segmentBytes, 32);
  bytes.writeUInt32LE(pageBytes, 36);
  return bytes;
}
