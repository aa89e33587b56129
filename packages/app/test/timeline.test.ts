// What can be reached, computed from blocks and base backups.

import { describe, expect, test } from 'vitest';
import type { BaseFacts } from '../src/timeline/base-facts.ts';
import type { BlockFacts } from '../src/timeline/block-facts.ts';
import { databaseTimeline } from '../src/timeline/database-timeline.ts';
import { microsOf, timeOf } from '../src/timeline/micros.ts';
import { nearestReachable } from '../src/timeline/nearest-reachable.ts';
import { at, base, clock, gapBefore, storedBlock, systemId } from './wal-history.ts';

function timelineOf(blocks: readonly BlockFacts[], bases: readonly BaseFacts[] = []) {
  return databaseTimeline({ component: 'db', captured: true, blocks, bases, damaged: [] });
}

describe('ranges', () => {
  test('begin at the end of the base backup and end at the last commit in the repository', () => {
    const { ranges, gaps, unreachable } = timelineOf(
      [
        storedBlock({
          from: 3,
          times: [
            ['10:00', '10:09'],
            ['10:10', '10:19'],
            ['10:20', '10:29'],
          ],
        }),
        storedBlock({
          from: 6,
          times: [['10:30', '10:39'], { first: '10:40', last: '10:44', bytes: 5000 }],
          sealed: false,
          replayableLsn: at(7, 4900),
        }),
      ],
      [base([4, 600], '10:15')],
    );
    expect(gaps).toEqual([]);
    expect(ranges).toMatchObject([
      {
        branch: 'current',
        timeline: 1,
        fromLsn: at(4, 600),
        toLsn: at(7, 4900),
        fromAt: clock('10:15'),
        toAt: clock('10:44'),
        firstCommitAt: clock('10:20'),
        lastCommitAt: clock('10:44'),
        commits: 8,
        clockSteps: [],
      },
    ]);
    expect(unreachable).toEqual([]);
  });

  test('do not wait for the end of a snapshot when later commits prove that the backup had ended', () => {
    const blocks = [
      storedBlock({
        from: 3,
        times: [
          ['10:00', '10:01'],
          ['10:02', '10:05'],
          ['10:06', '10:30'],
        ],
      }),
    ];
    expect(timelineOf(blocks, [base([4, 600], '10:25')]).ranges[0]).toMatchObject({ fromAt: clock('10:06') });
    // A host whose clock is an hour behind that of the server.
    expect(timelineOf(blocks, [base([4, 600], '09:05')]).ranges[0]).toMatchObject({ fromAt: clock('10:01') });
  });

  test('claim nothing later than the last commit, even when the database has been idle since', () => {
    const { ranges } = timelineOf(
      [storedBlock({ from: 3, times: [['10:00', '10:09'], null, null] })],
      [base([4, 600], '12:00')],
    );
    expect(ranges).toMatchObject([{ fromAt: clock('12:00'), toAt: clock('12:00'), lastCommitAt: null, commits: 0 }]);
    const { ranges: before } = timelineOf(
      [storedBlock({ from: 3, times: [['10:00', '10:09'], null] })],
      [base([3, 600], '12:00')],
    );
    expect(before).toMatchObject([{ fromAt: clock('10:09'), toAt: clock('10:09') }]);
  });

  test('need a base backup whose end is in the repository', () => {
    const blocks = [storedBlock({ from: 3, times: [['10:00', '10:09']], sealed: false })];
    expect(timelineOf(blocks).unreachable).toMatchObject([{ reason: 'capture-began', hasEnded: false }]);
    const late = timelineOf(blocks, [base([5, 0], '10:20')]);
    expect(late.ranges).toEqual([]);
    expect(late.unreachable).toMatchObject([{ hasEnded: false }]);
  });

  test('count a segment once that a block ended in and the next one began with', () => {
    const { ranges } = timelineOf(
      [
        storedBlock({ from: 3, times: [['10:00', '10:09'], { first: '10:10', last: '10:12', bytes: 700 }] }),
        storedBlock({ from: 4, times: [{ commits: 3, first: '10:10', last: '10:19' }, ['10:20', '10:29']] }),
        // Left by a crash beside the longer version.
        storedBlock({ from: 4, times: [{ commits: 1, first: '10:10', last: '10:11', bytes: 650 }], sealed: false }),
      ],
      [base([3, 600], '10:01')],
    );
    expect(ranges).toMatchObject([{ commits: 7, toLsn: at(6), toAt: clock('10:29') }]);
  });

  test('tell where the clock was set back, and take positions for the truth', () => {
    const { ranges } = timelineOf(
      [
        storedBlock({
          from: 3,
          times: [
            ['10:00', '10:09'],
            ['10:10', '11:30'],
            ['10:35', '10:50'],
            ['10:51', '11:10'],
          ],
        }),
      ],
      [base([3, 600], '10:01')],
    );
    expect(ranges).toMatchObject([
      {
        toLsn: at(7),
        toAt: clock('11:30'),
        lastCommitAt: clock('11:10'),
        clockSteps: [{ lsn: at(5), fromAt: clock('11:30'), toAt: clock('10:35') }],
      },
    ]);
  });
});

