// The last word on what goes: of the packs that a plan wants to leave, those without which every blob in use still has a copy.
// Whatever the plan said and whatever happened since, no pack goes that is the last to have something.

import type { UsedBlobs } from './used-blobs.ts';

export interface Gone {
  readonly packIds: ReadonlySet<string>;
  /** Packs that were to leave and are needed. */
  readonly keptPackIds: readonly string[];
  /** Entries of used blobs that only useless packs have: nothing may be removed. */
  readonly lost: readonly number[];
}

const mostLost = 1000;

/** `useless` packs, which are among the leaving, cannot be kept: there is no file, or not the right one. */
export function decideGone(
  used: UsedBlobs,
  { leaving, useless }: { readonly leaving: readonly string[]; readonly useless: readonly string[] },
): Gone {
  const { index } = used;
  const isLeaving = new Uint8Array(index.packCount);
  const isUseless = new Uint8Array(index.packCount);
  for (const packId of leaving) if (index.hasPack(packId)) isLeaving[index.packNumberOf(packId)] = 1;
  for (const packId of useless) if (index.hasPack(packId)) isUseless[index.packNumberOf(packId)] = 1;
  used.clearSafe();
  for (let entry = 0; entry < index.size; entry++) if (isLeaving[index.packOf(entry)] === 0) used.markSafe(entry);
  const kept: string[] = [];
  for (let entry = 0; entry < index.size; entry++) {
    const pack = index.packOf(entry);
    if (isUseless[pack] === 1 || !used.isUsed(entry) || used.isSafe(entry)) continue;
    if (isLeaving[pack] === 1) {
      isLeaving[pack] = 0;
      kept.push(index.packIdOf(pack));
    }
    used.markSafe(entry);
  }
  const lost: number[] = [];
  for (let entry = 0; entry < index.size && lost.length < mostLost; entry++) {
    if (used.firstCopyOf(entry) === entry && used.isUsed(entry) && !used.isSafe(entry)) lost.push(entry);
  }
  const packIds = new Set(
    leaving.filter((packId) => index.hasPack(packId) && isLeaving[index.packNumberOf(packId)] === 1),
  );
  return { packIds, keptPackIds: kept, lost };
}
