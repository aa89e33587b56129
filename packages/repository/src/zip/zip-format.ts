// Makes the records of a zip archive that is written in one go: sizes follow the content (data descriptors), zip64 where a
// number needs it. Names are bytes: those that are not UTF-8 stay as they are, which is why no library is used.
// Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3 to 4.5; Info-ZIP's extra field "UT".

import { isUtf8 } from 'node:buffer';

export interface ZipEntry {
  /** Relative; of folders with a slash at the end. */
  readonly name: Buffer;
  /** st_mode, type bits included. */
  readonly mode: number;
  readonly mtimeNs: bigint;
  readonly isDeflated: boolean;
  /** Sizes have 8 bytes: decided before the content is known. */
  readonly isZip64: boolean;
}

/** What is known when the content was written. */
export interface ZipContent {
  readonly crc32: number;
  readonly compressedBytes: number;
  readonly sizeBytes: number;
}

const signatures = {
  local: 0x04034b50,
  descriptor: 0x08074b50,
  central: 0x02014b50,
  end64: 0x06064b50,
  locator64: 0x07064b50,
  end: 0x06054b50,
} as const;
const version = 20;
const version64 = 45;
const madeByUnix = 3 << 8;
const descriptorFlag = 1 << 3;
const utf8Flag = 1 << 11;
const deflated = 8;
const zip64Extra = 0x0001;
const timeExtra = 0x5455;
const all16 = 0xffff;
const all32 = 0xffffffff;
const folderAttribute = 0x10;
const stDirectory = 0o040000;
const stTypeMask = 0o170000;
const second = 1_000_000_000n;

/** Before the content. Without deflation the content has to be known: its sizes are in the header then. */
export function localHeader(entry: ZipEntry, content?: ZipContent): Buffer {
  const extra = Buffer.concat([
    ...(entry.isZip64 ? [zip64Field([BigInt(content?.sizeBytes ?? 0), BigInt(content?.compressedBytes ?? 0)])] : []),
    timeField(entry),
  ]);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(signatures.local, 0);
  writeCommon(header, 4, { entry, content, hidesSizes: entry.isZip64 });
  header.writeUInt16LE(entry.name.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, entry.name, extra]);
}

/** After content whose sizes are not in its header. */
export function dataDescriptor(entry: ZipEntry, { crc32, compressedBytes, sizeBytes }: ZipContent): Buffer {
  const record = Buffer.alloc(entry.isZip64 ? 24 : 16);
  record.writeUInt32LE(signatures.descriptor, 0);
  record.writeUInt32LE(crc32, 4);
  if (entry.isZip64) {
    record.writeBigUInt64LE(BigInt(compressedBytes), 8);
    record.writeBigUInt64LE(BigInt(sizeBytes), 16);
  } else {
    record.writeUInt32LE(compressedBytes, 8);
    record.writeUInt32LE(sizeBytes, 12);
  }
  return record;
}

/** The entry's record in the directory at the end. `offset` is where its local header is. */
export function centralHeader(entry: ZipEntry, content: ZipContent, offset: number): Buffer {
  const isZip64 = entry.isZip64 || offset >= all32;
  const numbers = [content.sizeBytes, content.compressedBytes, offset].map(BigInt);
  const extra = Buffer.concat([...(isZip64 ? [zip64Field(numbers)] : []), timeField(entry)]);
  const header = Buffer.alloc(46);
  header.writeUInt32LE(signatures.central, 0);
  header.writeUInt16LE(madeByUnix | (isZip64 ? version64 : version), 4);
  writeCommon(header, 6, { entry, content, hidesSizes: isZip64 });
  header.writeUInt16LE(entry.name.length, 28);
  header.writeUInt16LE(extra.length, 30);
  const isFolder = (entry.mode & stTypeMask) === stDirectory;
  header.writeUInt32LE(((entry.mode << 16) | (isFolder ? folderAttribute : 0)) >>> 0, 38);
  header.writeUInt32LE(isZip64 ? all32 : offset, 42);
  return Buffer.concat([header, entry.name, extra]);
}

