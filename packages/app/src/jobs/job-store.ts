// The rows of jobs: queued → running → succeeded | partial | failed | cancelled. The database itself refuses a second
// unfinished job of an app. Only the process named as owner moves a job on, unless that process has ended.

import { AppError, type Clock } from '@varve/base';
import { jobSchema, type Job, type JobProgress, type JobResult, type JobState, type JobType } from '@varve/contract';
import { noteChange } from '../catalogue/changes.ts';
import type { Catalogue, CatalogueQueries, CatalogueTransaction } from '../catalogue/catalogue.ts';
import { readJson } from '../catalogue/json.ts';
import type { JobRow } from '../catalogue/schema.ts';
import { isUniqueViolation } from '../catalogue/sqlite-error.ts';
import type { Problem } from '../use-case.ts';
import { newId } from './job-id.ts';
import { parseOwner, type ProcessOwner } from './process-owner.ts';

/** How long an owner counts as alive after its last heartbeat, where its process cannot be looked at. */
export const leaseMs = 30_000;
/** Problems that are kept with a job; the log says how many there were. */
const maxProblems = 1000;

export const activeStates: readonly JobState[] = ['queued', 'running'];

export interface NewJob {
  readonly type: JobType;
  readonly appId: string | null;
  readonly requestedBy: string;
}

/** How a job ended. */
export interface JobEnd {
  readonly state: Exclude<JobState, 'queued' | 'running'>;
  readonly snapshotId: string | null;
  readonly error: Job['error'];
  readonly problems: readonly Problem[];
  /** What it found or did, as far as it got. */
  readonly result?: JobResult | undefined;
}

export interface ActiveJob {
  readonly job: Job;
  readonly owner: ProcessOwner;
  readonly leaseUntilMs: number;
}

function toJob(row: JobRow): Job {
  const place = `job ${row.id}`;
  return {
    id: row.id,
    type: row.type as JobType,
    appId: row.app_id,
    requestedBy: row.requested_by,
    state: row.state as JobState,
    createdAt: row.created_at,
    startedAt: row.started_at,
    finishedAt: row.finished_at,
    progress: row.progress_json === null ? null : readJson(jobSchema.shape.progress, row.progress_json, place),
    snapshotId: row.snapshot_id,
    error: row.error_json === null ? null : readJson(jobSchema.shape.error, row.error_json, place),
    problems: readJson(jobSchema.shape.problems, row.problems_json, place),
    result: row.result_json === null ? null : readJson(jobSchema.shape.result, row.result_json, place),
  };
}

/** Everything that reads and writes jobs. */
export class JobStore {
  readonly #catalogue: Catalogue;
  readonly #clock: Clock;

  constructor(options: { readonly catalogue: Catalogue; readonly clock: Clock }) {
    this.#catalogue = options.catalogue;
    this.#clock = options.clock;
  }

