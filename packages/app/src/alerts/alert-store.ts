// Alerts: each is open at most once (the database makes sure of it), and stays as history when it is closed.

import type { Clock } from '@varve/base';
import type { Alert } from '@varve/contract';
import { noteChange } from '../catalogue/changes.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { AlertRow } from '../catalogue/schema.ts';
import { newId } from '../jobs/job-id.ts';
import type { AlertFacts, WantedAlert } from './wanted-alert.ts';
import { messageOfAlert } from './alert-texts.ts';

const listed = 500;

function toAlert(row: AlertRow): Alert {
  return {
    id: row.id,
    appId: row.app_id,
    code: row.code as Alert['code'],
    message: row.message,
    openedAt: row.opened_at,
    closedAt: row.closed_at,
    notifiedAt: row.notified_at,
    notifyProblem: row.notify_problem,
  };
}

function keyOf(alert: { readonly code: string; readonly appId: string | null; readonly subject: string }): string {
  return JSON.stringify([alert.code, alert.appId, alert.subject]);
}

/** An alert about which an e-mail is due: that it opened, or that it closed. */
export interface DueNotice {
  readonly id: string;
  readonly code: Alert['code'];
  readonly facts: AlertFacts;
  readonly isSolved: boolean;
  readonly attempts: number;
}

export class AlertStore {
  readonly #catalogue: Catalogue;
  readonly #clock: Clock;

  constructor(options: { readonly catalogue: Catalogue; readonly clock: Clock }) {
    this.#catalogue = options.catalogue;
    this.#clock = options.clock;
  }

  /** Newest first. */
  async list(filter: { readonly open?: boolean | undefined }): Promise<Alert[]> {
    let query = this.#catalogue.queries.selectFrom('alerts').selectAll().orderBy('id', 'desc').limit(listed);
    if (filter.open !== undefined) query = query.where('closed_at', filter.open ? 'is' : 'is not', null);
    return (await query.execute()).map(toAlert);
  }

  /** Makes exactly the wanted alerts open: opens what is missing, closes what is not wanted, leaves the rest. */
  async reconcile(wanted: readonly WantedAlert[]): Promise<void> {
    await this.#catalogue.write(async (queries) => {
      const now = this.#clock.now();
      const time = now.toISOString();
      const open = await queries.selectFrom('alerts').selectAll().where('closed_at', 'is', null).execute();
      const openByKey = new Map(
        open.map((row) => [keyOf({ code: row.code, appId: row.app_id, subject: row.subject }), row]),
      );
      let isChanged = false;
      for (const alert of wanted) {
        const known = openByKey.get(keyOf(alert));
        openByKey.delete(keyOf(alert));
        const texts = { message: messageOfAlert(alert), facts_json: JSON.stringify(alert.facts) };
        if (known?.message === texts.message && known.facts_json === texts.facts_json) continue;
        isChanged = true;
        if (known) {
          await queries.updateTable('alerts').set(texts).where('id', '=', known.id).execute();
          continue;
        }
        await queries
          .insertInto('alerts')
          .values({
            id: newId(now),
            code: alert.code,
            app_id: alert.appId,
            subject: alert.subject,
            ...texts,
            opened_at: time,
            next_notify_at: time,
          })
          .execute();
      }
      for (const row of openByKey.values()) {
        isChanged = true;
        await queries
          .updateTable('alerts')
          // Who was not told that it opened needs not be told that it closed.
          .set({ closed_at: time, next_notify_at: row.notified_at === null ? null : time, notify_attempts: 0 })
          .where('id', '=', row.id)
          .execute();
      }
      if (isChanged) await noteChange(queries, 'alerts', '');
    });
  }

  /**
   * Takes the notices that are due, for this process alone: they come again after `claimMs` unless one of the methods
   * below says how sending went.
   */
  async takeDue(claimMs: number): Promise<DueNotice[]> {
    const now = this.#clock.now();
    return this.#catalogue.write(async (queries) => {
      const rows = await queries
        .updateTable('alerts')
        .set({ next_notify_at: new Date(now.getTime() + claimMs).toISOString() })
        .where('next_notify_at', '<=', now.toISOString())
        .returningAll()
        .execute();
      return rows.map((row) => ({
        id: row.id,
        code: row.code as Alert['code'],
        facts: JSON.parse(row.facts_json) as AlertFacts,
        isSolved: row.closed_at !== null,
        attempts: row.notify_attempts,
      }));
    });
  }

  /** Whether any notice waits, due or not. */
  async hasDue(): Promise<boolean> {
    const row = await this.#catalogue.queries
      .selectFrom('alerts')
      .select('id')
      .where('next_notify_at', '<=', this.#clock.now().toISOString())
      .limit(1)
      .executeTakeFirst();
    return row !== undefined;
  }

  /** The e-mail went out. */
  async markSent(notice: DueNotice): Promise<void> {
    const time = this.#clock.now().toISOString();
    await this.#change(notice, (row) => ({
      ...(notice.isSolved ? { close_notified_at: time } : { notified_at: time }),
      // It closed while the e-mail about its opening was on its way.
      next_notify_at: !notice.isSolved && row.closed_at !== null ? time : null,
      notify_problem: null,
      notify_attempts: 0,
    }));
  }

  /** The e-mail did not go out; `retryInMs` null gives it up. */
  async markFailed(notice: DueNotice, problem: string, retryInMs: number | null): Promise<void> {
    const nowMs = this.#clock.now().getTime();
    await this.#change(notice, (row) => {
      const isOutdated = !notice.isSolved && row.closed_at !== null;
      return {
        notify_problem: problem,
        notify_attempts: notice.attempts + 1,
        next_notify_at: retryInMs === null || isOutdated ? null : new Date(nowMs + retryInMs).toISOString(),
      };
    });
  }

  async #change(notice: DueNotice, valuesFor: (row: AlertRow) => Partial<AlertRow>): Promise<void> {
    await this.#catalogue.write(async (queries) => {
      const row = await queries.selectFrom('alerts').selectAll().where('id', '=', notice.id).executeTakeFirst();
      if (!row) return;
      await queries.updateTable('alerts').set(valuesFor(row)).where('id', '=', row.id).execute();
      await noteChange(queries, 'alerts', '');
    });
  }
}
