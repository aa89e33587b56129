import { retentionSchema, type AppSnapshot, type SnapshotKind } from '@varve/contract';
import type { Snapshot } from '@varve/repository';
import { describe, expect, test } from 'vitest';
import { onlyCompleteReason, retentionPreview, safetySnapshotReason } from '../src/retention/retention.ts';
import { exampleSnapshot, repositoryId } from './engine-fixture.ts';

const now = new Date('2026-03-31T12:00:00Z');

interface Facts {
  readonly kind?: SnapshotKind;
  readonly partial?: boolean;
}

/** Snapshots of one app at these times; ids count from 1. */
function snapshotsAt(times: readonly (string | readonly [string, Facts])[]) {
  return times.map((entry, index) => {
    const [time, facts] = typeof entry === 'string' ? [entry, {}] : entry;
    const described: AppSnapshot = exampleSnapshot(index + 1, { appId: 'shop', time, ...facts });
    const stored: Snapshot = { id: described.id, time, tree: '0'.repeat(64), paths: ['/shop'], tags: ['varve'] };
    return { stored, described };
  });
}

function preview(
  times: readonly (string | readonly [string, Facts])[],
  policy: Partial<ReturnType<typeof retentionSchema.parse>>,
  at = now,
) {
  const none = { keepDaily: 0, keepWeekly: 0, keepMonthly: 0 };
  return retentionPreview({
    repositoryId,
    snapshots: snapshotsAt(times),
    policy: retentionSchema.parse({ ...none, ...policy }),
    now: at,
  });
}

const numberOf = ({ id }: AppSnapshot): number => Number.parseInt(id, 16);

describe('retention', () => {
  test('keeps by restic’s rules, says why, and lists both sides newest first', () => {
    const result = preview(
      ['2026-03-29T08:00:00Z', '2026-03-29T20:00:00Z', '2026-03-30T08:00:00Z', '2026-03-31T08:00:00Z'],
      { keepDaily: 2 },
    );
    expect(result.keep.map(({ snapshot, reasons }) => [numberOf(snapshot), reasons])).toEqual([
      [4, ['daily snapshot']],
      [3, ['daily snapshot']],
    ]);
    expect(result.remove.map(numberOf)).toEqual([2, 1]);
  });

  test('keeps a safety snapshot for 24 hours, whatever the rules say, and no longer', () => {
    const times = [
      ['2026-03-30T12:00:00.001Z', { kind: 'pre-restore' }],
      ['2026-03-30T12:30:00Z', { kind: 'manual' }],
      '2026-03-31T08:00:00Z',
    ] as const;
    const young = preview(times, { keepLast: 1 });
    expect(young.keep.map(({ snapshot, reasons }) => [numberOf(snapshot), reasons])).toEqual([
      [3, ['last snapshot']],
      [1, [safetySnapshotReason]],
    ]);
    const old = preview(times, { keepLast: 1 }, new Date(now.getTime() + 1));
    expect(old.remove.map(numberOf)).toEqual([2, 1]);
    expect(old.fingerprint).not.toBe(young.fingerprint);
  });

  test('never removes the only complete snapshot', () => {
    const partial = { partial: true };
    const result = preview(
      [
        '2026-03-28T08:00:00Z',
        '2026-03-29T08:00:00Z',
        ['2026-03-30T08:00:00Z', partial],
        ['2026-03-31T08:00:00Z', partial],
      ],
      { keepLast: 1 },
    );
    expect(result.keep.map(({ snapshot, reasons }) => [numberOf(snapshot), reasons])).toEqual([
      [4, ['last snapshot']],
      [2, [onlyCompleteReason]],
    ]);
    expect(result.remove.map(numberOf)).toEqual([3, 1]);
    const allPartial = preview(
      [
        ['2026-03-30T08:00:00Z', partial],
        ['2026-03-31T08:00:00Z', partial],
      ],
      { keepLast: 1 },
    );
    expect(allPartial.remove.map(numberOf)).toEqual([1]);
  });

  test('leaves snapshots alone whose manifest could not be read', () => {
    const snapshots = snapshotsAt(['2026-03-30T08:00:00Z', '2026-03-31T08:00:00Z']).map(
      ({ stored, described }, index) => ({
        stored,
        described: index === 0 ? undefined : described,
      }),
    );
    const result = retentionPreview({
      repositoryId,
      snapshots,
      policy: retentionSchema.parse({ keepLast: 1, keepDaily: 0, keepWeekly: 0, keepMonthly: 0 }),
      now,
    });
    expect(result.remove).toEqual([]);
    expect(result.keep).toHaveLength(1);
  });

  test('has a fingerprint that stays while nothing changes, and changes with snapshots, policy and repository', () => {
    const times = ['2026-03-30T08:00:00Z', '2026-03-31T08:00:00Z'];
    const base = preview(times, { keepLast: 1 });
    expect(preview(times, { keepLast: 1 }, new Date(now.getTime() + 60_000)).fingerprint).toBe(base.fingerprint);
    expect(preview([...times, '2026-03-31T09:00:00Z'], { keepLast: 1 }).fingerprint).not.toBe(base.fingerprint);
    expect(preview(times, { keepLast: 2 }).fingerprint).not.toBe(base.fingerprint);
    const other = retentionPreview({
      repositoryId: 'b'.repeat(64),
      snapshots: snapshotsAt(times),
      policy: retentionSchema.parse({ keepLast: 1, keepDaily: 0, keepWeekly: 0, keepMonthly: 0 }),
      now,
    });
    expect(other.fingerprint).not.toBe(base.fingerprint);
  });
});