  #now(): string {
    return this.#clock.now().toISOString();
  }

  /** Adds a queued job that `owner` will run; undefined when another unfinished job is in the way. */
  async add(input: NewJob, owner: ProcessOwner): Promise<Job | undefined> {
    const now = this.#clock.now();
    const id = newId(now);
    try {
      await this.#catalogue.write(async (queries) => {
        await queries
          .insertInto('jobs')
          .values({
            id,
            type: input.type,
            app_id: input.appId,
            requested_by: input.requestedBy,
            state: 'queued',
            created_at: now.toISOString(),
            owner_json: JSON.stringify(owner),
            lease_until_ms: now.getTime() + leaseMs,
          })
          .execute();
        await this.#noteJob(queries, id, input.appId);
      });
    } catch (error) {
      if (isUniqueViolation(error)) return undefined;
      throw error;
    }
    return this.get(id);
  }

  async #noteJob(queries: CatalogueQueries, id: string, appId: string | null): Promise<void> {
    await noteChange(queries, 'job', id);
    if (appId !== null) await noteChange(queries, 'app', appId);
  }

  async find(id: string): Promise<Job | undefined> {
    const row = await this.#catalogue.queries.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirst();
    return row && toJob(row);
  }

  /** JOB_NOT_FOUND. */
  async get(id: string): Promise<Job> {
    const job = await this.find(id);
    if (job) return job;
    throw new AppError('JOB_NOT_FOUND', `There is no job ${id}.`, {
      hint: '`varve jobs` lists them.',
      context: { id },
    });
  }

  /** Newest first. */
  async list(filter: { appId?: string | undefined; limit: number; before?: string | undefined }): Promise<Job[]> {
    let query = this.#catalogue.queries.selectFrom('jobs').selectAll().orderBy('number', 'desc').limit(filter.limit);
    if (filter.appId !== undefined) query = query.where('app_id', '=', filter.appId);
    const { before } = filter;
    if (before !== undefined) {
      query = query.where('number', '<', (where) => where.selectFrom('jobs').select('number').where('id', '=', before));
    }
    return (await query.execute()).map(toJob);
  }

  /** Unfinished jobs of all processes. */
  async active(): Promise<ActiveJob[]> {
    const rows = await this.#catalogue.queries
      .selectFrom('jobs')
      .selectAll()
      .where('state', 'in', activeStates)
      .execute();
    return rows.map((row) => ({
      job: toJob(row),
      owner: parseOwner(row.owner_json),
      leaseUntilMs: row.lease_until_ms,
    }));
  }

  /** Id of the unfinished job of an app; null when there is none. */
  async activeOf(appId: string): Promise<string | null> {
    const row = await this.#catalogue.queries
      .selectFrom('jobs')
      .select('id')
      .where('app_id', '=', appId)
      .where('state', 'in', activeStates)
      .executeTakeFirst();
    return row?.id ?? null;
  }

  /** The newest ended job of a type for an app, cancelled ones left out; undefined when there is none. */
  async newestEnded(appId: string | null, type: JobType): Promise<Job | undefined> {
    const row = await this.#catalogue.queries
      .selectFrom('jobs')
      .selectAll()
      .where('app_id', appId === null ? 'is' : '=', appId)
      .where('type', '=', type)
      .where('state', 'in', ['succeeded', 'partial', 'failed'])
      .orderBy('number', 'desc')
      .limit(1)
      .executeTakeFirst();
    return row && toJob(row);
  }

  /** The newest jobs of a type that concern no app, in any state, the newest first. */
  async newestOfRepository(type: JobType, limit: number): Promise<Job[]> {
    const rows = await this.#catalogue.queries
      .selectFrom('jobs')
      .selectAll()
      .where('app_id', 'is', null)
      .where('type', '=', type)
      .orderBy('number', 'desc')
      .limit(limit)
      .execute();
    return rows.map(toJob);
  }

  /** Marks a queued job as running; false when it is no longer queued. */
  async markRunning(id: string): Promise<boolean> {
    return this.#catalogue.write(async (queries) => {
      const row = await queries
        .updateTable('jobs')
        .set({ state: 'running', started_at: this.#now() })
        .where('id', '=', id)
        .where('state', '=', 'queued')
        .returning('app_id')
        .executeTakeFirst();
      if (row) await this.#noteJob(queries, id, row.app_id);
      return row !== undefined;
    });
  }

  async setProgress(id: string, progress: JobProgress): Promise<void> {
    await this.#catalogue.write(async (queries) => {
      await queries
        .updateTable('jobs')
        .set({ progress_json: JSON.stringify(progress) })
        .where('id', '=', id)
        .where('state', '=', 'running')
        .execute();
      await noteChange(queries, 'job', id);
    });
  }

  /** Ends a job; false when it had ended already. */
  async end(id: string, end: JobEnd): Promise<boolean> {
    return this.#catalogue.write((queries) => this.endWithin(queries, id, end));
  }

  /** As {@link end}, inside a transaction of the caller. */
  async endWithin(queries: CatalogueTransaction, id: string, end: JobEnd): Promise<boolean> {
    const row = await queries
      .updateTable('jobs')
      .set({
        state: end.state,
        finished_at: this.#now(),
        snapshot_id: end.snapshotId,
        error_json: end.error === null ? null : JSON.stringify(end.error),
        problems_json: JSON.stringify(end.problems.slice(0, maxProblems)),
        result_json: end.result === undefined ? null : JSON.stringify(end.result),
      })
      .where('id', '=', id)
      .where('state', 'in', activeStates)
      .returning('app_id')
      .executeTakeFirst();
    if (row) await this.#noteJob(queries, id, row.app_id);
    return row !== undefined;
  }

  /** Renews the leases of this owner's jobs; yields which of them are still its own, and whether they shall stop. */
  async heartbeat(ids: readonly string[]): Promise<{ readonly id: string; readonly cancelRequested: boolean }[]> {
    const rows = await this.#catalogue.queries
      .updateTable('jobs')
      .set({ lease_until_ms: this.#clock.now().getTime() + leaseMs })
      .where('id', 'in', ids)
      .where('state', 'in', activeStates)
      .returning(['id', 'cancel_requested'])
      .execute();
    return rows.map((row) => ({ id: row.id, cancelRequested: row.cancel_requested !== 0 }));
  }

  /** Asks a job to stop; nothing happens to one that ended. */
  async requestCancel(id: string): Promise<void> {
    await this.#catalogue.queries
      .updateTable('jobs')
      .set({ cancel_requested: 1 })
      .where('id', '=', id)
      .where('state', 'in', activeStates)
      .execute();
  }

  /** Removes jobs that ended before `before`, except those whose stopped things do not run again yet. */
  async removeEndedBefore(before: Date): Promise<void> {
    await this.#catalogue.queries
      .deleteFrom('jobs')
      .where('finished_at', '<', before.toISOString())
      .where((where) => {
        const left = where.selectFrom('stopped_things').select('stopped_things.id').whereRef('job_id', '=', 'jobs.id');
        return where.not(where.exists(left));
      })
      .execute();
  }
}
