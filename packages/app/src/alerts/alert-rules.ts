// Which alerts should be open now: computed from facts alone, so that an alert opens when its reason appears and closes
// when it is gone, whoever asks and however often.

import type { App, AppSnapshot, Job, WalCapture } from '@varve/contract';
import { isLate } from '../apps/protection.ts';
import { intervalMs } from '../schedule/cron.ts';
import { walAlerts } from './wal-alerts.ts';
import type { WantedAlert } from './wanted-alert.ts';

const hourMs = 3_600_000;
/** Damaged files that an alert names. */
const namedPaths = 20;
/** A restore is not repeated by itself, so its failure stops being news after this time. */
const restoreNewsMs = 7 * 24 * hourMs;
/** A first snapshot may take this long after its time before it counts as missing. */
const firstSnapshotSlackMs = 10 * 60_000;

export interface AppFacts {
  readonly app: App;
  readonly newestSnapshot: AppSnapshot | null;
  /** The newest ended job of each type, cancelled ones left out. */
  readonly lastJobs: readonly Job[];
  /** Of its databases whose log is captured. */
  readonly captures: readonly WalCapture[];
}

function failedJobAlert(job: Job, app: App | undefined, now: Date): WantedAlert[] {
  if (job.state !== 'failed') return [];
  const endedMs = Date.parse(job.finishedAt ?? job.createdAt);
  if ((job.type === 'restore' || job.type === 'recovery') && now.getTime() - endedMs > restoreNewsMs) return [];
  return [
    {
      code: 'job-failed',
      appId: app?.id ?? null,
      subject: job.type,
      facts: {
        appName: app?.name,
        jobType: job.type,
        errorMessage: job.error?.message,
        hint: job.error?.hint ?? undefined,
        affected: affectedPaths(job),
        since: job.finishedAt ?? job.createdAt,
      },
    },
  ];
}

/** Each path once, however many snapshots hold it. */
function affectedPaths({ result }: Job): readonly string[] | undefined {
  if (result?.type !== 'check' || result.affected.length === 0) return undefined;
  return [...new Set(result.affected.map(({ path }) => path))].slice(0, namedPaths);
}

/** How long an app may be without its first snapshot. */
export function firstSnapshotGraceMs(app: App): number {
  if (!app.policy.schedule.enabled) return hourMs;
  const interval = intervalMs(app.policy.schedule, new Date(app.createdAt));
  return Math.min(interval + firstSnapshotSlackMs, app.policy.alertAfterHours * hourMs);
}

function snapshotAlerts(facts: AppFacts, now: Date): WantedAlert[] {
  const { app, newestSnapshot } = facts;
  const base = { appId: app.id, subject: '' };
  if (newestSnapshot === null) {
    const ageMs = now.getTime() - Date.parse(app.createdAt);
    if (ageMs <= firstSnapshotGraceMs(app)) return [];
    return [{ ...base, code: 'no-backup', facts: { appName: app.name, since: app.createdAt } }];
  }
  const since = newestSnapshot.time;
  const late: WantedAlert[] = isLate(app, since, now)
    ? [{ ...base, code: 'backup-late', facts: { appName: app.name, limitHours: app.policy.alertAfterHours, since } }]
    : [];
  const partial: WantedAlert[] = newestSnapshot.partial
    ? [{ ...base, code: 'snapshot-partial', facts: { appName: app.name, since } }]
    : [];
  return [...late, ...partial];
}

/** All alerts that should be open. `repositoryJobs`: the newest ended job of each type that concerns no app. */
export function wantedAlerts(options: {
  readonly apps: readonly AppFacts[];
  readonly repositoryJobs: readonly Job[];
  readonly now: Date;
}): WantedAlert[] {
  const { apps, repositoryJobs, now } = options;
  return [
    ...apps.flatMap(({ app, lastJobs }) => lastJobs.flatMap((job) => failedJobAlert(job, app, now))),
    ...apps.flatMap((facts) => snapshotAlerts(facts, now)),
    ...apps.flatMap(({ app, captures }) => walAlerts(app, captures, now)),
    ...repositoryJobs.flatMap((job) => failedJobAlert(job, undefined, now)),
  ];
}
