// Index files: JSON that lists packs and their blobs (restic design.rst, "Indexing"; the bytes are those of restic's encoder).
// `supersedes` and unknown keys are ignored, as current restic does.

import { AppError } from '@varve/base';
import { isHexId, type PackedBlob } from '../pack/blob-type.ts';
import { walkHeader } from '../pack/pack-header.ts';
import type { BlobIndex, IndexedPack } from './blob-index.ts';
import { packIdsOf, scanIndexFile } from './index-listing.ts';

/** An index file is written when it holds this many blobs, as restic does. */
export const maxBlobsPerIndexFile = 50_000;

/** A pack to be listed, by its plaintext header. */
export interface PackListing {
  readonly packId: string;
  readonly header: Uint8Array;
}

/** The JSON of an index file. */
export function encodeIndexFile(packs: readonly PackListing[]): Buffer {
  return Buffer.from(`{"packs":[${packs.map(encodePack).join(',')}]}\n`);
}

/** As {@link encodeIndexFile}, of packs as an index knows them: of a damaged pack that may be less than its header says. */
export function encodeIndexedPacks(packs: readonly IndexedPack[]): Buffer {
  const texts = packs.map(({ packId, blobs }) => `{"id":"${packId}","blobs":[${blobs.map(encodeBlob).join(',')}]}`);
  return Buffer.from(`{"packs":[${texts.join(',')}]}\n`);
}

function encodePack({ packId, header }: PackListing): string {
  const bytes = Buffer.from(header.buffer, header.byteOffset, header.byteLength);
  const blobs: string[] = [];
  walkHeader(header, (type, idOffset, offset, length, uncompressedLength) => {
    const id = bytes.toString('hex', idOffset, idOffset + 32);
    blobs.push(encodeBlob({ type, id, offset, length, uncompressedLength }));
  });
  return `{"id":"${packId}","blobs":[${blobs.join(',')}]}`;
}

/** Adds what an index file lists and yields its packs; nothing of a file that is damaged, which is REPOSITORY_DAMAGED. */
export function addIndexFile(index: BlobIndex, json: Uint8Array, fileId: string): string[] {
  const listing = scanIndexFile(json);
  if (listing) {
    index.addListing(listing);
    return packIdsOf(listing);
  }
  const packs = decodeIndexFile(json, fileId);
  index.reserve(packs.reduce((sum, { blobs }) => sum + blobs.length, 0));
  for (const { packId, blobs } of packs) index.addBlobs(packId, blobs);
  return packs.map(({ packId }) => packId);
}

function encodeBlob({ type, id, offset, length, uncompressedLength }: PackedBlob): string {
  const plain = uncompressedLength === 0 ? '' : `,"uncompressed_length":${uncompressedLength}`;
  return `{"id":"${id}","type":"${type}","offset":${offset},"length":${length}${plain}}`;
}

/** The packs that an index file lists. REPOSITORY_DAMAGED that names the file when it is not one. */
export function decodeIndexFile(json: Uint8Array, fileId: string): IndexedPack[] {
  const parsed = parseJson(json, fileId);
  const packs = isRecord(parsed) ? parsed['packs'] : undefined;
  if (packs === null || (packs === undefined && isRecord(parsed))) return [];
  if (!Array.isArray(packs)) throw damaged(fileId, 'it has no list of packs');
  return packs.map((pack: unknown) => {
    if (!isRecord(pack) || !isHexId(pack['id'])) throw damaged(fileId, 'a pack has no id');
    const blobs: unknown = pack['blobs'];
    if (!Array.isArray(blobs)) throw damaged(fileId, `pack ${pack['id']} has no list of blobs`);
    return { packId: pack['id'], blobs: blobs.map((blob: unknown) => decodeBlob(blob, fileId)) };
  });
}

function decodeBlob(blob: unknown, fileId: string): PackedBlob {
  if (!isRecord(blob)) throw damaged(fileId, 'a blob is not an object');
  const { id, type, offset, length, uncompressed_length: uncompressedLength = 0 } = blob;
  if (!isHexId(id) || (type !== 'data' && type !== 'tree')) throw damaged(fileId, 'a blob has no id or no type');
  if (!isUint32(offset) || !isUint32(length) || !isUint32(uncompressedLength) || length < 32) {
    throw damaged(fileId, `blob ${id} has an impossible place`);
  }
  return { type, id, offset, length, uncompressedLength };
}

function parseJson(json: Uint8Array, fileId: string): unknown {
  try {
    return JSON.parse(Buffer.from(json.buffer, json.byteOffset, json.byteLength).toString('utf8'));
  } catch (error) {
    throw damaged(fileId, 'it is not JSON', error);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isUint32(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

function damaged(fileId: string, what: string, cause?: unknown): AppError {
  return new AppError('REPOSITORY_DAMAGED', `Index file ${fileId} is damaged: ${what}.`, {
    hint: 'Rebuild the index from the packs: varve repo repair index.',
    cause,
  });
}
