// What is due for the repository and when: pure, from rows, settings and the clock, so that a restart changes nothing.

import type { CheckScope, Job, MaintenanceSettings } from '@varve/contract';
import type { RepositoryRow } from '../catalogue/schema.ts';

const dayMs = 86_400_000;
/** The repository's groups of packs are made by a byte of their names. */
const mostParts = 256;

export interface MaintenanceFacts {
  readonly repository: Pick<RepositoryRow, 'created_at' | 'forgotten_at' | 'data_checks'>;
  readonly settings: MaintenanceSettings;
  /** Newest first, in any state, whoever asked. */
  readonly prunes: readonly Job[];
  readonly checks: readonly Job[];
  readonly now: Date;
}

export interface MaintenancePlan {
  /** RFC 3339; in the past: due now. Null when there is nothing to do or it is switched off. */
  readonly pruneAt: string | null;
  readonly checkAt: string | null;
  /** What the next scheduled check reads. */
  readonly checkScope: CheckScope;
}

/** A run that ended because Varve was stopped does not count: it is repeated. */
function countsAsTry(job: Job): boolean {
  return job.state !== 'cancelled' || job.error?.code !== 'JOB_INTERRUPTED';
}

/** Never later than one interval from now: a clock that was ahead and was set right would silence it. */
function at(baseMs: number, intervalMs: number, now: Date): string {
  return new Date(Math.min(baseMs + intervalMs, now.getTime() + intervalMs)).toISOString();
}

/** Once a day at most, when something was forgotten; a failed one is tried again the next day. */
function pruneAt({ repository, settings, prunes, now }: MaintenanceFacts): string | null {
  const { forgotten_at: forgottenAt } = repository;
  if (!settings.prune || forgottenAt === null) return null;
  const last = prunes.find(countsAsTry);
  if (last === undefined) return forgottenAt;
  const free = at(Date.parse(last.createdAt), dayMs, now);
  return forgottenAt > free ? forgottenAt : free;
}

/** What is asked for by hand does not count: it may have read less. A run that could not look is tried again the next day. */
function checkAt({ repository, settings, checks, now }: MaintenanceFacts): string | null {
  if (!settings.check) return null;
  const interval = settings.checkEveryDays * dayMs;
  const last = checks.find((job) => job.requestedBy === 'schedule' && countsAsTry(job));
  if (last === undefined) return at(Date.parse(repository.created_at), interval, now);
  const couldNotLook = last.state === 'failed' && last.error?.code !== 'REPOSITORY_DAMAGED';
  return at(Date.parse(last.createdAt), couldNotLook ? Math.min(dayMs, interval) : interval, now);
}

/** The part after those that were found good; a part with damage stays next until it is mended. */
function scopeOf({ repository, settings }: MaintenanceFacts): CheckScope {
  if (settings.readDataDays === 0) return { data: 'none' };
  const parts = Math.min(mostParts, Math.ceil(settings.readDataDays / settings.checkEveryDays));
  if (parts <= 1) return { data: 'all' };
  return { data: 'part', part: (repository.data_checks % parts) + 1, parts };
}

export function planMaintenance(facts: MaintenanceFacts): MaintenancePlan {
  return { pruneAt: pruneAt(facts), checkAt: checkAt(facts), checkScope: scopeOf(facts) };
}
