// Whether a pack's file can be what the index says of it, by its size alone.

import { entryBytes, packFrameBytes } from './pack-header.ts';
import type { PackedBlob } from './blob-type.ts';

/** The size of the file of a pack with these blobs (ordered by offset), and whether they follow each other without gaps. */
export function expectedPack(blobs: readonly PackedBlob[]): {
  readonly sizeBytes: number;
  readonly isContiguous: boolean;
} {
  let end = 0;
  let entries = 0;
  let isContiguous = true;
  for (const { offset, length, uncompressedLength } of blobs) {
    isContiguous &&= offset === end;
    end = offset + length;
    entries += entryBytes(uncompressedLength);
  }
  return { sizeBytes: end + entries + packFrameBytes, isContiguous };
}
