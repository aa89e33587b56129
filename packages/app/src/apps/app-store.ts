// The apps that are protected.

import { AppError } from '@varve/base';
import { appSchema, type App } from '@varve/contract';
import { noteChange } from '../catalogue/changes.ts';
import type { Catalogue } from '../catalogue/catalogue.ts';
import { readJson } from '../catalogue/json.ts';
import { isUniqueViolation } from '../catalogue/sqlite-error.ts';
import { activeStates } from '../jobs/job-store.ts';

export class AppStore {
  readonly #catalogue: Catalogue;

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue;
  }

  /** APP_EXISTS when the id is taken. */
  async add(app: App): Promise<void> {
    try {
      await this.#catalogue.write(async (queries) => {
        await queries
          .insertInto('apps')
          .values({
            id: app.id,
            repository_id: app.repositoryId,
            app_json: JSON.stringify(app),
            created_at: app.createdAt,
          })
          .execute();
        await noteChange(queries, 'app', app.id);
      });
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new AppError('APP_EXISTS', `There is an app ${app.id} already.`, {
        hint: 'Give another id, or remove that app first; its snapshots stay.',
        context: { appId: app.id },
      });
    }
  }

  /** Replaces what is known of the app. APP_NOT_FOUND. */
  async update(app: App): Promise<void> {
    const row = await this.#catalogue.write(async (queries) => {
      await noteChange(queries, 'app', app.id);
      return queries
        .updateTable('apps')
        .set({ app_json: JSON.stringify(app) })
        .where('id', '=', app.id)
        .returning('id')
        .executeTakeFirst();
    });
    if (!row) throw appNotFound(app.id);
  }

  /** Removes the app, its schedule and its open alerts. APP_NOT_FOUND, APP_BUSY. */
  async remove(appId: string, now: Date): Promise<void> {
    await this.#catalogue.write(async (queries) => {
      const busy = await queries
        .selectFrom('jobs')
        .select('id')
        .where('app_id', '=', appId)
        .where('state', 'in', activeStates)
        .executeTakeFirst();
      if (busy) {
        throw new AppError('APP_BUSY', `The app ${appId} has a job under way: job ${busy.id}.`, {
          hint: 'Wait until it has ended, or cancel it.',
          context: { appId, jobId: busy.id },
          retry: true,
        });
      }
      const row = await queries.deleteFrom('apps').where('id', '=', appId).returning('id').executeTakeFirst();
      if (!row) throw appNotFound(appId);
      await queries
        .updateTable('alerts')
        .set({ closed_at: now.toISOString(), next_notify_at: null })
        .where('app_id', '=', appId)
        .where('closed_at', 'is', null)
        .execute();
      await noteChange(queries, 'app', appId);
      await noteChange(queries, 'alerts', '');
    });
  }

  async find(appId: string): Promise<App | undefined> {
    const row = await this.#catalogue.queries
      .selectFrom('apps')
      .select('app_json')
      .where('id', '=', appId)
      .executeTakeFirst();
    return row && readJson(appSchema, row.app_json, `app ${appId}`);
  }

  /** APP_NOT_FOUND. */
  async get(appId: string): Promise<App> {
    const app = await this.find(appId);
    if (app) return app;
    throw appNotFound(appId);
  }

  /** By name. */
  async list(): Promise<App[]> {
    const rows = await this.#catalogue.queries.selectFrom('apps').select(['id', 'app_json']).execute();
    return rows
      .map((row) => readJson(appSchema, row.app_json, `app ${row.id}`))
      .sort((a, b) => a.name.localeCompare(b.name, 'en') || a.id.localeCompare(b.id, 'en'));
  }
}

function appNotFound(appId: string): AppError {
  return new AppError('APP_NOT_FOUND', `There is no app ${appId}.`, {
    hint: '`varve app list` shows the apps, `varve app discover` those that can be added.',
    context: { appId },
  });
}
