// Retention of base backups and WAL blocks: what the point-in-time window needs stays, whatever the history was.

import { retentionSchema, type AppSnapshot, type DatabaseTimeline } from '@varve/contract';
import type { Snapshot } from '@varve/repository';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planChains } from '../src/retention/plan-chains.ts';
import { pointInTimeReason, retentionPreview } from '../src/retention/retention.ts';
import type { BaseFacts } from '../src/timeline/base-facts.ts';
import type { BlockFacts } from '../src/timeline/block-facts.ts';
import { databaseTimeline } from '../src/timeline/database-timeline.ts';
import { microsOf } from '../src/timeline/micros.ts';
import { exampleSnapshot, repositoryId } from './engine-fixture.ts';
import { at, base, clock, gapBefore, storedBlock } from './wal-history.ts';

const dayMs = 86_400_000;
const hourMs = 3_600_000;

function timelineOf({ blocks, bases }: History): DatabaseTimeline {
  return databaseTimeline({ component: 'db', captured: true, blocks, bases, damaged: [] });
}

interface History {
  readonly blocks: readonly BlockFacts[];
  readonly bases: readonly BaseFacts[];
}

/** Hours of the 20th of November as days, so that times stay readable: one hour of the window is `1 / 24` days. */
const plan = (history: History, hours: number, now: string) =>
  planChains({ ...history, windowDays: hours / 24, now: new Date(clock(now)) });

