import fc from 'fast-check';
import { planRetention, type Repository, type RetentionPolicy, type Snapshot } from '@varve/repository';
import { describe, expect, test, vi } from 'vitest';
import { formatGoTime, parseGoTime } from '../src/store/go-time.ts';
import { resticMissing, resticVersion, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 300_000 });

const missing = resticMissing();
const tree = 'ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8';

function snapshotAt(time: string, tags: readonly string[] = []): Snapshot {
  return { id: Buffer.from(time.padEnd(32, '.')).toString('hex').slice(0, 64), time, tree, paths: ['/x'], tags };
}

const keptTimes = (times: readonly string[], policy: RetentionPolicy, now = new Date('2030-01-01')): string[] =>
  planRetention(
    times.map((time) => snapshotAt(time)),
    policy,
    { now },
  ).keep.map(({ snapshot }) => snapshot.time);

const flags: Readonly<Record<keyof RetentionPolicy, string>> = {
  keepLast: '--keep-last',
  keepHourly: '--keep-hourly',
  keepDaily: '--keep-daily',
  keepWeekly: '--keep-weekly',
  keepMonthly: '--keep-monthly',
  keepYearly: '--keep-yearly',
  keepWithin: '--keep-within',
  keepWithinHourly: '--keep-within-hourly',
  keepWithinDaily: '--keep-within-daily',
  keepWithinWeekly: '--keep-within-weekly',
  keepWithinMonthly: '--keep-within-monthly',
  keepWithinYearly: '--keep-within-yearly',
  keepTags: '--keep-tag',
};

interface ForgetGroup {
  readonly keep: readonly { readonly id: string }[] | null;
  readonly remove: readonly { readonly id: string }[] | null;
  readonly reasons: readonly { readonly snapshot: { readonly id: string } }[] | null;
}

async function resticKeeps(folder: ScratchFolder, policy: RetentionPolicy): Promise<Set<string>> {
  const args = Object.entries(policy).flatMap(([rule, value]) => {
    const values = Array.isArray(value)
      ? (value as readonly (readonly string[])[]).map((tags) => tags.join(','))
      : [String(value)];
    return values.flatMap((text) => [flags[rule as keyof RetentionPolicy], text]);
  });
  const groups = JSON.parse(
    await folder.restic(['forget', '--dry-run', '--json', '--group-by', '', ...args]),
  ) as ForgetGroup[];
  return new Set(groups.flatMap(({ keep }) => keep ?? []).map(({ id }) => id));
}

/** A history with gaps, bursts, several zones, ends of years, and a future. */
async function makeHistory(repository: Repository, random: () => number): Promise<Snapshot[]> {
  const snapshots: Snapshot[] = [];
  const tagSets = [[], ['a'], ['b'], ['a', 'b'], ['kept']];
  let ms = Date.now() + 40 * 86_400_000;
  for (let i = 0; i < 70; i++) {
    const stepHours = [0.2, 1, 5, 24, 24 * 7, 24 * 31, 24 * 200][Math.floor(random() ** 1.7 * 7)]!;
    ms -= Math.ceil(random() * stepHours * 3_600_000) + 1;
    // Go reads times in the zone of the process as such; others have no rules for summer.
    const zone = [0, 0, 60, -300, 330, 840][Math.floor(random() * 6)]!;
    const tags = tagSets[Math.floor(random() * tagSets.length)]!;
    snapshots.push(
      await repository.saveSnapshot({
        time: formatGoTime(new Date(ms), zone),
        tree,
        paths: ['/x'],
        hostname: 'h',
        tags,
      }),
    );
  }
  return snapshots;
}

describe.skipIf(missing !== null)(`retention (${missing ?? 'against restic'})`, () => {
  test('keeps what restic forget keeps, for random histories and policies', async () => {
    const count = fc.constantFrom(1, 2, 3, 5, 10, 30);
    const duration = fc.constantFrom('1h', '36h', '3d', '7d', '1m', '2m5d', '1y', '1y2m3d4h', '13m');
    const policies = fc.record(
      {
        keepLast: count,
        keepHourly: count,
        keepDaily: count,
        keepWeekly: count,
        keepMonthly: count,
        keepYearly: count,
        keepWithin: duration,
        keepWithinHourly: duration,
        keepWithinDaily: duration,
        keepWithinWeekly: duration,
        keepWithinMonthly: duration,
        keepWithinYearly: duration,
        keepTags: fc.constantFrom([['kept']], [['a', 'b'], ['kept']]),
      },
      { requiredKeys: [] },
    );
    const keepsOldest = Number(/restic 0\.(\d+)/.exec(resticVersion())?.[1]) >= 18;
    const seed = Date.now() % 1_000_000;
    for (const historySeed of [seed, seed + 1, seed + 2]) {
      await using folder = await ScratchFolder.create();
      const repository = await folder.createRepository();
      const snapshots = await makeHistory(repository, randomFrom(historySeed));
      const single = Object.keys(flags)
        .filter((rule) => rule.startsWith('keepWithin'))
        .map((rule) => ({ [rule]: '1y2m3d4h' }));
      const counted = Object.keys(flags)
        .slice(0, 6)
        .map((rule, index) => ({ [rule]: index + 2 }));
      const sampled = fc
        .sample(policies, { numRuns: 14, seed: historySeed })
        .filter((policy) => Object.keys(policy).length > 0);
      const chosen = historySeed === seed ? [...single, ...counted, ...sampled] : sampled;
      for (const policy of chosen as RetentionPolicy[]) {
        const { keep } = planRetention(snapshots, policy);
        // restic 0.14 does not keep the oldest snapshot while a count is left; 0.18 does, and so do we.
        const kept = keepsOldest
          ? keep
          : keep.filter(({ reasons }) => !reasons.every((reason) => reason.startsWith('oldest ')));
        const ours = new Set(kept.map(({ snapshot }) => snapshot.id));
        const theirs = await resticKeeps(folder, policy);
        const describeIds = (ids: Set<string>): string[] =>
          snapshots.filter(({ id }) => ids.has(id)).map(({ time }) => time);
        expect({ historySeed, policy, kept: describeIds(ours) }).toEqual({
          historySeed,
          policy,
          kept: describeIds(theirs),
        });
      }
    }
  });
});

