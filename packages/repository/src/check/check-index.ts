// Checks the index against the packs that are there: sizes, holes, packs that are missing or in no index file.

import { mapConcurrently, messageOf } from '@varve/base';
import { BlobIndex, type IndexedPack } from '../blob-index/blob-index.ts';
import { decodeIndexFile } from '../blob-index/index-file.ts';
import { entryBytes, packFrameBytes } from '../pack/pack-header.ts';
import { isDamage, type Repository } from '../repository.ts';
import type { Findings } from './findings.ts';

const filesAtOnce = 8;

/** Reads every index file anew; those that cannot be read are errors. */
export async function readIndexFiles(
  repository: Repository,
  findings: Findings,
  signal?: AbortSignal,
): Promise<BlobIndex> {
  const index = new BlobIndex();
  const listedIn = new Map<string, string>();
  await mapConcurrently(await repository.listFiles('index', { signal }), filesAtOnce, async ({ name }) => {
    let packs: IndexedPack[];
    try {
      packs = decodeIndexFile(await repository.loadUnpacked('index', name, { signal, fresh: true }), name);
    } catch (error) {
      if (!isDamage(error)) throw error;
      findings.error('INDEX_DAMAGED', name, messageOf(error));
      return;
    }
    for (const { packId, blobs } of packs) {
      const first = listedIn.get(packId);
      if (first !== undefined) {
        const message = `Pack ${packId} is listed in the index files ${first} and ${name}; repair index merges them.`;
        findings.warn('INDEX_DUPLICATE', packId, message);
      }
      listedIn.set(packId, name);
      index.addBlobs(packId, blobs);
    }
  });
  return index;
}

/** Compares what the index says of each pack with the list of files. `stored` maps packs to their sizes. */
export function comparePacks(
  index: BlobIndex,
  stored: ReadonlyMap<string, number>,
  options: { readonly findings: Findings; readonly version: 1 | 2 },
): void {
  const { findings, version } = options;
  for (const { packId, blobs } of index.packs()) {
    const sizeBytes = stored.get(packId);
    if (sizeBytes === undefined) {
      findings.error(
        'PACK_MISSING',
        packId,
        `Pack ${packId} with ${blobs.length} blobs is in the index, but its file is missing.`,
      );
      continue;
    }
    let end = 0;
    let entries = 0;
    let hasHoles = false;
    for (const { offset, length, uncompressedLength } of blobs) {
      hasHoles ||= offset !== end;
      end = offset + length;
      entries += entryBytes(uncompressedLength);
    }
    const expected = end + entries + packFrameBytes;
    if (expected !== sizeBytes || hasHoles) {
      const message = `Pack ${packId} has ${sizeBytes} bytes; by the index it has ${expected}${hasHoles ? ', with holes or overlaps' : ''}.`;
      findings.error('PACK_SIZE_WRONG', packId, message);
    }
    if (version === 2 && blobs.some(({ type }) => type !== blobs[0]?.type)) {
      findings.warn('PACK_MIXED', packId, `Pack ${packId} holds both trees and data; prune separates them.`);
    }
  }
  for (const packId of stored.keys()) {
    if (index.hasPack(packId)) continue;
    const message = `Pack ${packId} is in no index file: the rest of an interrupted run. Prune removes it.`;
    findings.warn('PACK_NOT_INDEXED', packId, message);
  }
}
