// Replaces index files: the new ones are durable before the first old one goes. A crash in between leaves packs that are listed
// twice, which the next run merges.

import { isAppError, mapConcurrently, throwIfAborted } from '@varve/base';
import { BlobIndex, type IndexedPack } from '../blob-index/blob-index.ts';
import { maxBlobsPerIndexFile } from '../blob-index/index-file.ts';
import { duplicateListings, type IndexScan } from '../blob-index/index-scan.ts';
import type { CallOptions, Repository } from '../repository.ts';

const removalsAtOnce = 8;

/** What has to become of the index. */
export interface IndexChange {
  readonly scan: IndexScan;
  /** Packs whose listing is new; it replaces what the files say of them. */
  readonly fresh: BlobIndex;
  /** Packs that must not be listed any more. */
  readonly dropped: ReadonlySet<string>;
}

/** The index files that a change makes obsolete: those that cannot be read, and those that list a pack that changes. */
export function obsoleteIndexFiles({ scan, fresh, dropped }: IndexChange): string[] {
  const duplicates = duplicateListings(scan);
  const isTouched = (packId: string): boolean => dropped.has(packId) || fresh.hasPack(packId) || duplicates.has(packId);
  const touched = scan.files.entries().filter(([, packIds]) => packIds.length === 0 || packIds.some(isTouched));
  return [...scan.damaged.map(({ name }) => name), ...touched.map(([name]) => name)].sort();
}

/** What the index says after the change. */
export function changedIndex({ scan, fresh, dropped }: IndexChange): BlobIndex {
  if (fresh.packCount === 0 && dropped.size === 0) return scan.index;
  const index = new BlobIndex();
  for (const { packId, blobs } of scan.index.packs()) {
    if (!dropped.has(packId) && !fresh.hasPack(packId)) index.addBlobs(packId, blobs);
  }
  for (const { packId, blobs } of fresh.packs()) index.addBlobs(packId, blobs);
  return index;
}

/** Writes the new index files, then removes the obsolete ones. The caller holds an exclusive lock. */
export async function rewriteIndexFiles(
  repository: Repository,
  change: IndexChange,
  options: CallOptions = {},
): Promise<{ readonly filesWritten: number; readonly filesRemoved: number }> {
  const { signal } = options;
  const obsolete = obsoleteIndexFiles(change);
  let batch: IndexedPack[] = [];
  let blobsInBatch = 0;
  let filesWritten = 0;
  const write = async (): Promise<void> => {
    throwIfAborted(signal);
    if (batch.length === 0) return;
    await repository.saveRepairedIndexFile(batch, { signal });
    filesWritten++;
    batch = [];
    blobsInBatch = 0;
  };
  for (const pack of packsToWrite(change, obsolete)) {
    if (pack.blobs.length === 0) continue;
    if (blobsInBatch > 0 && blobsInBatch + pack.blobs.length > maxBlobsPerIndexFile) await write();
    batch.push(pack);
    blobsInBatch += pack.blobs.length;
  }
  await write();
  await mapConcurrently(obsolete, removalsAtOnce, async (name) => {
    throwIfAborted(signal);
    await repository.storage.remove({ type: 'index', name }, { signal }).catch((error: unknown) => {
      if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
    });
  });
  return { filesWritten, filesRemoved: obsolete.length };
}

function* packsToWrite({ scan, fresh, dropped }: IndexChange, obsolete: readonly string[]): Generator<IndexedPack> {
  const moved = new Set(obsolete.flatMap((name) => scan.files.get(name) ?? []));
  for (const pack of scan.index.packs()) {
    if (moved.has(pack.packId) && !dropped.has(pack.packId) && !fresh.hasPack(pack.packId)) yield pack;
  }
  yield* fresh.packs();
}