describe('a retention plan', () => {
  test('keeps the newest of each day in the zone of the snapshot, and the oldest while days are left', () => {
    const times = [
      '2026-01-03T23:30:00-05:00',
      '2026-01-03T01:00:00-05:00',
      '2026-01-02T12:00:00Z',
      '2026-01-02T01:00:00Z',
    ];
    expect(keptTimes(times, { keepDaily: 2 })).toEqual([times[0], times[2]]);
    expect(keptTimes(times, { keepDaily: 5 })).toEqual([times[0], times[2], times[3]]);
    const { keep } = planRetention(
      times.map((time) => snapshotAt(time)),
      { keepDaily: 5 },
    );
    expect(keep.map(({ reasons }) => reasons)).toEqual([
      ['daily snapshot'],
      ['daily snapshot'],
      ['oldest daily snapshot'],
    ]);
  });

  test('knows the weeks of ISO 8601 at the turn of a year', () => {
    // 2027-01-01 is a Friday: it is in week 53 of 2026, with the Monday before.
    const times = ['2027-01-04T00:00:00Z', '2027-01-01T00:00:00Z', '2026-12-28T00:00:00Z', '2026-12-27T00:00:00Z'];
    expect(keptTimes(times, { keepWeekly: 3 })).toEqual([times[0], times[1], times[3]]);
  });

  test('counts durations back from the newest snapshot that is not in the future', () => {
    const times = [
      '2031-01-01T00:00:00Z',
      '2026-01-08T00:00:00Z',
      '2026-01-07T00:00:00.000000001Z',
      '2026-01-07T00:00:00Z',
    ];
    expect(keptTimes(times, { keepWithin: '1d' }, new Date('2026-02-01'))).toEqual(times.slice(0, 3));
    expect(keptTimes(times, { keepWithin: '24h' }, new Date('2026-02-01'))).toEqual(times.slice(0, 3));
  });

  test('without a rule keeps everything, and -1 keeps all', () => {
    const times = ['2026-01-08T00:00:00Z', '2026-01-07T00:00:00Z'];
    expect(keptTimes(times, {})).toEqual(times);
    expect(keptTimes(times, { keepLast: 0 })).toEqual(times);
    expect(keptTimes(times, { keepLast: -1 })).toEqual(times);
  });

  test('does not touch what it was given, removes nothing that it keeps, and loses none', () => {
    const history = fc.array(
      fc.date({ min: new Date('2020-01-01'), max: new Date('2027-01-01'), noInvalidDate: true }),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(
        history,
        fc.integer({ min: 0, max: 5 }),
        fc.integer({ min: 0, max: 5 }),
        (dates, keepDaily, keepYearly) => {
          const snapshots = dates.map((date, index) => ({
            ...snapshotAt(formatGoTime(date, 0)),
            id: index.toString(16).padStart(64, '0'),
          }));
          const copy = structuredClone(snapshots);
          const { keep, remove } = planRetention(snapshots, { keepDaily, keepYearly });
          expect(snapshots).toEqual(copy);
          const ids = [...keep.map(({ snapshot }) => snapshot.id), ...remove.map(({ id }) => id)];
          expect(ids.sort()).toEqual(snapshots.map(({ id }) => id).sort());
          if (snapshots.length > 0) expect(keep.length).toBeGreaterThan(0);
        },
      ),
    );
  });

  test('refuses counts and durations that are none', () => {
    for (const policy of [
      { keepLast: 1.5 },
      { keepDaily: -2 },
      { keepWithin: '3w' },
      { keepWithin: 'x' },
      { keepWithinDaily: '1d1y' },
    ]) {
      expect(() => planRetention([snapshotAt('2026-01-01T00:00:00Z')], policy)).toThrow(
        expect.objectContaining({ code: 'USAGE_INVALID' }),
      );
    }
  });
});

test('a time is read and written as Go does', () => {
  expect(parseGoTime('2026-11-22T21:56:59.98199408+01:00')).toEqual({
    epochNs: 1795381019981994080n,
    offsetMinutes: 60,
  });
  for (const text of [
    '2026-11-22T21:56:59Z',
    '0001-01-01T00:00:00Z',
    '2026-11-22T21:56:59.5-03:30',
    '9999-12-31T23:59:59.999+14:00',
  ]) {
    const { epochNs, offsetMinutes } = parseGoTime(text)!;
    expect(formatGoTime(new Date(Number(epochNs / 1_000_000n)), offsetMinutes)).toBe(text);
  }
  for (const text of [
    '',
    '2026-11-22',
    '2026-11-22 21:56:59Z',
    '2026-13-01T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-01-01T24:00:00Z',
  ]) {
    expect(parseGoTime(text)).toBe(null);
  }
});

/** Mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
