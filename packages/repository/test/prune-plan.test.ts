import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decidePacks, type PackActions, type PackUse, type PruneRules } from '../src/prune/prune-plan.ts';

const mebi = 1024 * 1024;
let number = 0;

/** A pack of 16 MiB in which `unused` MiB are not used. */
function pack(unused: number, more: Partial<PackUse> = {}): PackUse {
  const sizeBytes = more.sizeBytes ?? 16 * mebi;
  const unusedBytes = unused * mebi;
  return {
    packId: (number++).toString(16).padStart(64, '0'),
    type: 'data',
    usedBlobs: unusedBytes === sizeBytes ? 0 : 10,
    usedBytes: sizeBytes - unusedBytes,
    unusedBlobs: unused,
    unusedBytes,
    hasUncompressed: false,
    sizeBytes,
    ...more,
  };
}

const smallPack = (more: Partial<PackUse> = {}): PackUse =>
  pack(0, { sizeBytes: 100_000, usedBytes: 100_000, ...more });
const decide = (uses: readonly PackUse[], rules: PruneRules = {}): PackActions =>
  decidePacks(uses, { rules, version: 2 });
const repacked = (uses: readonly PackUse[], rules?: PruneRules): number[] =>
  decide(uses, rules).repack.map(({ packId }) => uses.findIndex((use) => use.packId === packId));

