// What an app's retention would remove now: restic's rules over the app's own snapshots, with three rules of ours on top.
// Safety snapshots of restores stay for a day, base backups as long as the point-in-time window needs them, and the only
// complete snapshot is never removed. Log that the window does not need goes with them.

import { createHash } from 'node:crypto';
import type { AppSnapshot, Retention, RetentionPreview } from '@varve/contract';
import { planRetention, type Snapshot } from '@varve/repository';
import type { BlockFacts } from '../timeline/block-facts.ts';
import { commitTimes } from '../timeline/commit-times.ts';
import { pieceOf } from '../timeline/log-pieces.ts';
import { timeOf } from '../timeline/micros.ts';
import type { ChainPlan } from './plan-chains.ts';

const dayMs = 86_400_000;

/** Kept because it undoes a restore that was run less than a day ago. */
export const safetySnapshotReason = 'safety snapshot of a restore, younger than 24 hours';
/** Kept because all others miss files. */
export const onlyCompleteReason = 'the only complete snapshot';
/** Kept because moments of the window are reached from its base backup. */
export const pointInTimeReason = 'needed for the point-in-time window';

export interface RetentionInput {
  readonly repositoryId: string;
  /** All snapshots of one app: as stored, and as described. Those without a description stay. */
  readonly snapshots: readonly { readonly stored: Snapshot; readonly described: AppSnapshot | undefined }[];
  readonly policy: Retention;
  /** What the point-in-time window needs; nothing when absent. */
  readonly chains?: ChainPlan | undefined;
  readonly now: Date;
}

type Kept = RetentionPreview['keep'][number];

function isFreshSafetySnapshot(snapshot: AppSnapshot, now: Date): boolean {
  return snapshot.kind === 'pre-restore' && now.getTime() - Date.parse(snapshot.time) < dayMs;
}

/** Computes what stays, with the reasons, and what goes; both newest first. Changes nothing. */
export function retentionPreview(input: RetentionInput): RetentionPreview {
  const described = new Map(input.snapshots.flatMap(({ described }) => (described ? [[described.id, described]] : [])));
  const known = input.snapshots.filter(({ stored }) => described.has(stored.id)).map(({ stored }) => stored);
  const plan = planRetention(known, input.policy, { now: input.now });
  const find = (snapshot: Snapshot): AppSnapshot[] => {
    const found = described.get(snapshot.id);
    return found ? [found] : [];
  };
  const keep: Kept[] = plan.keep.flatMap(({ snapshot, reasons }) =>
    find(snapshot).map((found) => ({ snapshot: found, reasons: [...reasons] })),
  );
  const remove: AppSnapshot[] = [];
  for (const snapshot of plan.remove.flatMap(find)) {
    if (input.chains?.neededSnapshots.has(snapshot.id)) keep.push({ snapshot, reasons: [pointInTimeReason] });
    else if (isFreshSafetySnapshot(snapshot, input.now)) keep.push({ snapshot, reasons: [safetySnapshotReason] });
    else remove.push(snapshot);
  }
  if (keep.every(({ snapshot }) => snapshot.partial)) {
    const position = remove.findIndex((snapshot) => !snapshot.partial);
    const [spared] = position < 0 ? [] : remove.splice(position, 1);
    if (spared) keep.push({ snapshot: spared, reasons: [onlyCompleteReason] });
  }
  keep.sort((a, b) => Date.parse(b.snapshot.time) - Date.parse(a.snapshot.time));
  const removeWal = walOf(input.chains?.removableBlocks ?? []);
  return { keep, remove, removeWal, fingerprint: fingerprintOf(input, { keep, remove }) };
}

function walOf(blocks: readonly BlockFacts[]): RetentionPreview['removeWal'] {
  return [...Map.groupBy(blocks, ({ component }) => component)].map(([component, own]) => {
    const times = own.map((block) => commitTimes(pieceOf(block)));
    const known = times.filter(({ commits }) => commits > 0);
    return {
      component,
      blocks: own.length,
      bytes: own.reduce((sum, { startLsn, endLsn }) => sum + Number(endLsn - startLsn), 0),
      fromAt: known.length === 0 ? null : timeOf(Math.min(...known.map(({ first }) => first))),
      toAt: known.length === 0 ? null : timeOf(Math.max(...known.map(({ greatest }) => greatest))),
    };
  });
}

/** Changes when the policy, the set of snapshots or the decision about one of them does. */
function fingerprintOf(input: RetentionInput, plan: Pick<RetentionPreview, 'keep' | 'remove'>): string {
  const content = [
    input.repositoryId,
    Object.entries(input.policy)
      .map(([rule, count]) => `${rule} ${count}`)
      .sort(),
    plan.keep.map(({ snapshot }) => snapshot.id).sort(),
    plan.remove.map(({ id }) => id).sort(),
    (input.chains?.removableBlocks ?? []).map(({ snapshotId }) => snapshotId).sort(),
  ];
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}
