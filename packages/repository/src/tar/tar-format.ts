// Layout of tar headers (POSIX.1-2017 pax, ustar, GNU long names and base-256 numbers). Names and pax values are bytes:
// extended attributes are binary and names need not be UTF-8, which is why we do not use a library that makes them text.

export const blockBytes = 512;

/** Field of a header block: offset and length. */
export const tarFields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkName: [157, 100],
  magic: [257, 6],
  version: [263, 2],
  user: [265, 32],
  group: [297, 32],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [number, number]>;

export const xattrPrefix = 'SCHILY.xattr.';

/** Bytes from the end of content to the next block. */
export function paddingOf(sizeBytes: number): number {
  return (blockBytes - (sizeBytes % blockBytes)) % blockBytes;
}

/** The sum that a header block carries: of all bytes, its own field counted as spaces. */
export function checksumOf(block: Uint8Array): number {
  const [start, length] = tarFields.checksum;
  let sum = 0;
  for (const [i, byte] of block.entries()) sum += i >= start && i < start + length ? 0x20 : byte;
  return sum;
}

/** Linux dev_t of a device's numbers (glibc's gnu_dev_makedev). */
export function makeDevice(major: number, minor: number): bigint {
  const [high, low] = [BigInt(major), BigInt(minor)];
  return ((high & 0xfffn) << 8n) | (low & 0xffn) | ((low & ~0xffn) << 12n) | ((high & ~0xfffn) << 32n);
}

export function majorOf(device: bigint): number {
  return Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn));
}

export function minorOf(device: bigint): number {
  return Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n));
}