describe('a plan to prune', () => {
  test('removes packs of which nothing is used, and keeps those that are used as a whole', () => {
    const uses = [pack(0), pack(16), pack(0)];
    const { remove, repack, packs } = decide(uses);
    expect(remove).toEqual([{ packId: uses[1]!.packId, sizeBytes: 16 * mebi }]);
    expect(repack).toEqual([]);
    expect(packs).toEqual({ used: 2, partlyUsed: 0, unused: 1, keep: 2 });
  });

  test('repacks those with the largest unused part until no more than 5 % is unused', () => {
    const uses = [pack(1), pack(8), pack(2), pack(4), ...Array.from({ length: 6 }, () => pack(0))];
    // 15 of 160 MiB are unused; 7.6 MiB may be, so the one with 8 MiB has to go.
    expect(repacked(uses)).toEqual([1]);
    expect(repacked(uses, { maxUnused: { ratio: 0.03 } })).toEqual([1, 3]);
    expect(repacked(uses, { maxUnused: { bytes: 0 } })).toEqual([1, 3, 2, 0]);
    expect(repacked(uses, { maxUnused: { ratio: 0 } })).toEqual([1, 3, 2, 0]);
    expect(repacked(uses, { maxUnused: { bytes: 3 * mebi } })).toEqual([1, 3]);
    expect(repacked(uses, { maxUnused: { bytes: 3 * mebi - 1 } })).toEqual([1, 3, 2]);
    expect(repacked(uses, { maxUnused: 'unlimited' })).toEqual([]);
    expect(repacked(uses, { maxUnused: { ratio: 1 } })).toEqual([]);
  });

  test('repacks packs with trees first and whatever is tolerated', () => {
    const uses = [pack(9), pack(1, { type: 'tree' }), ...Array.from({ length: 30 }, () => pack(0))];
    expect(repacked(uses)).toEqual([1]);
    expect(repacked(uses, { maxUnused: 'unlimited' })).toEqual([1]);
    expect(repacked(uses, { maxUnused: { bytes: 0 } })).toEqual([1, 0]);
    expect(repacked(uses, { maxUnused: { bytes: 0 }, repackCacheableOnly: true })).toEqual([1]);
  });

  test('separates trees from data in packs that mix them', () => {
    const uses = [pack(0, { type: 'mixed' }), pack(0)];
    expect(repacked(uses)).toEqual([0]);
    expect(decide(uses).repack[0]).toMatchObject({ reason: 'mixed' });
    expect(repacked(uses, { repackCacheableOnly: true })).toEqual([0]);
  });

  test('compresses trees always, and data when asked', () => {
    const uses = [pack(0, { hasUncompressed: true }), pack(0, { hasUncompressed: true, type: 'tree' })];
    expect(repacked(uses)).toEqual([1]);
    expect(repacked(uses, { repackUncompressed: true })).toEqual([1, 0]);
    const { repack } = decidePacks(uses, { rules: { repackUncompressed: true }, version: 1 });
    expect(repack).toEqual([]);
  });

  test('joins small packs when there are ten of them', () => {
    expect(repacked(Array.from({ length: 9 }, () => smallPack()))).toEqual([]);
    expect(repacked(Array.from({ length: 10 }, () => smallPack()))).toHaveLength(10);
    const medium = Array.from({ length: 10 }, () => pack(0, { sizeBytes: 12 * mebi, usedBytes: 12 * mebi }));
    expect(repacked(medium)).toEqual([]);
    expect(repacked(medium, { repackSmall: true })).toHaveLength(10);
    expect(repacked(medium, { repackSmallerThanBytes: 12 * mebi })).toEqual([]);
    expect(repacked(medium, { repackSmallerThanBytes: 12 * mebi + 1 })).toHaveLength(10);
  });

  test('repacks no more than it may, but smaller ones that still fit', () => {
    const uses = [pack(8), smallPack({ unusedBlobs: 1, usedBytes: 50_000, unusedBytes: 50_000 }), pack(4)];
    expect(repacked(uses, { maxUnused: { bytes: 0 }, maxRepackBytes: 0 })).toEqual([]);
    expect(repacked(uses, { maxUnused: { bytes: 0 }, maxRepackBytes: 100_000 })).toEqual([1]);
    expect(repacked(uses, { maxUnused: { bytes: 0 }, maxRepackBytes: 99_999 })).toEqual([]);
    expect(repacked(uses, { maxUnused: { bytes: 0 }, maxRepackBytes: 16 * mebi + 100_000 })).toEqual([1, 0]);
  });

  test('tells packs that are needed and missing or not of their size from those that are not needed', () => {
    const missing = pack(16, { sizeBytes: null, usedBlobs: 0, usedBytes: 0, unusedBytes: 16 * mebi });
    const short = pack(0, { sizeBytes: 16 * mebi - 1, usedBytes: 16 * mebi });
    const gone = pack(0, { sizeBytes: null, usedBytes: 16 * mebi });
    const shortUnused = pack(0, { sizeBytes: 5, usedBlobs: 0, usedBytes: 36, unusedBlobs: 3, unusedBytes: 400 });
    const actions = decide([missing, short, gone, shortUnused]);
    expect(actions.missing).toEqual([missing.packId]);
    expect(actions.broken).toEqual([short, gone]);
    expect(actions.remove).toEqual([{ packId: shortUnused.packId, sizeBytes: 5, isBroken: true }]);
  });

  test('does something with each pack exactly once, and frees what it says', () => {
    const uses = fc.array(
      fc.record({ unused: fc.integer({ min: 0, max: 16 }), type: fc.constantFrom('data', 'tree', 'mixed') }),
      { maxLength: 40 },
    );
    const rules = fc.record(
      {
        maxUnused: fc.oneof(
          fc.constant('unlimited' as const),
          fc.record({ ratio: fc.double({ min: 0, max: 1, noNaN: true }) }),
        ),
        maxRepackBytes: fc.integer({ min: 0, max: 200 * mebi }),
        repackCacheableOnly: fc.boolean(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(uses, rules, (shapes, given) => {
        const packs = shapes.map(({ unused, type }) => pack(unused, { type }));
        const actions = decide(packs, given);
        const ids = [...actions.remove, ...actions.repack].map(({ packId }) => packId);
        expect(new Set(ids).size).toBe(ids.length);
        expect(ids.length + actions.packs.keep).toBe(packs.length);
        expect(actions.repacked.bytes).toBeLessThanOrEqual(given.maxRepackBytes ?? Number.POSITIVE_INFINITY);
        const removable = packs.filter(({ usedBlobs }) => usedBlobs === 0).map(({ packId }) => packId);
        expect(actions.remove.map(({ packId }) => packId)).toEqual(removable);
      }),
    );
  });
});
