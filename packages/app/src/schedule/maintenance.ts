// Care of the repository without being asked: gives back space and checks, one job at a time, and not while an app's snapshots
// are being forgotten, which would have to wait for it. Driven by `tick`, which decides by rows and the clock.

import { isAppError, messageOf, type Clock, type Logger } from '@varve/base';
import type { CheckScope, Job, Maintenance } from '@varve/contract';
import type { RepositoryRow } from '../catalogue/schema.ts';
import { activeStates, type JobStore } from '../jobs/job-store.ts';
import type { RepositoryStore } from '../repositories/repository-store.ts';
import type { SettingsStore } from '../settings/settings-store.ts';
import { planMaintenance, type MaintenancePlan } from './maintenance-plan.ts';

/** Enough to find the last try among runs that were cut off. */
const jobsLookedAt = 50;

interface MaintenanceOptions {
  readonly repositoryStore: RepositoryStore;
  readonly jobs: JobStore;
  readonly settings: SettingsStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly startPrune: () => Promise<Job>;
  readonly startCheck: (scope: CheckScope) => Promise<Job>;
}

interface Known extends MaintenancePlan {
  readonly repository: RepositoryRow;
  readonly prunes: readonly Job[];
  readonly checks: readonly Job[];
}

export class MaintenanceScheduler {
  readonly #options: MaintenanceOptions;

  constructor(options: MaintenanceOptions) {
    this.#options = options;
  }

  /** What was done last and what comes next; null before there is a repository. */
  async describe(): Promise<Maintenance | null> {
    const known = await this.#look();
    if (!known) return null;
    const { repository, prunes, checks, pruneAt, checkAt, checkScope } = known;
    const lastOf = (jobs: readonly Job[]): Job | null =>
      jobs.find(({ state }) => !activeStates.includes(state) && state !== 'cancelled') ?? null;
    return {
      prune: { pendingSince: repository.forgotten_at, nextAt: pruneAt, last: lastOf(prunes) },
      check: { nextAt: checkAt, nextScope: checkScope, last: lastOf(checks) },
    };
  }

  /** Starts what is due. Never throws: a fault is logged and looked at again with the next tick. */
  async tick(): Promise<void> {
    const { clock, logger, startPrune, startCheck } = this.#options;
    try {
      const known = await this.#look();
      if (!known) return;
      const now = clock.now().toISOString();
      const isDue = (at: string | null): boolean => at !== null && at <= now;
      if (!isDue(known.pruneAt) && !isDue(known.checkAt)) return;
      if (await this.#isBusy()) return;
      if (isDue(known.pruneAt)) await startPrune();
      else await startCheck(known.checkScope);
    } catch (error) {
      // Somebody else was a moment faster.
      if (isAppError(error, 'APP_BUSY')) return;
      logger.error('the care of the repository could not be started', { error: messageOf(error) });
    }
  }

  async #isBusy(): Promise<boolean> {
    const active = await this.#options.jobs.active();
    return active.some(({ job }) => job.appId === null || job.type === 'forget');
  }

  async #look(): Promise<Known | undefined> {
    const { repositoryStore, jobs, settings, clock } = this.#options;
    const repository = await repositoryStore.current();
    if (!repository) return undefined;
    const prunes = await jobs.newestOfRepository('prune', jobsLookedAt);
    const checks = await jobs.newestOfRepository('check', jobsLookedAt);
    const facts = { repository, settings: await settings.maintenance(), prunes, checks, now: clock.now() };
    return { repository, prunes, checks, ...planMaintenance(facts) };
  }
}
