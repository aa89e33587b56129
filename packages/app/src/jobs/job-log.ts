// The log of jobs: lines for people, the newest ones of each job.

import type { Clock } from '@varve/base';
import type { JobLogLine } from '@varve/contract';
import { noteChange } from '../catalogue/changes.ts';
import type { Catalogue, CatalogueQueries } from '../catalogue/catalogue.ts';

/** The log of jobs, bounded per job. */
export class JobLog {
  /** Lines that stay of one job: the newest ones. */
  static readonly maxLines = 2000;
  static readonly maxMessageLength = 2000;
  readonly #catalogue: Catalogue;
  readonly #clock: Clock;

  constructor(options: { readonly catalogue: Catalogue; readonly clock: Clock }) {
    this.#catalogue = options.catalogue;
    this.#clock = options.clock;
  }

  async add(jobId: string, level: JobLogLine['level'], message: string): Promise<void> {
    const time = this.#clock.now().toISOString();
    const text = message.slice(0, JobLog.maxMessageLength);
    await this.#catalogue.write(async (queries) => {
      const { insertId } = await queries
        .insertInto('job_log')
        .values({ job_id: jobId, time, level, message: text })
        .executeTakeFirstOrThrow();
      await noteChange(queries, 'job-log', String(insertId));
      if (Number(insertId) % 100 === 0) await this.#trim(queries, jobId);
    });
  }

  async #trim(queries: CatalogueQueries, jobId: string): Promise<void> {
    const oldest = await queries
      .selectFrom('job_log')
      .select('id')
      .where('job_id', '=', jobId)
      .orderBy('id', 'desc')
      .offset(JobLog.maxLines)
      .limit(1)
      .executeTakeFirst();
    if (oldest) await queries.deleteFrom('job_log').where('job_id', '=', jobId).where('id', '<=', oldest.id).execute();
  }

  /** The newest lines of a job, oldest first. */
  async list(jobId: string): Promise<JobLogLine[]> {
    const rows = await this.#catalogue.queries
      .selectFrom('job_log')
      .select(['time', 'level', 'message'])
      .where('job_id', '=', jobId)
      .orderBy('id', 'desc')
      .limit(JobLog.maxLines)
      .execute();
    return rows.reverse().map(({ time, level, message }) => ({ time, level: level as JobLogLine['level'], message }));
  }

  /** One line by its id; undefined when it was trimmed. */
  async get(lineId: number): Promise<{ readonly jobId: string; readonly line: JobLogLine } | undefined> {
    const row = await this.#catalogue.queries
      .selectFrom('job_log')
      .selectAll()
      .where('id', '=', lineId)
      .executeTakeFirst();
    if (!row) return undefined;
    const line = { time: row.time, level: row.level as JobLogLine['level'], message: row.message };
    return { jobId: row.job_id, line };
  }
}