describe('the point-in-time window', () => {
  const hourly = (): History => ({
    blocks: Array.from({ length: 8 }, (_, index) =>
      storedBlock({ from: 10 + index, times: [[`1${index}:00`, `1${index}:59`]], sealed: index < 7 }),
    ),
    bases: [base([10, 100], '10:10'), base([12, 100], '12:10'), base([14, 100], '14:10'), base([16, 100], '16:10')],
  });

  test('needs the newest base backup that is older than it, and the log from its start on', () => {
    const history = hourly();
    const { neededSnapshots, removableBlocks } = plan(history, 3, '17:30');
    expect([...neededSnapshots]).toEqual([history.bases[2]?.snapshotId]);
    expect(removableBlocks).toEqual(history.blocks.slice(0, 4));
  });

  test('needs the oldest base backup when none is older, and removes nothing', () => {
    const history = hourly();
    const { neededSnapshots, removableBlocks } = plan(history, 24, '17:30');
    expect([...neededSnapshots]).toEqual([history.bases[0]?.snapshotId]);
    expect(removableBlocks).toEqual([]);
  });

  test('never lets the newest chain go, however long the database has been at rest', () => {
    const history = hourly();
    const { neededSnapshots, removableBlocks } = planChains({
      ...history,
      windowDays: 1,
      now: new Date('2027-11-20T00:00:00Z'),
    });
    expect([...neededSnapshots]).toEqual([history.bases[3]?.snapshotId]);
    expect(removableBlocks).toEqual(history.blocks.slice(0, 6));
  });

  test('keeps log without a base backup until it is older than the window: one may be in the making', () => {
    const { blocks } = hourly();
    expect(plan({ blocks, bases: [] }, 3, '17:30').removableBlocks).toEqual(blocks.slice(0, 4));
    expect(plan({ blocks, bases: [] }, 3, '17:30').neededSnapshots.size).toBe(0);
  });

  test('keeps what is before a gap while the window reaches there', () => {
    const blocks = [
      storedBlock({ from: 10, times: [['10:00', '10:59']] }),
      storedBlock({ from: 20, times: [['12:00', '12:59']], gap: gapBefore('wal-removed', at(11)), sealed: false }),
    ];
    const bases = [base([10, 100], '10:10'), base([20, 100], '12:10')];
    expect(plan({ blocks, bases }, 3, '13:30').neededSnapshots.size).toBe(2);
    const later = plan({ blocks, bases }, 2, '13:30');
    expect([...later.neededSnapshots]).toEqual([bases[1]?.snapshotId]);
    expect(later.removableBlocks).toEqual(blocks.slice(0, 1));
  });

  test('keeps an earlier cluster until its window is over', () => {
    const blocks = [
      storedBlock({ from: 10, times: [['10:00', '10:59']] }),
      storedBlock({ from: 1, systemId: '8', times: [['12:00', '12:59']], sealed: false }),
    ];
    const bases = [base([10, 100], '10:10'), base([1, 100], '12:10', { systemId: '8' })];
    expect(plan({ blocks, bases }, 3, '13:30').removableBlocks).toEqual([]);
    expect(plan({ blocks, bases }, 2, '13:30').removableBlocks).toEqual(blocks.slice(0, 1));
  });

  test('leaves the last block with a history file while something of that timeline is kept', () => {
    const history = `1\t${at(11)}\tno recovery target specified\n`;
    const blocks = [
      storedBlock({ from: 10, times: [['10:00', '10:59']] }),
      storedBlock({ from: 11, timeline: 2, history, times: [['11:00', '11:59']] }),
      // An archive of a third hand, without the history files.
      storedBlock({
        from: 12,
        timeline: 2,
        histories: [],
        times: [
          ['12:00', '12:59'],
          ['16:00', '16:59'],
        ],
        sealed: false,
      }),
    ];
    const bases = [base([12, 100], '12:10', { timeline: 2 })];
    expect(plan({ blocks, bases }, 2, '17:00').removableBlocks).toEqual(blocks.slice(0, 1));
  });

  test('shows in the preview what stays for it and what log goes, and is part of its fingerprint', () => {
    const history = hourly();
    const snapshots = history.bases.map(({ snapshotId, finishedAtMs }) => {
      const time = new Date(finishedAtMs).toISOString();
      const described: AppSnapshot = { ...exampleSnapshot(1, { appId: 'shop', time }), id: snapshotId };
      const stored: Snapshot = { id: snapshotId, time, tree: '0'.repeat(64), paths: ['/shop'], tags: ['varve'] };
      return { stored, described };
    });
    const none = { keepDaily: 0, keepWeekly: 0, keepMonthly: 0 };
    const preview = (hours: number) =>
      retentionPreview({
        repositoryId,
        snapshots,
        policy: retentionSchema.parse({ ...none, keepLast: 1 }),
        chains: plan(history, hours, '17:30'),
        now: new Date(clock('17:30')),
      });
    expect(preview(3).keep.map(({ snapshot, reasons }) => [snapshot.id, reasons])).toEqual([
      [history.bases[3]?.snapshotId, ['last snapshot']],
      [history.bases[2]?.snapshotId, [pointInTimeReason]],
    ]);
    expect(preview(3).removeWal).toEqual([
      { component: 'db', blocks: 4, bytes: 4 * 1024 * 1024, fromAt: clock('10:00'), toAt: clock('13:59') },
    ]);
    expect(preview(3).fingerprint).not.toBe(preview(4).fingerprint);
    expect(preview(3).fingerprint).toBe(preview(3).fingerprint);
  });
});

type Event =
  | { readonly kind: 'log'; readonly hours: number }
  | { readonly kind: 'base' }
  | { readonly kind: 'gap' }
  | { readonly kind: 'back'; readonly share: number }
  | { readonly kind: 'upgrade' };

const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('log' as const), hours: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 4, arbitrary: fc.constant({ kind: 'base' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'gap' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('back' as const), share: fc.double({ min: 0, max: 1, noNaN: true }) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'upgrade' as const }) },
);

