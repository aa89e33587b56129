// Groups stored blobs so that storages are asked seldom: neighbours in a pack are read with one call, also over small gaps.

import type { BlobLocation } from '../blob-index/blob-index.ts';

/** A stored blob that is wanted. */
export interface StoredBlob extends BlobLocation {
  readonly id: string;
}

/** Blobs of one pack that are read with one call, by offset. */
export interface StoredRun {
  readonly packId: string;
  readonly offset: number;
  /** The byte after the last blob. */
  readonly end: number;
  readonly blobs: readonly StoredBlob[];
}

/** Reading over so many unwanted bytes costs less than another call. */
const mostGapBytes = 64 * 1024;

/** The blobs in the order in which they are stored, in runs of about `maxBytes` at most; a larger blob is a run of its own. */
export function groupIntoRuns(blobs: readonly StoredBlob[], maxBytes: number): StoredRun[] {
  const order = blobs.toSorted((a, b) => (a.packId === b.packId ? a.offset - b.offset : a.packId < b.packId ? -1 : 1));
  const runs: { packId: string; offset: number; end: number; blobs: StoredBlob[] }[] = [];
  for (const blob of order) {
    const run = runs.at(-1);
    const end = blob.offset + blob.length;
    const isNear = run?.packId === blob.packId && blob.offset - run.end <= mostGapBytes && end - run.offset <= maxBytes;
    if (run && isNear) {
      run.blobs.push(blob);
      run.end = Math.max(run.end, end);
    } else {
      runs.push({ packId: blob.packId, offset: blob.offset, end, blobs: [blob] });
    }
  }
  return runs;
}
