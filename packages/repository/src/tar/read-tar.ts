// Reads tar streams: ustar, pax (with extended attributes and fractions of seconds), GNU long names. Sparse files and
// unknown kinds of entries are refused, never dropped. A stream that breaks off is ARCHIVE_PRODUCER_FAILED.

import { AppError } from '@varve/base';
import type { ExtendedAttribute } from '../tree/tree-node.ts';
import { ByteReader } from './byte-reader.ts';
import { blockBytes, checksumOf, makeDevice, paddingOf, tarFields, xattrPrefix } from './tar-format.ts';

export type TarEntryType = 'file' | 'link' | 'symlink' | 'chardev' | 'dev' | 'dir' | 'fifo';

export interface TarEntry {
  readonly type: TarEntryType;
  /** As in the archive; not checked. */
  readonly name: Buffer;
  /** Target of a link or symbolic link. */
  readonly linkName: Buffer;
  /** Permission bits, 07777. */
  readonly permissions: number;
  readonly uid: number;
  readonly gid: number;
  readonly user: string;
  readonly group: string;
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly device: bigint;
  readonly extendedAttributes: readonly ExtendedAttribute[];
}

/** Called for each entry in order; content that it leaves is skipped. */
export type OnTarEntry = (entry: TarEntry, content: AsyncIterable<Uint8Array>) => Promise<void>;

const types: Readonly<Record<string, TarEntryType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'chardev',
  '4': 'dev',
  '5': 'dir',
  '6': 'fifo',
};
/** A pax header or long name beyond this is no honest one. */
const maxExtraBytes = 16 * 1024 * 1024;

type Pax = Map<string, Buffer>;

function broken(what: string): AppError {
  return new AppError('ARCHIVE_PRODUCER_FAILED', `The tar stream is not valid: ${what}.`, {
    hint: 'Whatever produced it was cut off or failed. Look at its log and try again.',
  });
}

function bytesOf(block: Buffer, [offset, length]: readonly [number, number]): Buffer {
  const field = block.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return end < 0 ? field : field.subarray(0, end);
}

function numberOf(block: Buffer, field: readonly [number, number], what: string): number {
  const [offset, length] = field;
  const first = block[offset] ?? 0;
  let value = 0;
  if (first & 0x80) {
    // Base 256, big endian; negative numbers (first byte 0xff) only occur as times before 1970.
    let bits = BigInt(first & 0x7f);
    for (let i = 1; i < length; i++) bits = (bits << 8n) | BigInt(block[offset + i] ?? 0);
    if (first === 0xff) bits -= 1n << BigInt(8 * length - 1);
    value = Number(bits);
  } else {
    const text = bytesOf(block, field).toString('latin1').trim();
    if (!/^[0-7]*$/.test(text)) throw broken(`an entry has the ${what} "${text}"`);
    value = text === '' ? 0 : Number.parseInt(text, 8);
  }
  if (!Number.isSafeInteger(value)) throw broken(`an entry has an impossible ${what}`);
  return value;
}

function parsePax(bytes: Buffer, into: Pax): void {
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(bytes.toString('latin1', at, space));
    const equals = bytes.indexOf(0x3d, space);
    const end = at + length;
    if (!Number.isInteger(length) || end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a) {
      throw broken('an extended header is damaged');
    }
    into.set(bytes.toString('utf8', space + 1, equals), bytes.subarray(equals + 1, end - 1));
    at = end;
  }
}

function paxNumber(pax: Pax, key: string): number | undefined {
  const text = pax.get(key)?.toString('latin1');
  if (text === undefined) return undefined;
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(Number(text))) throw broken(`an entry has the ${key} "${text}"`);
  return Number(text);
}

function paxTime(pax: Pax, key: string): bigint | undefined {
  const text = pax.get(key)?.toString('latin1');
  if (text === undefined) return undefined;
  const match = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text);
  if (!match) throw broken(`an entry has the ${key} "${text}"`);
  const [, sign, seconds = '0', fraction = ''] = match;
  const ns = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, '0'));
  return sign === '-' ? -ns : ns;
}

function attributesOf(pax: Pax): ExtendedAttribute[] {
  const attributes: ExtendedAttribute[] = [];
  for (const [key, value] of pax) {
    if (key.startsWith(xattrPrefix))
      attributes.push({ name: key.slice(xattrPrefix.length), value: Buffer.from(value) });
  }
  return attributes;
}

function nameOf(block: Buffer): Buffer {
  const name = bytesOf(block, tarFields.name);
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = isPosix ? bytesOf(block, tarFields.prefix) : Buffer.alloc(0);
  return prefix.length === 0 ? name : Buffer.concat([prefix, Buffer.from('/'), name]);
}

