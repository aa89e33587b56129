// Reads what PackBuilder writes: the header of a stored pack, and single blobs.

import { AppError } from '@varve/base';
import type { Storage } from '@varve/storage';
import { unitOverheadBytes, type UnitCipher } from '../crypto/unit-cipher.ts';
import type { Engine } from '../native/engine.ts';
import type { PackedBlob } from './blob-type.ts';
import { compressedEntryBytes, maxHeaderBytes, packSizeOf, plainEntryBytes } from './pack-header.ts';

/** The smallest pack: one entry, its unit, and the length. */
const minPackBytes = plainEntryBytes + unitOverheadBytes + 4;
/** Fetched at first: 15 entries and the frame, enough for most packs of large blobs. */
const firstReadBytes = 15 * compressedEntryBytes + unitOverheadBytes + 4;

/** More than any blob has (chunks: 8 MiB; trees: what a text can hold): what an index or header says may be absurd. */
const maxPlaintextBytes = 512 * 1024 * 1024;

export interface BlobTools {
  readonly engine: Engine;
  readonly cipher: UnitCipher;
  /** Whether the stored bytes may be overwritten. */
  readonly inPlace?: boolean | undefined;
  /** Memory that the plaintext may be put into: it is then good until the next blob. */
  readonly scratch?: Buffer | undefined;
}

/** The plaintext header in the bytes of a whole pack. REPOSITORY_DAMAGED when it does not fit its file. */
export function headerOfPack(bytes: Uint8Array, cipher: UnitCipher, packId: string): Uint8Array {
  const unitBytes = headerUnitBytes(bytes, bytes.length, packId);
  const header = cipher.open(
    bytes.subarray(bytes.length - 4 - unitBytes, bytes.length - 4),
    `The header of pack ${packId}`,
  );
  return checked(header, bytes.length, packId);
}

/** Reads the plaintext header of a stored pack of `sizeBytes`, with one call for most packs and two for the others. */
export async function readPackHeader(
  storage: Storage,
  options: {
    readonly cipher: UnitCipher;
    readonly packId: string;
    readonly sizeBytes: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Uint8Array> {
  const { cipher, packId, sizeBytes, signal } = options;
  const handle = { type: 'pack', name: packId } as const;
  if (sizeBytes < minPackBytes) throw damaged(packId, `has only ${sizeBytes} bytes`);
  const length = Math.min(sizeBytes, firstReadBytes);
  let tail = await storage.load(handle, { offset: sizeBytes - length, length, signal });
  const unitBytes = headerUnitBytes(tail, sizeBytes, packId);
  if (unitBytes + 4 > tail.length) {
    tail = await storage.load(handle, { offset: sizeBytes - unitBytes - 4, length: unitBytes + 4, signal });
  }
  const unit = tail.subarray(tail.length - 4 - unitBytes, tail.length - 4);
  return checked(cipher.open(unit, `The header of pack ${packId}`), sizeBytes, packId);
}

/** A blob that was opened: what it is, and what was sealed. */
export interface OpenedBlob {
  readonly plaintext: Uint8Array;
  /** The zstd frame of a compressed blob, to be stored elsewhere as it is; null when the plaintext itself was sealed. */
  readonly frame: Uint8Array | null;
}

/**
 * Opens a stored blob. Throws REPOSITORY_DAMAGED that names blob and pack when the bytes were changed, do not decompress, or
 * do not have the hash that is the blob's id.
 */
export function openBlobParts(
  stored: Uint8Array,
  blob: Pick<PackedBlob, 'id' | 'type' | 'uncompressedLength'> & { readonly packId: string },
  tools: BlobTools,
): OpenedBlob {
  const what = `The ${blob.type} blob ${blob.id} in pack ${blob.packId}`;
  const text = tools.cipher.open(stored, what, { inPlace: tools.inPlace });
  if (blob.uncompressedLength > maxPlaintextBytes) {
    throw new AppError('REPOSITORY_DAMAGED', `${what} claims to have ${blob.uncompressedLength} bytes.`);
  }
  const isCompressed = blob.uncompressedLength !== 0;
  const plaintext = isCompressed ? tools.engine.decompress(text, blob.uncompressedLength, tools.scratch) : text;
  if (!plaintext || (isCompressed && plaintext.length !== blob.uncompressedLength)) {
    throw new AppError('REPOSITORY_DAMAGED', `${what} does not decompress to ${blob.uncompressedLength} bytes.`);
  }
  const hash = tools.engine.sha256(plaintext).toString('hex');
  if (hash !== blob.id)
    throw new AppError('REPOSITORY_DAMAGED', `${what} has the hash ${hash}: its content was changed.`);
  return { plaintext, frame: isCompressed ? text : null };
}

/** The plaintext of a stored blob; see {@link openBlobParts}. */
export function openBlob(...parameters: Parameters<typeof openBlobParts>): Uint8Array {
  return openBlobParts(...parameters).plaintext;
}

function headerUnitBytes(tail: Uint8Array, packBytes: number, packId: string): number {
  if (packBytes < minPackBytes || tail.length < 4) throw damaged(packId, `has only ${packBytes} bytes`);
  const unitBytes = new DataView(tail.buffer, tail.byteOffset, tail.length).getUint32(tail.length - 4, true);
  const fits = unitBytes >= unitOverheadBytes + plainEntryBytes && unitBytes <= packBytes - 4;
  if (!fits || unitBytes > maxHeaderBytes) throw damaged(packId, `says that its header has ${unitBytes} bytes`);
  return unitBytes;
}

function checked(header: Uint8Array, packBytes: number, packId: string): Uint8Array {
  const expected = packSizeOf(header);
  if (expected !== packBytes) throw damaged(packId, `has ${packBytes} bytes, but its header says ${expected}`);
  return header;
}

function damaged(packId: string, what: string): AppError {
  return new AppError('REPOSITORY_DAMAGED', `Pack ${packId} ${what}: it is truncated or was changed.`);
}
