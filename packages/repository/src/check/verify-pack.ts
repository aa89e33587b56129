// Reads every byte of one pack: its hash, its header against the index, every blob. Pure; runs in worker threads.

import { messageOf } from '@varve/base';
import type { PackedBlob } from '../pack/blob-type.ts';
import { encodeHeader } from '../pack/pack-header.ts';
import { headerOfPack, openBlob, type BlobTools } from '../pack/pack-reader.ts';
import type { Finding } from './findings.ts';

/** Enough for every chunk: restic's are at most 8 MiB. */
export const verifyScratchBytes = 8 * 1024 * 1024;

/** A pack's file and its plaintext header as the index has it. */
export interface PackToVerify {
  readonly packId: string;
  readonly bytes: Uint8Array;
  readonly blobs: readonly PackedBlob[];
}

/** What is wrong with the pack; nothing when it is good. `bytes` are overwritten. */
export function verifyPack(pack: PackToVerify, tools: Omit<BlobTools, 'inPlace'>): Finding[] {
  const { packId, bytes, blobs } = pack;
  const { engine, cipher, scratch } = tools;
  const findings: Finding[] = [];
  if (engine.sha256(bytes).toString('hex') !== packId) {
    const message = `Pack ${packId} was changed: its content does not have the hash that is its name.`;
    findings.push({ code: 'PACK_DAMAGED', id: packId, message });
  }
  try {
    const header = headerOfPack(bytes, cipher, packId);
    if (Buffer.compare(header, encodeHeader(blobs)) !== 0) {
      const message = `The header of pack ${packId} lists other blobs than the index.`;
      findings.push({ code: 'PACK_HEADER_DIFFERENT', id: packId, message });
    }
  } catch (error) {
    findings.push({ code: 'PACK_DAMAGED', id: packId, message: messageOf(error) });
  }
  for (const blob of blobs) {
    const stored = bytes.subarray(blob.offset, blob.offset + blob.length);
    try {
      openBlob(stored, { ...blob, packId }, { engine, cipher, scratch, inPlace: true });
    } catch (error) {
      findings.push({ code: 'BLOB_DAMAGED', id: blob.id, message: messageOf(error) });
    }
  }
  return findings;
}