function toEntry(
  block: Buffer,
  pax: Pax,
  long: { name?: Buffer | undefined; linkName?: Buffer | undefined },
): TarEntry {
  const flag = block.toString('latin1', 156, 157);
  const known = types[flag];
  if (flag === 'S' || [...pax.keys()].some((key) => key.startsWith('GNU.sparse.'))) {
    throw broken('it holds a sparse file, which is not supported (make it without --sparse)');
  }
  if (known === undefined) throw broken(`it holds an entry of the unknown kind "${flag}"`);
  const name = Buffer.from(pax.get('path') ?? long.name ?? nameOf(block));
  // Before POSIX, a folder was a file whose name ends with a slash.
  const type = known === 'file' && name.at(-1) === 0x2f ? 'dir' : known;
  const size = paxNumber(pax, 'size') ?? numberOf(block, tarFields.size, 'size');
  if (size < 0) throw broken('an entry has a negative size');
  const isDevice = type === 'chardev' || type === 'dev';
  return {
    type,
    name,
    linkName: Buffer.from(pax.get('linkpath') ?? long.linkName ?? bytesOf(block, tarFields.linkName)),
    permissions: numberOf(block, tarFields.mode, 'mode') & 0o7777,
    uid: paxNumber(pax, 'uid') ?? numberOf(block, tarFields.uid, 'owner'),
    gid: paxNumber(pax, 'gid') ?? numberOf(block, tarFields.gid, 'group'),
    user: (pax.get('uname') ?? bytesOf(block, tarFields.user)).toString('utf8'),
    group: (pax.get('gname') ?? bytesOf(block, tarFields.group)).toString('utf8'),
    size,
    mtimeNs: paxTime(pax, 'mtime') ?? BigInt(numberOf(block, tarFields.mtime, 'time')) * 1_000_000_000n,
    device: isDevice
      ? makeDevice(numberOf(block, tarFields.major, 'device'), numberOf(block, tarFields.minor, 'device'))
      : 0n,
    extendedAttributes: attributesOf(pax),
  };
}

/** Reads to the end of the source, also behind the end of the archive, so that its producer can end well. */
export async function readTar(source: AsyncIterable<Uint8Array>, onEntry: OnTarEntry): Promise<void> {
  const reader = new ByteReader(source);
  try {
    await readEntries(reader, onEntry);
    while (await reader.take(Number.MAX_SAFE_INTEGER));
  } finally {
    await reader.close();
  }
}

async function readEntries(reader: ByteReader, onEntry: OnTarEntry): Promise<void> {
  const globals: Pax = new Map();
  let locals: Pax = new Map();
  let long: { name?: Buffer; linkName?: Buffer } = {};
  for (;;) {
    const block = await reader.read(blockBytes);
    // PostgreSQL before 15 sends no end marker, so that the end between two entries is an end as well.
    if (block.length === 0 || (block.length === blockBytes && block.every((byte) => byte === 0))) break;
    if (block.length < blockBytes) throw broken('it ends within a header');
    if (numberOf(block, tarFields.checksum, 'checksum') !== checksumOf(block)) throw broken('a header has a wrong sum');
    const flag = block.toString('latin1', 156, 157);
    if (flag === 'V') continue;
    if (flag === 'x' || flag === 'g' || flag === 'L' || flag === 'K') {
      const extra = await readExtra(reader, block);
      if (flag === 'x') parsePax(extra, locals);
      else if (flag === 'g') parsePax(extra, globals);
      else if (flag === 'L') long.name = untilZero(extra);
      else long.linkName = untilZero(extra);
      continue;
    }
    const entry = toEntry(block, new Map([...globals, ...locals]), long);
    await passOn(reader, entry, onEntry);
    locals = new Map();
    long = {};
  }
}

function untilZero(bytes: Buffer): Buffer {
  const end = bytes.indexOf(0);
  return end < 0 ? bytes : bytes.subarray(0, end);
}

async function readExtra(reader: ByteReader, block: Buffer): Promise<Buffer> {
  const size = numberOf(block, tarFields.size, 'size');
  if (size < 0 || size > maxExtraBytes) throw broken(`an extended header has ${size} bytes`);
  const bytes = await reader.read(size + paddingOf(size));
  if (bytes.length < size + paddingOf(size)) throw broken('it ends within an extended header');
  return bytes.subarray(0, size);
}

async function passOn(reader: ByteReader, entry: TarEntry, onEntry: OnTarEntry): Promise<void> {
  const size = entry.type === 'file' ? entry.size : 0;
  let left = size;
  async function* content(): AsyncGenerator<Uint8Array> {
    while (left > 0) {
      const part = await reader.take(left);
      if (!part) throw broken(`it ends within "${entry.name.toString()}", ${left} bytes before its end`);
      left -= part.length;
      yield part;
    }
  }
  await onEntry(entry, content());
  const rest = left + paddingOf(size);
  if ((await reader.skip(rest)) < rest) throw broken(`it ends within "${entry.name.toString()}"`);
}
