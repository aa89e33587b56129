// The list of what changed, which event streams read. Writers add a line in the transaction that makes the change, so that
// readers in this and in other processes see every change exactly when it is durable.

import type { CatalogueQueries } from './catalogue.ts';

/** How many lines stay; a reader that is further behind has missed some and reads everything again. */
const keptChanges = 5000;

export type ChangeKind = 'job' | 'job-log' | 'app' | 'alerts';

export interface Change {
  readonly id: number;
  readonly kind: ChangeKind;
  /** Id of the job, of the log line, of the app; empty for alerts. */
  readonly key: string;
}

/** Notes a change; call it inside the transaction that makes it. */
export async function noteChange(queries: CatalogueQueries, kind: ChangeKind, key: string): Promise<void> {
  const { insertId } = await queries.insertInto('changes').values({ kind, key }).executeTakeFirstOrThrow();
  const id = Number(insertId ?? 0n);
  if (id % 500 === 0)
    await queries
      .deleteFrom('changes')
      .where('id', '<=', id - keptChanges)
      .execute();
}

/** Number of the newest change; 0 when there is none. */
export async function newestChange(queries: CatalogueQueries): Promise<number> {
  const row = await queries
    .selectFrom('changes')
    .select(({ fn }) => fn.max('id').as('id'))
    .executeTakeFirst();
  return row?.id ?? 0;
}

/** Changes after `after`, oldest first. */
export async function changesAfter(queries: CatalogueQueries, after: number, limit: number): Promise<Change[]> {
  const rows = await queries
    .selectFrom('changes')
    .selectAll()
    .where('id', '>', after)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({ id: row.id, kind: row.kind as ChangeKind, key: row.key }));
}
