// What a prune does with each pack, as plain data: restic's rules as a pure function of what is known of the packs.

/** How much unused data may stay, so that little has to be rewritten: bytes, a part of all data (0.05 is 5 %), or any. */
export type MaxUnused = { readonly bytes: number } | { readonly ratio: number } | 'unlimited';

export interface PruneRules {
  /** 5 % when absent. Packs with trees are repacked regardless. */
  readonly maxUnused?: MaxUnused | undefined;
  /** Packs of no more bytes than this are repacked; no limit when absent, 0 repacks nothing. */
  readonly maxRepackBytes?: number | undefined;
  /** Only packs with trees, which programs keep in their caches. */
  readonly repackCacheableOnly?: boolean | undefined;
  /** Also packs below 80 % of the size that packs should have. */
  readonly repackSmall?: boolean | undefined;
  /** Also packs below this size; instead of the default, a 25th of the size that packs should have. */
  readonly repackSmallerThanBytes?: number | undefined;
  /** Also data that is not compressed, which then is. */
  readonly repackUncompressed?: boolean | undefined;
}

/** What is known of a pack. Bytes are those of the file: the header counts as used. */
export interface PackUse {
  readonly packId: string;
  /** `mixed`: trees and data, as only old programs wrote. */
  readonly type: 'data' | 'tree' | 'mixed';
  readonly usedBlobs: number;
  readonly usedBytes: number;
  /** Blobs that no snapshot uses, or of which another copy stays. */
  readonly unusedBlobs: number;
  readonly unusedBytes: number;
  readonly hasUncompressed: boolean;
  /** Size of the file; null when there is none. */
  readonly sizeBytes: number | null;
}

export type RepackReason = 'mixed' | 'uncompressed' | 'unused' | 'small';

export interface PlannedPack {
  readonly packId: string;
  readonly sizeBytes: number;
  /** The file does not have the size that the index says: it cannot be relied upon, whatever comes into use. */
  readonly isBroken?: true | undefined;
}

export interface PackToRepack extends PlannedPack {
  readonly reason: RepackReason;
  readonly usedBytes: number;
  readonly unusedBytes: number;
}

/** Numbers of blobs and bytes as stored. */
export interface Amount {
  readonly blobs: number;
  readonly bytes: number;
}

export interface PackActions {
  /** Nothing in them is used. */
  readonly remove: readonly PlannedPack[];
  readonly repack: readonly PackToRepack[];
  /** Listed in the index, but not there, and not needed: only their entries go. */
  readonly missing: readonly string[];
  /** Needed, but not there or not of the size that the index says: nothing may be removed. */
  readonly broken: readonly PackUse[];
  readonly packs: {
    readonly used: number;
    readonly partlyUsed: number;
    readonly unused: number;
    readonly keep: number;
  };
  /** What is in the packs to remove (`delete`), in those to repack, and what repacking drops. */
  readonly delete: Amount;
  readonly repacked: Amount;
  readonly repackedRemoved: Amount;
}

const targetPackBytes = 16 * 1024 * 1024;
/** So few small packs are not worth the trouble, and one that stays small would be repacked for ever. */
const leastSmallPacks = 10;
const defaultMaxUnused: MaxUnused = { ratio: 0.05 };

interface Candidate extends PackUse {
  readonly reason: RepackReason;
  readonly isSmall: boolean;
}

