// A named restore point: written into the log by the server itself, and flushed, so that a database at rest is not waited for.

import { AppError, isAppError } from '@varve/base';
import type { App, DatabaseComponent, MadeRestorePoint, NewRestorePoint, Timeline } from '@varve/contract';
import { parseLsn, quoteLiteral } from '@varve/postgres';
import { databaseAccess, type DatabaseAccess } from '../components/database/database-access.ts';
import { openDatabase } from '../components/database/database-location.ts';
import { projectOf } from '../components/docker-project.ts';
import type { RunContext } from '../use-case.ts';

/** A record and the page headers within it are far smaller. */
const recordLimitBytes = 16_384n;

/** The database that is meant. SETTINGS_INVALID when there is none that is captured, USAGE_INVALID when there are several. */
export function capturedDatabase(app: App, component: string | undefined): DatabaseComponent {
  const captured = app.components.filter(
    (one): one is DatabaseComponent => one.kind === 'database' && one.wal === true,
  );
  const found = component === undefined ? captured : captured.filter(({ name }) => name === component);
  const [database] = found;
  if (database === undefined) {
    const what = component === undefined ? `No database of ${app.id} has` : `The database "${component}" does not have`;
    throw new AppError('SETTINGS_INVALID', `${what} its write-ahead log captured.`, {
      hint: 'Turn on the capture of its write-ahead log first; a snapshot marks a point as well.',
      context: { appId: app.id },
    });
  }
  if (found.length > 1) {
    throw new AppError('USAGE_INVALID', `${app.id} has several databases that are captured.`, {
      hint: `Say which one: ${captured.map(({ name }) => name).join(', ')}.`,
      context: { appId: app.id },
    });
  }
  return database;
}

/** A recovery to a name stops at the first point that has it. WAL_POINT_EXISTS. */
export function refuseTakenName(timeline: Timeline, { component, name }: { component: string; name: string }): void {
  const taken = timeline.databases
    .find((database) => database.component === component)
    ?.points.find((point) => point.name === name);
  if (taken === undefined) return;
  throw new AppError('WAL_POINT_EXISTS', `There is a restore point "${name}" of ${taken.at} already.`, {
    hint: 'Choose another name: a recovery stops at the first point of a name.',
    context: { component, name, lsn: taken.lsn },
  });
}

/**
 * Creates the point. DATABASE_DENIED when the user may not, DATABASE_QUERY_FAILED on a standby or with wal_level minimal; the
 * errors of reaching the server.
 */
export async function createPoint(
  context: Pick<RunContext, 'docker' | 'secrets' | 'signal'>,
  options: { readonly app: App; readonly component: DatabaseComponent; readonly name: NewRestorePoint['name'] },
): Promise<MadeRestorePoint> {
  const { app, component, name } = options;
  const { secrets, signal } = context;
  const project = await projectOf(context, app);
  const access = await databaseAccess({ component, secrets, project, signal });
  try {
    const answer = JSON.parse(await askServer(access, pointSql(name), signal)) as Omit<
      MadeRestorePoint,
      'component' | 'name'
    >;
    if (component.walArchive !== undefined) await handOver(access, signal);
    return { component: component.name, name, ...answer };
  } catch (error) {
    if (!isAppError(error, 'DATABASE_DENIED')) throw error;
    const user = JSON.stringify(access.target.user);
    throw new AppError('DATABASE_DENIED', `The user ${user} may not create restore points.`, {
      hint: `As a superuser, in the database that Varve connects to: GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO ${user};`,
      context: error.context,
      cause: error,
    });
  }
}

/** Whether the point is in the repository. */
export function isStored(timeline: Timeline, made: MadeRestorePoint): boolean {
  const end = parseLsn(made.lsn);
  const database = timeline.databases.find(({ component }) => component === made.component);
  return (database?.points ?? []).some((point) => {
    const distance = end - parseLsn(point.lsn);
    const isSame = point.name === made.name && point.systemId === made.systemId && point.timeline === made.timeline;
    return isSame && distance >= 0n && distance < recordLimitBytes;
  });
}

/**
 * The record alone would stay in the server's buffers until somebody commits. A transaction with an id of its own ends with a
 * commit that is flushed; `local` does not wait for standbys.
 */
function pointSql(name: string): string {
  return `with made as materialized (
  select pg_create_restore_point(${quoteLiteral(name)}) as lsn, set_config('synchronous_commit', 'local', true), pg_current_xact_id())
select json_build_object(
  'systemId', (select system_identifier::text from pg_control_system()),
  'timeline', ('x' || substr(pg_walfile_name(lsn), 1, 8))::bit(32)::int,
  'lsn', lsn::text,
  'at', to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) from made`;
}

/** Log that comes by archive_command leaves the server by whole segments: this one is ended, where the user may do that. */
async function handOver(access: DatabaseAccess, signal: AbortSignal): Promise<void> {
  try {
    await askServer(access, 'select pg_catalog.pg_switch_wal()', signal);
  } catch (error) {
    if (!isAppError(error, 'DATABASE_DENIED') && !isAppError(error, 'DATABASE_QUERY_FAILED')) throw error;
  }
}

async function askServer(access: DatabaseAccess, sql: string, signal: AbortSignal): Promise<string> {
  await using connection = await openDatabase(access, { signal });
  const [result] = await connection.query(sql, { signal });
  return result?.rows[0]?.[0] ?? '';
}
