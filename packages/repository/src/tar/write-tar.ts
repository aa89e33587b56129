// Makes the headers of a pax tar: plain ustar where that says all, with an extended header for what it cannot say (long or
// non-ASCII names, large numbers, nanoseconds, extended attributes).

import { blockBytes, checksumOf, majorOf, minorOf, paddingOf, tarFields, xattrPrefix } from './tar-format.ts';
import type { TarEntry, TarEntryType } from './read-tar.ts';

const flags: Readonly<Record<TarEntryType, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  chardev: '3',
  dev: '4',
  dir: '5',
  fifo: '6',
};
const maxOctal8 = 0o7777777;
const maxOctal12 = 0o77777777777;
const second = 1_000_000_000n;

/** Everything before the content of an entry. */
export function tarHeader(entry: TarEntry): Buffer {
  const pax = paxRecords(entry);
  const header = ustarHeader(entry, flags[entry.type]);
  if (pax.length === 0) return header;
  const name = Buffer.from('PaxHeaders/entry');
  const extended = ustarHeader({ ...entry, type: 'file', name, linkName: Buffer.alloc(0), size: pax.length }, 'x');
  return Buffer.concat([extended, pax, Buffer.alloc(paddingOf(pax.length)), header]);
}

/** Zeros after content of this size. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc(paddingOf(sizeBytes));
}

/** The end of an archive. */
export const tarEnd = Buffer.alloc(2 * blockBytes);

function paxRecords(entry: TarEntry): Buffer {
  const records: Buffer[] = [];
  const add = (key: string, value: string | Uint8Array): void => {
    records.push(paxRecord(key, typeof value === 'string' ? Buffer.from(value) : value));
  };
  if (!fits(entry.name, tarFields.name)) add('path', entry.name);
  if (!fits(entry.linkName, tarFields.linkName)) add('linkpath', entry.linkName);
  if (entry.size > maxOctal12) add('size', String(entry.size));
  if (entry.uid > maxOctal8) add('uid', String(entry.uid));
  if (entry.gid > maxOctal8) add('gid', String(entry.gid));
  if (!fits(Buffer.from(entry.user), tarFields.user)) add('uname', entry.user);
  if (!fits(Buffer.from(entry.group), tarFields.group)) add('gname', entry.group);
  if (entry.mtimeNs % second !== 0n || entry.mtimeNs < 0n || entry.mtimeNs / second > BigInt(maxOctal12)) {
    add('mtime', paxTime(entry.mtimeNs));
  }
  for (const { name, value } of entry.extendedAttributes) add(xattrPrefix + name, value ?? Buffer.alloc(0));
  return Buffer.concat(records);
}

/** Whether bytes can stand in a header field as they are. */
function fits(bytes: Buffer, [, length]: readonly [number, number]): boolean {
  return bytes.length <= length && bytes.every((byte) => byte < 0x80);
}

/** `LENGTH KEY=VALUE\n`, the length counting itself. */
function paxRecord(key: string, value: Uint8Array): Buffer {
  const rest = 1 + Buffer.byteLength(key) + 1 + value.length + 1;
  let length = rest + String(rest).length;
  if (rest + String(length).length !== length) length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from('\n')]);
}

function paxTime(ns: bigint): string {
  const sign = ns < 0n ? '-' : '';
  const size = ns < 0n ? -ns : ns;
  const fraction = String(size % second)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${sign}${size / second}${fraction === '' ? '' : `.${fraction}`}`;
}

function ustarHeader(entry: TarEntry, flag: string): Buffer {
  const block = Buffer.alloc(blockBytes);
  const text = ([offset, length]: readonly [number, number], bytes: Buffer): void => {
    bytes.copy(block, offset, 0, length);
  };
  const octal = ([offset, length]: readonly [number, number], value: number): void => {
    const clamped = Math.min(Math.max(0, Math.trunc(value)), 8 ** (length - 1) - 1);
    block.write(clamped.toString(8).padStart(length - 1, '0'), offset, 'latin1');
  };
  text(tarFields.name, entry.name);
  octal(tarFields.mode, entry.permissions);
  octal(tarFields.uid, entry.uid);
  octal(tarFields.gid, entry.gid);
  octal(tarFields.size, entry.size);
  octal(tarFields.mtime, Number(entry.mtimeNs / second));
  block.write(flag, tarFields.type[0], 'latin1');
  text(tarFields.linkName, entry.linkName);
  block.write('ustar\x0000', tarFields.magic[0], 'latin1');
  text(tarFields.user, Buffer.from(entry.user));
  text(tarFields.group, Buffer.from(entry.group));
  octal(tarFields.major, majorOf(entry.device));
  octal(tarFields.minor, minorOf(entry.device));
  block.write(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `, tarFields.checksum[0], 'latin1');
  return block;
}