/** Lives through the events, an hour a block; ends with the time of the last one. */
function live(events: readonly Event[]): History & { readonly endMs: number } {
  const blocks: BlockFacts[] = [];
  const bases: BaseFacts[] = [];
  let nowMs = Date.parse('2026-11-01T00:00:00Z');
  let segment = 1;
  let timeline = 1;
  let newest = 1;
  let cluster = 1;
  let history = '';
  let gap: ReturnType<typeof gapBefore> = null;
  const time = (ms: number): string => new Date(ms).toISOString().slice(11, 19);
  for (const one of events) {
    if (one.kind === 'gap') {
      gap = gapBefore('wal-removed', at(segment));
      segment += 3;
    } else if (one.kind === 'upgrade') {
      [segment, timeline, newest, history, gap] = [1, 1, 1, '', null];
      cluster += 1;
    } else if (one.kind === 'back' && segment > 2) {
      segment = 1 + Math.floor(one.share * (segment - 1));
      history += `${timeline}\t${at(segment, 10)}\tbefore\n`;
      newest += 1;
      [timeline, gap] = [newest, null];
    } else if (one.kind === 'base') {
      const finished = new Date(nowMs + 60_000).toISOString();
      bases.push(base([segment, 500], finished, { timeline, systemId: String(cluster), finishedAtMs: nowMs + 60_000 }));
    } else if (one.kind === 'log') {
      for (let hour = 0; hour < one.hours; hour++, segment++, nowMs += hourMs) {
        const day = new Date(nowMs).toISOString().slice(0, 10);
        const segments = [{ first: time(nowMs + 120_000), last: time(nowMs + 3_000_000) }];
        const stamp = new Date(nowMs + 3_100_000).toISOString();
        const shape = { from: segment, timeline, systemId: String(cluster), times: segments, gap };
        const made = storedBlock({
          ...shape,
          updatedAt: stamp,
          startedAt: stamp,
          ...(history === '' ? {} : { history }),
        });
        blocks.push({ ...made, segments: onDay(made.segments, day) });
        gap = null;
      }
    }
  }
  return { blocks, bases, endMs: nowMs };
}

/** Times of the builder are of one day; here they are moved to another. */
function onDay(segments: Float64Array, day: string): Float64Array {
  const shift = microsOf(`${day}T00:00:00Z`) - microsOf(clock('00:00'));
  return segments.map((value, index) => (index % 4 === 0 ? value : value + shift));
}

test('every moment of the window that could be reached before any retention can be reached behind it', () => {
  fc.assert(
    fc.property(
      fc.array(event, { minLength: 3, maxLength: 40 }),
      fc.double({ min: 0.05, max: 4, noNaN: true }),
      fc.array(fc.boolean(), { minLength: 64, maxLength: 64 }),
      (events, windowDays, kept) => {
        const history = live(events);
        const now = new Date(history.endMs);
        const retain = (before: History, keptToo: readonly boolean[]): History => {
          const { neededSnapshots, removableBlocks } = planChains({ ...before, windowDays, now });
          expect(removableBlocks.every(({ sealed }) => sealed)).toBe(true);
          const removed = new Set(removableBlocks);
          return {
            blocks: before.blocks.filter((block) => !removed.has(block)),
            // The other rules keep whatever they like.
            bases: before.bases.filter(
              ({ snapshotId }, index) => neededSnapshots.has(snapshotId) || keptToo[index % 64],
            ),
          };
        };
        const after = retain(retain(history, kept), kept.toReversed());
        const cutoff = (history.endMs - windowDays * dayMs) * 1000;
        const reached = timelineOf(after).ranges;
        for (const range of timelineOf(history).ranges) {
          const [from, to] = [Math.max(microsOf(range.fromAt), cutoff), microsOf(range.toAt)];
          if (to < cutoff) continue;
          const covering = reached.filter(
            (one) =>
              one.systemId === range.systemId &&
              one.timeline === range.timeline &&
              // A later cluster of which only a base backup was there may be gone.
              (one.branch === 'abandoned') === (range.branch === 'abandoned') &&
              one.toLsn === range.toLsn &&
              microsOf(one.fromAt) <= from &&
              microsOf(one.toAt) >= to,
          );
          expect(covering, `${range.branch} ${range.timeline}: ${range.fromAt} to ${range.toAt}`).toHaveLength(1);
        }
      },
    ),
    { numRuns: 1000 },
  );
});
