// Checks the index against the packs that are there: sizes, holes, packs that are missing or in no index file.

import type { BlobIndex } from '../blob-index/blob-index.ts';
import { duplicateListings, scanIndexFiles } from '../blob-index/index-scan.ts';
import { expectedPack } from '../pack/pack-size.ts';
import type { Repository } from '../repository.ts';
import type { Findings } from './findings.ts';
import type { LostBlobs } from './lost-blobs.ts';

/** Reads every index file anew; those that cannot be read are errors. */
export async function readIndexFiles(
  repository: Repository,
  findings: Findings,
  signal?: AbortSignal,
): Promise<BlobIndex> {
  const scan = await scanIndexFiles(repository, signal);
  for (const { name, reason } of scan.damaged) findings.error('INDEX_DAMAGED', name, reason);
  for (const [packId, names] of duplicateListings(scan)) {
    const message = `Pack ${packId} is listed in the index files ${names.join(' and ')}; varve repo repair index merges them.`;
    findings.warn('INDEX_DUPLICATE', packId, message);
  }
  return scan.index;
}

/**
 * Compares what the index says of each pack with the list of files. `stored` maps packs to their sizes; what cannot be there is
 * noted in `lost`.
 */
export function comparePacks(
  index: BlobIndex,
  stored: ReadonlyMap<string, number>,
  options: { readonly findings: Findings; readonly lost: LostBlobs; readonly version: 1 | 2 },
): void {
  const { findings, lost, version } = options;
  for (const { packId, blobs } of index.packs()) {
    const sizeBytes = stored.get(packId);
    if (sizeBytes === undefined) {
      lost.addPack(packId);
      findings.error(
        'PACK_MISSING',
        packId,
        `Pack ${packId} with ${blobs.length} blobs is in the index, but its file is missing.`,
      );
      continue;
    }
    const expected = expectedPack(blobs);
    if (expected.sizeBytes !== sizeBytes || !expected.isContiguous) {
      const holes = expected.isContiguous ? '' : ', with holes or overlaps';
      const message = `Pack ${packId} has ${sizeBytes} bytes; by the index it has ${expected.sizeBytes}${holes}.`;
      findings.error('PACK_SIZE_WRONG', packId, message);
      const cutOff = blobs.filter(({ offset, length }) => offset + length > sizeBytes);
      lost.addCopies(packId, cutOff, blobs);
    }
    if (version === 2 && blobs.some(({ type }) => type !== blobs[0]?.type)) {
      findings.warn('PACK_MIXED', packId, `Pack ${packId} holds both trees and data; prune separates them.`);
    }
  }
  for (const packId of stored.keys()) {
    if (index.hasPack(packId)) continue;
    const message = `Pack ${packId} is in no index file: the rest of an interrupted run, or of a lost index file.`;
    findings.warn('PACK_NOT_INDEXED', packId, message);
  }
}
