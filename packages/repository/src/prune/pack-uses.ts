// How much of each pack is used: of every blob that is used, one copy counts, the best one; other copies count as unused.

import type { BlobIndex } from '../blob-index/blob-index.ts';
import { entryBytes, packFrameBytes } from '../pack/pack-header.ts';
import type { Amount, PackUse } from './prune-plan.ts';
import type { UsedBlobs } from './used-blobs.ts';

export interface Uses {
  /** By number of pack. */
  readonly packs: readonly PackUse[];
  /** Different blobs in use; further copies of them; all others. */
  readonly used: Amount;
  readonly duplicate: Amount;
  readonly unused: Amount;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** An empty blob cannot be compressed: it is an encryption unit and nothing in it. */
const emptyBlobBytes = 32;

/** `sizes` has the size of each pack file that is there. Takes up to 9 bytes a blob while it runs. */
export function measurePacks(used: UsedBlobs, sizes: ReadonlyMap<string, number>): Uses {
  const { index } = used;
  const packs = Array.from({ length: index.packCount }, (_, pack) => emptyUse(index, pack, sizes));
  const counts = { used: { blobs: 0, bytes: 0 }, duplicate: { blobs: 0, bytes: 0 }, unused: { blobs: 0, bytes: 0 } };
  const kept = chooseCopies(used, packs);
  const isFirst = new Uint8Array(index.packCount).fill(1);
  for (let entry = 0; entry < index.size; entry++) {
    const pack = index.packOf(entry);
    const use = packs[pack]!;
    const length = index.lengthAt(entry);
    const uncompressedLength = index.uncompressedLengthAt(entry);
    const type = index.typeAt(entry);
    use.type = isFirst[pack] === 1 || use.type === type ? type : 'mixed';
    isFirst[pack] = 0;
    use.usedBytes += entryBytes(uncompressedLength);
    if (uncompressedLength === 0 && length > emptyBlobBytes) use.hasUncompressed = true;
    const isKept = kept[entry] === 1;
    if (isKept) {
      use.usedBlobs++;
      use.usedBytes += length;
    } else {
      use.unusedBlobs++;
      use.unusedBytes += length;
    }
    const count = isKept ? counts.used : used.isUsed(entry) ? counts.duplicate : counts.unused;
    count.blobs++;
    count.bytes += length;
  }
  return { packs, ...counts };
}

function emptyUse(index: BlobIndex, pack: number, sizes: ReadonlyMap<string, number>): Writable<PackUse> {
  const packId = index.packIdOf(pack);
  return {
    packId,
    type: 'data',
    usedBlobs: 0,
    usedBytes: packFrameBytes,
    unusedBlobs: 0,
    unusedBytes: 0,
    hasUncompressed: false,
    sizeBytes: sizes.get(packId) ?? null,
  };
}

/** 1 for the copy of each used blob that counts. */
function chooseCopies(used: UsedBlobs, packs: readonly PackUse[]): Uint8Array {
  const { index } = used;
  const kept = new Uint8Array(index.size);
  let hasDuplicates = false;
  for (let entry = 0; entry < index.size; entry++) {
    if (!used.isUsed(entry)) continue;
    if (used.firstCopyOf(entry) === entry) kept[entry] = 1;
    else hasDuplicates = true;
  }
  if (!hasDuplicates) return kept;
  const ranks = rankPacks(used, packs);
  // By first copy: the best one so far, plus 1.
  const best = new Uint32Array(index.size);
  for (let entry = 0; entry < index.size; entry++) {
    if (!used.isUsed(entry)) continue;
    const first = used.firstCopyOf(entry);
    const rival = best[first]! - 1;
    if (rival < 0 || ranks[index.packOf(entry)]! < ranks[index.packOf(rival)]!) best[first] = entry + 1;
  }
  kept.fill(0);
  for (const chosen of best) if (chosen > 0) kept[chosen - 1] = 1;
  return kept;
}

/**
 * The order in which packs are preferred among copies, the lowest first: the packs that are there in the right size; those
 * that need not be repacked for what they hold (mixed, not compressed); those with the least part unused, so that what an
 * interrupted prune has repacked replaces what it was made from; then the largest, so that few are left.
 */
function rankPacks(used: UsedBlobs, packs: readonly PackUse[]): Float64Array {
  const { index } = used;
  const usedBytes = new Float64Array(packs.length);
  const unusedBytes = new Float64Array(packs.length);
  const fileBytes = new Float64Array(packs.length).fill(packFrameBytes);
  const types = new Uint8Array(packs.length);
  const isPlain = new Uint8Array(packs.length);
  for (let entry = 0; entry < index.size; entry++) {
    const pack = index.packOf(entry);
    const length = index.lengthAt(entry);
    fileBytes[pack]! += length + entryBytes(index.uncompressedLengthAt(entry));
    types[pack]! |= index.typeAt(entry) === 'tree' ? 1 : 2;
    if (index.uncompressedLengthAt(entry) === 0 && length > emptyBlobBytes) isPlain[pack] = 1;
    if (used.isUsed(entry)) usedBytes[pack]! += length;
    else unusedBytes[pack]! += length;
  }
  const isGood = (pack: number): boolean => packs[pack]!.sizeBytes === fileBytes[pack];
  const ratio = (pack: number): number => unusedBytes[pack]! / (usedBytes[pack]! + unusedBytes[pack]!);
  const order = Array.from(packs.keys()).sort(
    (a, b) =>
      Number(isGood(b)) - Number(isGood(a)) ||
      Number(types[a] === 3) - Number(types[b] === 3) ||
      isPlain[a]! - isPlain[b]! ||
      ratio(a) - ratio(b) ||
      usedBytes[b]! - usedBytes[a]! ||
      a - b,
  );
  const ranks = new Float64Array(packs.length);
  for (const [rank, pack] of order.entries()) ranks[pack] = rank;
  return ranks;
}
