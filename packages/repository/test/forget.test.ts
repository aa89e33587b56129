import { planForget, type ForgetGroup, type Snapshot } from '@varve/repository';
import { describe, expect, test, vi } from 'vitest';
import { resticMissing, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const noRestic = resticMissing();
const tree = 'ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8';

let number = 0;

function snapshot(time: string, more: Partial<Snapshot> = {}): Snapshot {
  return { id: (number++).toString(16).padStart(64, '0'), time, tree, paths: ['/x'], hostname: 'a', ...more };
}

const history = (): Snapshot[] => [
  snapshot('2026-01-01T00:00:00Z'),
  snapshot('2026-01-01T10:00:00Z', { tags: ['one', 'two'] }),
  snapshot('2026-01-02T00:00:00Z', { hostname: 'b' }),
  snapshot('2026-01-02T10:00:00Z', { hostname: 'b', paths: ['/y', '/x'] }),
  snapshot('2026-01-02T11:00:00Z', { hostname: 'b', paths: ['/x', '/y'], tags: ['two', 'one'] }),
  snapshot('2026-01-03T10:00:00Z', { tags: ['one'] }),
];

describe('a plan to forget', () => {
  test('applies the policy to each host and list of paths', () => {
    const groups = planForget(history(), { policy: { keepLast: 1 } });
    expect(
      groups.map(({ host, paths, tags, keep, remove }) => ({
        host,
        paths,
        tags,
        kept: keep.length,
        gone: remove.length,
      })),
    ).toEqual([
      { host: 'a', paths: ['/x'], tags: undefined, kept: 1, gone: 2 },
      { host: 'b', paths: ['/x', '/y'], tags: undefined, kept: 1, gone: 1 },
      { host: 'b', paths: ['/x'], tags: undefined, kept: 1, gone: 0 },
    ]);
    expect(planForget(history(), { policy: { keepLast: 1 }, groupBy: ['tags'] })).toHaveLength(3);
    const [all] = planForget(history(), { policy: { keepLast: 1 }, groupBy: [] });
    expect(all?.remove).toHaveLength(5);
  });

  test('refuses a policy without rules', () => {
    for (const policy of [{}, { keepLast: 0, keepDaily: 0 }, { keepTags: [] }, { keepWithin: '' }]) {
      expect(() => planForget(history(), { policy })).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }));
    }
    const [first] = planForget(history().slice(0, 1), { policy: {}, allowRemoveAll: true });
    expect(first).toMatchObject({ keep: [], remove: [{ time: '2026-01-01T00:00:00Z' }] });
  });

  test('refuses a policy that keeps nothing of a group, whatever is allowed', () => {
    const policy = { keepTags: [['two']] };
    for (const allowRemoveAll of [false, true]) {
      const plan = (): ForgetGroup[] => planForget(history(), { policy, allowRemoveAll });
      expect(plan).toThrow('keeps none of the 1 snapshots of host b, paths /x');
    }
    expect(planForget(history(), { policy, groupBy: [] })[0]?.keep).toHaveLength(2);
  });

  test.skipIf(noRestic !== null)('has the groups and reasons of restic', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    for (const { id: _, ...saved } of history()) await repository.saveSnapshot(saved);
    const snapshots = await repository.listSnapshots();
    for (const groupBy of ['host,paths', 'host', 'paths,tags', 'host,paths,tags', ''] as const) {
      for (const policy of [
        { keepLast: 1 },
        { keepDaily: 1, keepTags: [['one']] },
        { keepWithin: '1d', keepYearly: 1 },
      ]) {
        const flags = [
          ...('keepLast' in policy ? ['--keep-last', '1'] : []),
          ...('keepDaily' in policy ? ['--keep-daily', '1', '--keep-tag', 'one'] : []),
          ...('keepWithin' in policy ? ['--keep-within', '1d', '--keep-yearly', '1'] : []),
        ];
        const text = await folder.restic(['forget', '--dry-run', '--json', '--group-by', groupBy, ...flags]);
        const theirs = JSON.parse(text) as {
          tags: string[] | null;
          host: string;
          paths: string[] | null;
          keep: { id: string }[] | null;
          remove: { id: string }[] | null;
          reasons: { snapshot: { time: string }; matches: string[] }[] | null;
        }[];
        const names = groupBy === '' ? [] : (groupBy.split(',') as ('host' | 'paths' | 'tags')[]);
        const ours = planForget(snapshots, { policy, groupBy: names }).map(({ host, paths, tags, keep, remove }) => ({
          host: host ?? '',
          paths: paths ?? null,
          tags: tags?.length ? tags : null,
          keep: keep.map(({ snapshot: { id } }) => id).sort(),
          remove: remove.map(({ id }) => id).sort(),
          reasons: keep.map(({ snapshot: { time }, reasons }) => [time, ...reasons].join()).sort(),
        }));
        const sorted = theirs.map(({ host, paths, tags, keep, remove, reasons }) => ({
          host,
          paths,
          tags: tags?.length ? tags : null,
          keep: (keep ?? []).map(({ id }) => id).sort(),
          remove: (remove ?? []).map(({ id }) => id).sort(),
          reasons: (reasons ?? []).map(({ snapshot: { time }, matches }) => [time, ...matches].join()).sort(),
        }));
        const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1);
        expect(ours.toSorted(byText)).toEqual(sorted.toSorted(byText));
      }
    }
  });
});
