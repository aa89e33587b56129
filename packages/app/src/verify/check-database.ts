// Looks at a recovered database through SQL: every index and table by amcheck, where the server has it, and the user's own
// questions. Manual: "amcheck". Each check yields what it found; only a cancellation ends all of them.

import { isAppError, messageOf } from '@varve/base';
import type { VerifyCheck, VerifyRequest } from '@varve/contract';
import { quoteIdentifier, type PgConnection } from '@varve/postgres';

export type OpenDatabase = (database: string) => Promise<PgConnection>;

type Found = Pick<VerifyCheck, 'state' | 'message'>;

/** Databases that take connections. */
export async function databasesOf(open: OpenDatabase): Promise<string[]> {
  await using connection = await open('postgres');
  const [result] = await connection.query('select datname from pg_database where datallowconn order by 1');
  return (result?.rows ?? []).flatMap(([name]) => (name === null || name === undefined ? [] : [name]));
}

/**
 * Every valid B-tree index of a database, with the rows of its table looked up in it, and from PostgreSQL 14 on every table.
 * The extension is made in the sandbox when the database has not got it.
 */
export async function checkIndexes(open: OpenDatabase, database: string, signal: AbortSignal): Promise<Found> {
  await using connection = await open(database);
  const [available] = await connection.query("select 1 from pg_available_extensions where name = 'amcheck'", {
    signal,
  });
  if ((available?.rows.length ?? 0) === 0) return { state: 'skipped', message: 'the server has no amcheck' };
  await connection.query('create extension if not exists amcheck', { signal });
  const [place] = await connection.query(
    "select nspname from pg_extension join pg_namespace n on n.oid = extnamespace where extname = 'amcheck'",
    { signal },
  );
  const schema = quoteIdentifier(place?.rows[0]?.[0] ?? 'public');
  const faults: string[] = [];
  const indexes = await relations(connection, indexQuery, signal);
  for (const [oid, name] of indexes) {
    const fault = await faultOf(connection, `select ${schema}.bt_index_check(${oid}::oid::regclass, true)`, signal);
    if (fault !== undefined) faults.push(`${name}: ${fault}`);
  }
  const [heapCheck] = await connection.query("select 1 from pg_proc where proname = 'verify_heapam'", { signal });
  const tables = (heapCheck?.rows.length ?? 0) > 0 ? await relations(connection, tableQuery, signal) : [];
  for (const [oid, name] of tables) {
    const statement = `select blkno, msg from ${schema}.verify_heapam(${oid}::oid::regclass) limit 1`;
    const fault = await faultOf(connection, statement, signal);
    if (fault !== undefined) faults.push(`${name}: ${fault}`);
  }
  if (faults.length > 0) return { state: 'failed', message: faults.slice(0, 10).join('; ') };
  const heap = tables.length === 0 ? '' : ` and ${tables.length} tables`;
  return { state: 'passed', message: `${indexes.length} indexes${heap} are right` };
}

const indexQuery = `select c.oid, c.oid::regclass::text from pg_index i join pg_class c on c.oid = i.indexrelid
  join pg_am am on am.oid = c.relam
  where am.amname = 'btree' and c.relpersistence = 'p' and c.relkind = 'i' and i.indisready and i.indisvalid order by 1`;
const tableQuery = `select c.oid, c.oid::regclass::text from pg_class c left join pg_am am on am.oid = c.relam
  where c.relkind in ('r', 'm', 't') and c.relpersistence = 'p' and coalesce(am.amname, 'heap') = 'heap' order by 1`;

async function relations(connection: PgConnection, query: string, signal: AbortSignal): Promise<[string, string][]> {
  const [result] = await connection.query(query, { signal });
  return (result?.rows ?? []).map(([oid, name]) => [oid ?? '', name ?? '']);
}

/** Undefined when it is right: no error, and no row that tells of a fault. */
async function faultOf(connection: PgConnection, statement: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const [result] = await connection.query(statement, { signal });
    const [first] = result?.rows ?? [];
    return first === undefined || first.length === 1 ? undefined : `block ${first[0]}: ${first[1]}`;
  } catch (error) {
    if (!isAppError(error, 'DATABASE_QUERY_FAILED')) throw error;
    return error.message;
  }
}

/** Where a question is asked that names no database: the only one of the user's, else `postgres`. */
export function checkDatabaseName(databases: readonly string[]): string {
  const own = databases.filter((name) => name !== 'postgres' && name !== 'template1');
  return own.length === 1 ? (own[0] ?? 'postgres') : 'postgres';
}

/** Passes when the last statement yields no row, or one row whose one column is true. */
export async function checkQuery(
  open: OpenDatabase,
  { database, sql }: VerifyRequest['queries'][number] & { readonly database: string },
  signal: AbortSignal,
): Promise<Found> {
  await using connection = await open(database);
  try {
    const rows = (await connection.query(sql, { signal })).at(-1)?.rows ?? [];
    if (rows.length === 0) return { state: 'passed', message: 'it yields no row' };
    const [first] = rows;
    if (rows.length === 1 && first?.length === 1 && first[0] === 't') return { state: 'passed', message: 'it is true' };
    const shown = (first ?? []).map((value) => value ?? 'null').join(', ');
    return {
      state: 'failed',
      message: `it yields ${rows.length === 1 ? '' : `${rows.length} rows, the first: `}${shown.slice(0, 300)}`,
    };
  } catch (error) {
    if (!isAppError(error) || error.code === 'CANCELLED') throw error;
    return { state: 'failed', message: messageOf(error) };
  }
}
