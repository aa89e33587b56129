// The header at the end of a pack: a list of entries, in the order of the blobs (restic design.rst, "Pack Format").
// The plaintext header is also our compact form of "what is in this pack": it goes from worker threads to the index as bytes.

import { AppError } from '@varve/base';
import type { BlobType, PackedBlob } from './blob-type.ts';

/** Bytes of an entry of a blob that is stored as it is: type, length, id. */
export const plainEntryBytes = 37;
/** Bytes of an entry of a compressed blob: type, length, uncompressed length, id. */
export const compressedEntryBytes = 41;
/** Bytes of a pack besides blobs and entries: the header's encryption unit and its length. */
export const packFrameBytes = 36;
/** restic refuses longer headers (16 MiB). */
export const maxHeaderBytes = 16 * 1024 * 1024;

const compressedFlag = 2;
const treeFlag = 1;

/** Type byte: bit 0 tree, bit 1 compressed. */
export function typeByte(type: BlobType, compressed: boolean): number {
  return (type === 'tree' ? treeFlag : 0) | (compressed ? compressedFlag : 0);
}

/** Whether a pack of ours holds trees, and not data: it never holds both (restic design.rst, version 2). */
export function holdsTrees(header: Uint8Array): boolean {
  return ((header[0] ?? 0) & treeFlag) !== 0;
}

/** Bytes of the entry of a blob. */
export function entryBytes(uncompressedLength: number): number {
  return uncompressedLength === 0 ? plainEntryBytes : compressedEntryBytes;
}

/** Writes an entry at `offset` of `target` and yields its size. `id` has 32 bytes. */
export function writeEntry(
  target: Buffer,
  offset: number,
  entry: {
    readonly type: BlobType;
    readonly length: number;
    readonly uncompressedLength: number;
    readonly id: Uint8Array;
  },
): number {
  const compressed = entry.uncompressedLength !== 0;
  let position = target.writeUInt8(typeByte(entry.type, compressed), offset);
  position = target.writeUInt32LE(entry.length, position);
  if (compressed) position = target.writeUInt32LE(entry.uncompressedLength, position);
  target.set(entry.id, position);
  return position + 32 - offset;
}

/** What {@link walkHeader} shows of an entry; `idOffset` is where its 32 bytes are in the header. */
export type EntryVisitor = (
  type: BlobType,
  idOffset: number,
  offset: number,
  length: number,
  uncompressedLength: number,
) => void;

/** Calls `visit` for each entry; yields Σ of the blobs' lengths. REPOSITORY_DAMAGED for anything that is not a header. */
export function walkHeader(header: Uint8Array, visit: EntryVisitor): number {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  let position = 0;
  let offset = 0;
  while (position < header.length) {
    const byte = view.getUint8(position);
    const compressed = (byte & compressedFlag) !== 0;
    const size = compressed ? compressedEntryBytes : plainEntryBytes;
    if (byte > 3 || position + size > header.length) throw headerDamaged(`entry at byte ${position} is not one`);
    const length = view.getUint32(position + 1, true);
    const uncompressedLength = compressed ? view.getUint32(position + 5, true) : 0;
    if (length < 32) throw headerDamaged(`entry at byte ${position} has a length of ${length}`);
    visit((byte & treeFlag) !== 0 ? 'tree' : 'data', position + size - 32, offset, length, uncompressedLength);
    offset += length;
    position += size;
  }
  return offset;
}

/** The blobs of a plaintext header as objects. */
export function parseHeader(header: Uint8Array): PackedBlob[] {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.byteLength);
  const blobs: PackedBlob[] = [];
  walkHeader(header, (type, idOffset, offset, length, uncompressedLength) => {
    blobs.push({ type, id: bytes.toString('hex', idOffset, idOffset + 32), offset, length, uncompressedLength });
  });
  return blobs;
}

/** The plaintext header of blobs, which must be ordered by offset and without holes. */
export function encodeHeader(blobs: readonly PackedBlob[]): Buffer {
  const header = Buffer.alloc(blobs.reduce((sum, blob) => sum + entryBytes(blob.uncompressedLength), 0));
  let position = 0;
  for (const blob of blobs) position += writeEntry(header, position, { ...blob, id: Buffer.from(blob.id, 'hex') });
  return header;
}

/** The size that a pack with this plaintext header must have. */
export function packSizeOf(header: Uint8Array): number {
  return walkHeader(header, () => {}) + header.length + packFrameBytes;
}

function headerDamaged(what: string): AppError {
  return new AppError('REPOSITORY_DAMAGED', `The header of a pack is damaged: ${what}.`);
}
