// Starts scheduled snapshots. The next run of each app is a row: a run that was missed while Varve was down is caught up
// once, a failed one is tried again after 5, 15 and 30 minutes, and a run never starts while its predecessor is under way.
// Driven by `tick`, which decides by the clock it was given and never waits.

import { isAppError, messageOf, type Clock, type Logger } from '@varve/base';
import type { App, Job } from '@varve/contract';
import type { AppStore } from '../apps/app-store.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import { noteChange } from '../catalogue/changes.ts';
import type { ScheduleRow } from '../catalogue/schema.ts';
import { activeStates, type JobStore } from '../jobs/job-store.ts';
import { nextRunOfApp } from './cron.ts';

const minuteMs = 60_000;
/** Waits after the first, second and third failure in a row; after the fourth the next regular run is waited for. */
const retryDelaysMs = [5 * minuteMs, 15 * minuteMs, 30 * minuteMs];
const busyDelayMs = minuteMs;

interface SchedulerOptions {
  readonly catalogue: Catalogue;
  readonly apps: AppStore;
  readonly jobs: JobStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Starts a scheduled snapshot; APP_BUSY when the app has a job. */
  readonly startSnapshot: (appId: string) => Promise<Job>;
  /** Removes what the app's retention no longer keeps, as a job when there is something. */
  readonly applyRetention: (appId: string) => Promise<void>;
}

function ruleOf(app: App): string {
  const { cron, timeZone } = app.policy.schedule;
  return `${cron} ${timeZone}`;
}

function earlier(a: string, b: string): string {
  return a < b ? a : b;
}

export class Scheduler {
  readonly #options: SchedulerOptions;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  /** When the app's next scheduled run is; null when its schedule is off. A time in the past is due now. */
  async nextRunAt(app: App): Promise<string | null> {
    if (!app.policy.schedule.enabled) return null;
    const row = await this.#row(app.id);
    return row?.rule === ruleOf(app) ? row.next_run_at : this.#regular(app);
  }

  /** Deals with the results of earlier runs and starts what is due. Never throws: a fault of one app is logged. */
  async tick(): Promise<void> {
    for (const app of await this.#options.apps.list()) {
      try {
        await this.#tickApp(app);
      } catch (error) {
        this.#options.logger.error('the schedule of an app could not be followed', {
          appId: app.id,
          error: messageOf(error),
        });
      }
    }
  }

  #row(appId: string): Promise<ScheduleRow | undefined> {
    return this.#options.catalogue.queries
      .selectFrom('schedules')
      .selectAll()
      .where('app_id', '=', appId)
      .executeTakeFirst();
  }

  #regular(app: App): string {
    return nextRunOfApp(app.policy.schedule, app.id, this.#options.clock.now()).toISOString();
  }

  async #set(appId: string, values: Partial<Omit<ScheduleRow, 'app_id'>>): Promise<void> {
    await this.#options.catalogue.write(async (queries) => {
      await queries.updateTable('schedules').set(values).where('app_id', '=', appId).execute();
      await noteChange(queries, 'app', appId);
    });
  }

  async #tickApp(app: App): Promise<void> {
    const { catalogue, jobs, clock } = this.#options;
    const row = await this.#row(app.id);
    if (row?.pending_job_id) {
      const job = await jobs.find(row.pending_job_id);
      if (job && activeStates.includes(job.state)) return;
      await this.#settle(app, row, job);
      return this.#tickApp(app);
    }
    if (!app.policy.schedule.enabled) {
      if (row) await catalogue.queries.deleteFrom('schedules').where('app_id', '=', app.id).execute();
      return;
    }
    const regular = this.#regular(app);
    if (row?.rule !== ruleOf(app)) {
      await catalogue.queries
        .replaceInto('schedules')
        .values({ app_id: app.id, rule: ruleOf(app), next_run_at: regular, attempts: 0, pending_job_id: null })
        .execute();
      return;
    }
    // Never later than the regular next run: a clock that was ahead and was set right would silence the schedule.
    if (row.next_run_at > regular) await this.#set(app.id, { next_run_at: regular });
    else if (row.next_run_at <= clock.now().toISOString()) await this.#start(app, row, regular);
  }

  async #start(app: App, row: ScheduleRow, regular: string): Promise<void> {
    const { catalogue, clock, startSnapshot, logger } = this.#options;
    const claimed = await catalogue.queries
      .updateTable('schedules')
      .set({ next_run_at: regular })
      .where('app_id', '=', app.id)
      .where('next_run_at', '=', row.next_run_at)
      .where('pending_job_id', 'is', null)
      .returning('app_id')
      .executeTakeFirst();
    if (!claimed) return;
    try {
      const job = await startSnapshot(app.id);
      await this.#set(app.id, { pending_job_id: job.id });
    } catch (error) {
      const delayMs = isAppError(error, 'APP_BUSY') ? busyDelayMs : (retryDelaysMs[0] ?? minuteMs);
      const again = new Date(clock.now().getTime() + delayMs).toISOString();
      await this.#set(app.id, { next_run_at: earlier(again, regular) });
      if (!isAppError(error, 'APP_BUSY')) {
        logger.error('a scheduled snapshot could not be started', { appId: app.id, error: messageOf(error) });
      }
    }
  }

  async #settle(app: App, row: ScheduleRow, job: Job | undefined): Promise<void> {
    const { clock, applyRetention } = this.#options;
    if (job?.state === 'failed') {
      const delayMs = retryDelaysMs[row.attempts];
      const endedMs = job.finishedAt === null ? clock.now().getTime() : Date.parse(job.finishedAt);
      await this.#set(app.id, {
        pending_job_id: null,
        attempts: delayMs === undefined ? 0 : row.attempts + 1,
        ...(delayMs === undefined
          ? {}
          : { next_run_at: earlier(new Date(endedMs + delayMs).toISOString(), row.next_run_at) }),
      });
      return;
    }
    const wasShutDown = job?.state === 'cancelled' && job.error?.code === 'JOB_INTERRUPTED';
    const next = wasShutDown ? clock.now().toISOString() : row.next_run_at;
    await this.#set(app.id, { pending_job_id: null, attempts: 0, next_run_at: earlier(next, row.next_run_at) });
    if (job?.state === 'succeeded' || job?.state === 'partial') await applyRetention(app.id);
  }
}