/** Decides about each pack. `version` is the repository's; trees of format 2 are always compressed. */
export function decidePacks(
  uses: Iterable<PackUse>,
  options: { readonly rules: PruneRules; readonly version: 1 | 2 },
): PackActions {
  const { rules, version } = options;
  const smallBytes = smallPackBytes(rules);
  const remove: PlannedPack[] = [];
  const missing: string[] = [];
  const broken: PackUse[] = [];
  const candidates: Candidate[] = [];
  const small: Candidate[] = [];
  const packs = { used: 0, partlyUsed: 0, unused: 0, keep: 0 };
  const sums = { usedBytes: 0, unusedBytes: 0 };
  const removed = { blobs: 0, bytes: 0 };
  for (const use of uses) {
    const { packId, sizeBytes, usedBlobs, unusedBlobs, usedBytes, unusedBytes } = use;
    sums.usedBytes += usedBytes;
    sums.unusedBytes += unusedBytes;
    if (usedBlobs === 0) {
      packs.unused++;
      removed.blobs += unusedBlobs;
      removed.bytes += unusedBytes;
      sums.unusedBytes -= unusedBytes;
      if (sizeBytes === null) missing.push(packId);
      else if (sizeBytes === usedBytes + unusedBytes) remove.push({ packId, sizeBytes });
      else remove.push({ packId, sizeBytes, isBroken: true });
      continue;
    }
    if (sizeBytes !== usedBytes + unusedBytes) {
      broken.push(use);
      continue;
    }
    if (unusedBlobs === 0) packs.used++;
    else packs.partlyUsed++;
    const isSmall = sizeBytes < smallBytes;
    const reason = reasonToRepack(use, { rules, version, isSmall });
    if (reason === null) packs.keep++;
    else (reason === 'small' ? small : candidates).push({ ...use, reason, isSmall });
  }
  if (small.length >= leastSmallPacks) candidates.push(...small);
  else packs.keep += small.length;
  const chosen = chooseRepacks(candidates, { rules, ...sums });
  packs.keep += candidates.length - chosen.length;
  return {
    remove,
    missing,
    broken,
    packs,
    repack: chosen.map(({ packId, reason, usedBytes, unusedBytes }) => {
      return { packId, sizeBytes: usedBytes + unusedBytes, reason, usedBytes, unusedBytes };
    }),
    delete: removed,
    repacked: {
      blobs: sum(chosen, ({ usedBlobs, unusedBlobs }) => usedBlobs + unusedBlobs),
      bytes: sum(chosen, ({ usedBytes, unusedBytes }) => usedBytes + unusedBytes),
    },
    repackedRemoved: {
      blobs: sum(chosen, ({ unusedBlobs }) => unusedBlobs),
      bytes: sum(chosen, ({ unusedBytes }) => unusedBytes),
    },
  };
}

function smallPackBytes({ repackSmallerThanBytes, repackSmall }: PruneRules): number {
  return repackSmallerThanBytes ?? (repackSmall ? (targetPackBytes / 5) * 4 : targetPackBytes / 25);
}

function reasonToRepack(
  use: PackUse,
  { rules, version, isSmall }: { readonly rules: PruneRules; readonly version: 1 | 2; readonly isSmall: boolean },
): RepackReason | null {
  if (rules.repackCacheableOnly && use.type === 'data') return null;
  if (use.type === 'mixed') return 'mixed';
  const wantsCompression = version === 2 && (use.type === 'tree' || rules.repackUncompressed === true);
  if (wantsCompression && use.hasUncompressed) return 'uncompressed';
  if (use.unusedBlobs > 0) return 'unused';
  return isSmall ? 'small' : null;
}

/** Trees and mixed packs first, then small ones, then those with the largest part unused, until the limits are reached. */
function chooseRepacks(
  candidates: readonly Candidate[],
  limits: { readonly rules: PruneRules; readonly usedBytes: number; readonly unusedBytes: number },
): Candidate[] {
  const { rules, usedBytes } = limits;
  const maxUnusedBytes = maxUnusedBytesOf(rules.maxUnused ?? defaultMaxUnused, usedBytes);
  const maxRepackBytes = rules.maxRepackBytes ?? Number.POSITIVE_INFINITY;
  const ordered = candidates.toSorted(
    (a, b) =>
      Number(b.type !== 'data') - Number(a.type !== 'data') ||
      Number(b.isSmall) - Number(a.isSmall) ||
      unusedRatio(b) - unusedRatio(a) ||
      (a.packId < b.packId ? -1 : 1),
  );
  const chosen: Candidate[] = [];
  let unusedBytes = limits.unusedBytes;
  let repackBytes = 0;
  for (const candidate of ordered) {
    const sizeBytes = candidate.usedBytes + candidate.unusedBytes;
    if (repackBytes + sizeBytes > maxRepackBytes) continue;
    const mustRepack = candidate.type !== 'data' || candidate.reason === 'uncompressed' || candidate.isSmall;
    if (!mustRepack && unusedBytes <= maxUnusedBytes) continue;
    chosen.push(candidate);
    repackBytes += sizeBytes;
    unusedBytes -= candidate.unusedBytes;
  }
  return chosen;
}

function maxUnusedBytesOf(maxUnused: MaxUnused, usedBytes: number): number {
  if (maxUnused === 'unlimited') return Number.POSITIVE_INFINITY;
  if ('bytes' in maxUnused) return maxUnused.bytes;
  // A part of everything, that is, of what is used together with what is not.
  return maxUnused.ratio >= 1 ? Number.POSITIVE_INFINITY : (maxUnused.ratio / (1 - maxUnused.ratio)) * usedBytes;
}

function unusedRatio({ usedBytes, unusedBytes }: PackUse): number {
  return unusedBytes / (usedBytes + unusedBytes);
}

function sum<T>(items: readonly T[], valueOf: (item: T) => number): number {
  return items.reduce((total, item) => total + valueOf(item), 0);
}
