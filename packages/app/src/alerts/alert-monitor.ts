// Looks at all apps, opens and closes alerts, and sends the e-mails about them. Sending is tried again with growing waits;
// what went wrong is kept with the alert.

import { messageOf, type Clock, type Logger } from '@varve/base';
import { jobTypeSchema, type App, type Job, type WalCapture } from '@varve/contract';
import type { AppStore } from '../apps/app-store.ts';
import type { SnapshotStore } from '../apps/snapshot-store.ts';
import type { JobStore } from '../jobs/job-store.ts';
import type { SettingsStore } from '../settings/settings-store.ts';
import { wantedAlerts, type AppFacts } from './alert-rules.ts';
import { unresolvedCheck } from './unresolved-check.ts';
import type { AlertStore, DueNotice } from './alert-store.ts';
import { letterOf } from './alert-texts.ts';
import { sendLetter } from './mailer.ts';

const minuteMs = 60_000;
const retryDelaysMs = [minuteMs, 5 * minuteMs, 15 * minuteMs, 60 * minuteMs];
/** A notice that something is solved is not worth more tries than this. */
const maxSolvedAttempts = 10;
const claimMs = 10 * minuteMs;
/** About as many as run in a year. */
const checksLookedAt = 100;

interface AlertMonitorOptions {
  readonly apps: AppStore;
  readonly snapshots: SnapshotStore;
  readonly jobs: JobStore;
  readonly alerts: AlertStore;
  readonly settings: SettingsStore;
  readonly listCaptures: (apps: readonly App[]) => Promise<WalCapture[]>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly hostName: string;
}

export class AlertMonitor {
  readonly #options: AlertMonitorOptions;

  constructor(options: AlertMonitorOptions) {
    this.#options = options;
  }

  /** Opens and closes alerts so that they say what is true now. */
  async evaluate(): Promise<void> {
    const { apps, alerts, jobs, clock } = this.#options;
    const facts = await Promise.all((await apps.list()).map((app) => this.#factsOf(app)));
    const repositoryJobs = (await this.#lastJobs(null)).filter(({ type }) => type !== 'check');
    const check = unresolvedCheck(await jobs.newestOfRepository('check', checksLookedAt));
    if (check) repositoryJobs.push(check);
    await alerts.reconcile(wantedAlerts({ apps: facts, repositoryJobs, now: clock.now() }));
  }

  async #factsOf(app: App): Promise<AppFacts> {
    const { newest } = await this.#options.snapshots.facts(app.id);
    const captures = await this.#options.listCaptures([app]);
    return { app, newestSnapshot: newest, lastJobs: await this.#lastJobs(app.id), captures };
  }

  async #lastJobs(appId: string | null): Promise<Job[]> {
    const found = await Promise.all(jobTypeSchema.options.map((type) => this.#options.jobs.newestEnded(appId, type)));
    return found.filter((job) => job !== undefined);
  }

  /** Sends the e-mails that are due. Does nothing while e-mail is off. */
  async notify(): Promise<void> {
    const { alerts, settings } = this.#options;
    if (!(await alerts.hasDue()) || !(await settings.email()).enabled) return;
    for (const notice of await alerts.takeDue(claimMs)) await this.#send(notice);
  }

  async #send(notice: DueNotice): Promise<void> {
    const { alerts, settings, hostName, logger } = this.#options;
    try {
      const email = await settings.email();
      const letter = letterOf({ ...notice, language: email.language, hostName });
      await sendLetter({ settings: email, password: await settings.emailPassword(), letter });
      await alerts.markSent(notice);
    } catch (error) {
      const isGivenUp = notice.isSolved && notice.attempts + 1 >= maxSolvedAttempts;
      const delayMs = retryDelaysMs[Math.min(notice.attempts, retryDelaysMs.length - 1)] ?? minuteMs;
      logger.warn('an e-mail about an alert could not be sent', { alertId: notice.id, error: messageOf(error) });
      await alerts.markFailed(notice, messageOf(error), isGivenUp ? null : delayMs);
    }
  }
}