describe('gaps', () => {
  const lost = () => [
    storedBlock({ from: 3, times: [['10:00', '10:09']] }),
    storedBlock({
      from: 8,
      times: [
        ['10:50', '10:59'],
        ['11:10', '11:20'],
      ],
      gap: gapBefore('wal-removed', at(4)),
      sealed: false,
    }),
  ];

  test('are told with their reason, and nothing behind one is reachable before a base backup', () => {
    const { ranges, gaps, unreachable } = timelineOf(lost(), [base([3, 600], '10:01')]);
    expect(gaps).toMatchObject([
      {
        reason: 'wal-removed',
        fromLsn: at(4),
        toLsn: at(8),
        fromAt: clock('10:09'),
        toAt: clock('10:50'),
        detectedAt: clock('11:00'),
        healedAt: null,
      },
    ]);
    expect(ranges).toMatchObject([{ toLsn: at(4), toAt: clock('10:09') }]);
    expect(unreachable).toMatchObject([{ reason: 'behind-gap', hasEnded: false, fromAt: clock('10:50') }]);
  });

  test('end where the base backup behind them does', () => {
    const { ranges, gaps, unreachable } = timelineOf(lost(), [base([3, 600], '10:01'), base([9, 100], '11:05')]);
    expect(gaps).toMatchObject([{ healedAt: clock('11:05') }]);
    expect(ranges.map(({ fromAt, toAt }) => [fromAt, toAt])).toEqual([
      [clock('10:01'), clock('10:09')],
      [clock('11:05'), clock('11:20')],
    ]);
    expect(unreachable).toMatchObject([{ reason: 'behind-gap', hasEnded: true, toLsn: at(9, 100) }]);
  });

  test('are none when the bytes follow, and are found when a block is gone that nobody missed', () => {
    const [first] = lost();
    const noLoss = storedBlock({ from: 4, times: [['10:50', '10:59']], gap: gapBefore('slot-missing', at(4)) });
    const follows = timelineOf([...(first ? [first] : []), noLoss], [base([3, 600], '10:01')]);
    expect(follows.gaps).toEqual([]);
    expect(follows.ranges).toHaveLength(1);
    const rewound = storedBlock({ from: 4, times: [['10:50', '10:59']], gap: gapBefore('diverged', at(4)) });
    expect(timelineOf([...(first ? [first] : []), rewound]).gaps).toMatchObject([{ reason: 'diverged' }]);
    const removed = [storedBlock({ from: 3, times: [null] }), storedBlock({ from: 6, times: [null] })];
    const saved = [base([3, 600], '10:01')];
    expect(timelineOf(removed).gaps).toEqual([]);
    expect(timelineOf(removed, saved).gaps).toMatchObject([{ reason: 'block-missing', fromLsn: at(4), toLsn: at(6) }]);
    const damaged = [{ component: 'db', snapshotId: 'f'.repeat(64), time: clock('10:30'), message: 'Lost.' }];
    const seen = databaseTimeline({ component: 'db', captured: true, blocks: removed, bases: saved, damaged });
    expect(seen.gaps).toMatchObject([{ reason: 'block-unreadable' }]);
    expect(seen.damaged).toMatchObject([{ message: 'Lost.' }]);
  });
});

test('a server that was set back without a new timeline wrote another history from there on', () => {
  const before = storedBlock({
    from: 3,
    times: [
      ['10:00', '10:09'],
      ['10:10', '10:19'],
      ['10:20', '10:29'],
    ],
  });
  const gap = gapBefore('diverged', at(6));
  const anew = storedBlock({
    from: 4,
    times: [
      ['11:00', '11:09'],
      ['11:10', '11:19'],
    ],
    startedAt: clock('11:00'),
    gap,
  });
  const bases = [base([3, 600], '10:05'), base([4, 600], '10:15'), base([5, 10], '11:12')];
  expect(timelineOf([before, anew], bases).ranges).toMatchObject([
    { fromLsn: at(3, 600), toLsn: at(4), toAt: clock('10:09') },
    { fromLsn: at(5, 10), toLsn: at(6), fromAt: clock('11:12'), toAt: clock('11:19') },
  ]);
});

