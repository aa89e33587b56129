// How well an app is protected, computed from facts only.

import type { App, Job, Protection } from '@varve/contract';
import type { SnapshotFacts } from './snapshot-store.ts';

const hourMs = 3_600_000;

export interface ProtectionFacts {
  readonly app: App;
  readonly snapshots: SnapshotFacts;
  /** The newest ended snapshot job, cancelled ones left out. */
  readonly lastSnapshotJob: Job | undefined;
  readonly nextRunAt: string | null;
  readonly runningJobId: string | null;
  readonly now: Date;
}

/** Whether the newest snapshot is older than the app's limit. */
export function isLate(app: App, newestAt: string, now: Date): boolean {
  return now.getTime() - Date.parse(newestAt) > app.policy.alertAfterHours * hourMs;
}

function levelOf(facts: ProtectionFacts): Protection['level'] {
  const { app, snapshots, lastSnapshotJob, now } = facts;
  if (lastSnapshotJob?.state === 'failed') return 'failing';
  if (snapshots.newest === null) return 'never';
  return isLate(app, snapshots.newest.time, now) ? 'late' : 'protected';
}

export function protectionOf(facts: ProtectionFacts): Protection {
  const { snapshots, lastSnapshotJob } = facts;
  const level = levelOf(facts);
  return {
    level,
    lastSnapshotAt: snapshots.newest?.time ?? null,
    lastSnapshotId: snapshots.newest?.id ?? null,
    lastSnapshotPartial: snapshots.newest?.partial ?? false,
    snapshotCount: snapshots.count,
    oldestSnapshotAt: snapshots.oldestAt,
    nextRunAt: facts.nextRunAt,
    failure: level === 'failing' ? (lastSnapshotJob?.error ?? null) : null,
    runningJobId: facts.runningJobId,
  };
}