/** After the directory, the end of the archive. */
export function endRecords(directory: {
  readonly entries: number;
  readonly offset: number;
  readonly sizeBytes: number;
}): Buffer {
  const { entries, offset, sizeBytes } = directory;
  const isZip64 = entries >= all16 || offset >= all32 || sizeBytes >= all32;
  const end = Buffer.alloc(22);
  end.writeUInt32LE(signatures.end, 0);
  end.writeUInt16LE(isZip64 ? all16 : entries, 8);
  end.writeUInt16LE(isZip64 ? all16 : entries, 10);
  end.writeUInt32LE(isZip64 ? all32 : sizeBytes, 12);
  end.writeUInt32LE(isZip64 ? all32 : offset, 16);
  if (!isZip64) return end;
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(signatures.end64, 0);
  end64.writeBigUInt64LE(44n, 4);
  end64.writeUInt16LE(madeByUnix | version64, 12);
  end64.writeUInt16LE(version64, 14);
  for (const [at, value] of [entries, entries, sizeBytes, offset].entries()) {
    end64.writeBigUInt64LE(BigInt(value), 24 + at * 8);
  }
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(signatures.locator64, 0);
  locator.writeBigUInt64LE(BigInt(offset + sizeBytes), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([end64, locator, end]);
}

/** The 22 bytes that local and central headers share, from "version needed" to "uncompressed size". */
function writeCommon(
  header: Buffer,
  at: number,
  values: { readonly entry: ZipEntry; readonly content: ZipContent | undefined; readonly hidesSizes: boolean },
): void {
  const { entry, content, hidesSizes } = values;
  const { date, time } = dosTime(entry.mtimeNs);
  header.writeUInt16LE(hidesSizes ? version64 : version, at);
  header.writeUInt16LE((entry.isDeflated ? descriptorFlag : 0) | (isUtf8(entry.name) ? utf8Flag : 0), at + 2);
  header.writeUInt16LE(entry.isDeflated ? deflated : 0, at + 4);
  header.writeUInt16LE(time, at + 6);
  header.writeUInt16LE(date, at + 8);
  header.writeUInt32LE(content?.crc32 ?? 0, at + 10);
  header.writeUInt32LE(hidesSizes ? all32 : (content?.compressedBytes ?? 0), at + 14);
  header.writeUInt32LE(hidesSizes ? all32 : (content?.sizeBytes ?? 0), at + 18);
}

function zip64Field(numbers: readonly bigint[]): Buffer {
  const field = Buffer.alloc(4 + numbers.length * 8);
  field.writeUInt16LE(zip64Extra, 0);
  field.writeUInt16LE(numbers.length * 8, 2);
  for (const [i, value] of numbers.entries()) field.writeBigUInt64LE(value, 4 + i * 8);
  return field;
}

/** The modification time in seconds since 1970; nothing for what 32 bits cannot say. */
function timeField({ mtimeNs }: ZipEntry): Buffer {
  const seconds = mtimeNs / second - (mtimeNs % second < 0n ? 1n : 0n);
  if (seconds < -0x80000000n || seconds > 0x7fffffffn) return Buffer.alloc(0);
  const field = Buffer.alloc(9);
  field.writeUInt16LE(timeExtra, 0);
  field.writeUInt16LE(5, 2);
  field.writeUInt8(1, 4);
  field.writeInt32LE(Number(seconds), 5);
  return field;
}

/** In UTC, in steps of two seconds, from 1980 to 2107. */
function dosTime(mtimeNs: bigint): { date: number; time: number } {
  const at = new Date(Number(mtimeNs / 1_000_000n));
  const year = at.getUTCFullYear();
  if (Number.isNaN(year) || year < 1980) return { date: (1 << 5) | 1, time: 0 };
  if (year > 2107) return { date: (127 << 9) | (12 << 5) | 31, time: 0 };
  return {
    date: ((year - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
    time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1),
  };
}