describe('branches', () => {
  /** Brought back in place to a point in segment 5: timeline 2 begins there, and what was written behind it is left. */
  const history = `1\t${at(5, 400)}\tbefore 2026-11-20\n`;
  const branched = () => [
    storedBlock({
      from: 3,
      times: [
        ['10:00', '10:09'],
        ['10:10', '10:19'],
        ['10:20', '10:29'],
        ['10:30', '10:39'],
      ],
      restorePoints: [
        { name: 'before', lsn: at(4, 10), at: clock('10:12') },
        { name: 'left', lsn: at(6, 10), at: clock('10:31') },
      ],
    }),
    storedBlock({
      from: 5,
      timeline: 2,
      history,
      times: [
        ['10:20', '11:00'],
        ['11:01', '11:30'],
      ],
      updatedAt: clock('11:30'),
      restorePoints: [{ name: 'since', lsn: at(6, 10), at: clock('11:02') }],
      restarts: [{ lsn: at(5, 400), at: clock('10:55') }],
    }),
  ];

  test('are told apart: the way to now crosses the switch, and what was left stays reachable by name', () => {
    const { ranges, gaps, points, restarts, branches, timeline } = timelineOf(branched(), [base([3, 600], '10:05')]);
    expect(timeline).toBe(2);
    expect(gaps).toEqual([]);
    expect(ranges).toMatchObject([
      { branch: 'current', timeline: 2, fromLsn: at(3, 600), toLsn: at(7), toAt: clock('11:30') },
      {
        branch: 'abandoned',
        timeline: 1,
        fromLsn: at(5, 400),
        toLsn: at(7),
        fromAt: clock('10:19'),
        toAt: clock('10:39'),
      },
    ]);
    expect(points.map(({ name, branch, reachable }) => [name, branch, reachable])).toEqual([
      ['before', 'current', true],
      ['since', 'current', true],
      ['left', 'abandoned', true],
    ]);
    expect(restarts).toMatchObject([{ timeline: 2, at: clock('10:55') }]);
    expect(branches).toMatchObject([
      { timeline: 1, parent: null, branch: 'current' },
      { timeline: 2, parent: { timeline: 1, lsn: at(5, 400) }, branch: 'current' },
    ]);
  });

  test('make no gap where the old primary was not captured up to the switch: the new one’s first segment repeats it', () => {
    const [, second] = branched();
    const cut = storedBlock({
      from: 3,
      times: [['10:00', '10:09'], ['10:10', '10:19'], { last: '10:20', bytes: 300 }],
    });
    const { ranges, gaps } = timelineOf([cut, ...(second ? [second] : [])], [base([3, 600], '10:05')]);
    expect(gaps).toEqual([]);
    expect(ranges).toMatchObject([{ branch: 'current', fromLsn: at(3, 600), toLsn: at(7) }]);
  });

  test('cannot be reached from a base backup that was made after the switch on the other branch', () => {
    const { ranges } = timelineOf(branched(), [base([6, 600], '10:35')]);
    expect(ranges).toMatchObject([{ branch: 'abandoned', timeline: 1, fromLsn: at(6, 600) }]);
  });

  test('of an earlier cluster stay reachable, and are not taken for the present one', () => {
    const upgraded = storedBlock({
      from: 1,
      systemId: '7000000000000000002',
      serverVersion: '18.1',
      times: [['12:00', '12:30']],
      updatedAt: clock('12:30'),
    });
    const {
      ranges,
      systemId: current,
      branches,
    } = timelineOf(
      [
        storedBlock({
          from: 3,
          times: [
            ['10:00', '10:09'],
            ['10:10', '10:19'],
          ],
        }),
        upgraded,
      ],
      [base([3, 600], '10:05'), base([1, 600], '12:05', { systemId: '7000000000000000002' })],
    );
    expect(current).toBe('7000000000000000002');
    expect(ranges).toMatchObject([
      { branch: 'earlier-cluster', systemId, toAt: clock('10:19') },
      { branch: 'current', systemId: current, fromAt: clock('12:05'), toAt: clock('12:30') },
    ]);
    expect(branches).toMatchObject([
      { branch: 'earlier-cluster', serverVersion: '17.2' },
      { branch: 'current', serverVersion: '18.1' },
    ]);
  });
});

test('the nearest reachable time is the time itself, or the ends of the ranges around it', () => {
  const database = timelineOf(
    [
      storedBlock({ from: 3, times: [['10:00', '10:09']] }),
      storedBlock({ from: 8, times: [['10:50', '10:59']], gap: gapBefore('wal-removed', at(4)) }),
    ],
    [base([3, 600], '10:01'), base([8, 100], '10:52')],
  );
  const ask = (time: string) => nearestReachable(database, clock(time));
  expect(ask('10:05')).toEqual({
    at: clock('10:05'),
    reachable: true,
    before: clock('10:05'),
    after: clock('10:05'),
  });
  expect(ask('10:09')).toMatchObject({ reachable: true });
  expect(ask('10:30')).toMatchObject({ reachable: false, before: clock('10:09'), after: clock('10:52') });
  expect(ask('09:00')).toMatchObject({ reachable: false, before: null, after: clock('10:01') });
  expect(ask('23:00')).toMatchObject({ reachable: false, before: clock('10:59'), after: null });
  expect(nearestReachable(database, '2026-11-20T11:05:00+01:00')).toMatchObject({ reachable: true });
});

test('times keep their microseconds', () => {
  expect(timeOf(microsOf('2026-11-20T10:00:00.123456Z'))).toBe('2026-11-20T10:00:00.123456Z');
  expect(timeOf(microsOf('2026-11-20T11:00:00.1+01:00'))).toBe('2026-11-20T10:00:00.100000Z');
  expect(timeOf(Number.NaN)).toBeNull();
});
