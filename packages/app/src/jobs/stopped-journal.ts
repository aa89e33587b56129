// What runs have stopped and not started yet, durable before the act (the catalogue is fsynced at each commit), so that
// whoever opens the catalogue next can start it again.

import type { Clock } from '@varve/base';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { StoppedJournal, StoppedRecord, StoppedThing } from '../use-case.ts';
import { activeStates } from './job-store.ts';

/** The journal of one job. */
export function stoppedJournal(options: {
  readonly catalogue: Catalogue;
  readonly clock: Clock;
  readonly jobId: string;
}): StoppedJournal {
  const { catalogue, clock, jobId } = options;
  return {
    record: (things) =>
      catalogue.write(async (queries) => {
        const records: StoppedRecord[] = [];
        for (const thing of things) {
          const { insertId } = await queries
            .insertInto('stopped_things')
            .values({ job_id: jobId, thing_json: JSON.stringify(thing), recorded_at: clock.now().toISOString() })
            .executeTakeFirstOrThrow();
          records.push({ id: String(insertId), thing });
        }
        return records;
      }),
    async clear(id) {
      await catalogue.queries.deleteFrom('stopped_things').where('id', '=', Number(id)).execute();
    },
  };
}

/** Records of jobs that have ended, oldest first: things that should run and may not. */
export async function leftStopped(
  catalogue: Catalogue,
): Promise<{ readonly jobId: string; readonly record: StoppedRecord }[]> {
  const rows = await catalogue.queries
    .selectFrom('stopped_things')
    .innerJoin('jobs', 'jobs.id', 'stopped_things.job_id')
    .select(['stopped_things.id', 'stopped_things.job_id', 'stopped_things.thing_json'])
    .where('jobs.state', 'not in', activeStates)
    .orderBy('stopped_things.id')
    .execute();
  return rows.map((row) => ({
    jobId: row.job_id,
    record: { id: String(row.id), thing: JSON.parse(row.thing_json) as StoppedThing },
  }));
}
