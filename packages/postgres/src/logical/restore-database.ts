// Restores one database beside the original and then swaps the two by name in one transaction. Until that transaction the
// original is untouched; whatever fails before it drops only what we made.

import { randomBytes } from 'node:crypto';
import { AppError, isAppError, messageOf, sleep, throwIfAborted, type OnProgress } from '@varve/base';
import { quoteIdentifier, quoteLiteral } from '../sql-quoting.ts';
import { databaseFacts, readDatabases, type DatabaseProperties, type ListedDatabase } from './database-facts.ts';
import { createDatabaseSql, databasePropertyStatements } from './database-statements.ts';
import { psql, psqlScript } from './psql.ts';
import { targetEnvironment, type DatabaseTarget } from './target.ts';
import { assertToolPresent, lastLines, runToEnd, type ToolRequest, type ToolRunner } from './tool-runner.ts';

export interface RestoreDatabaseOptions {
  /** Name that the database shall have. */
  readonly database: string;
  /** What {@link dumpDatabase} yielded. */
  readonly dump: AsyncIterable<Uint8Array>;
  /**
   * Properties of the original, from the manifest. Without them: those of the database that is there now, else those of a
   * new one (owner: the connecting user).
   */
  readonly properties?: DatabaseProperties | undefined;
  /** Owner in place of the original's. */
  readonly owner?: string | undefined;
  /** Gather the planner's statistics before the swap. Default true. */
  readonly analyze?: boolean | undefined;
  /** Keep the replaced database under another name instead of dropping it. Default false. */
  readonly keepReplaced?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Bytes of the dump taken by pg_restore. */
  readonly onProgress?: OnProgress | undefined;
}

export interface RestoredDatabase {
  /** Whether a database of that name was there before. */
  readonly replaced: boolean;
  /** Name under which the replaced one still exists: as asked for, or because it could not be dropped (`leftoverReason`). */
  readonly replacedName: string | undefined;
  readonly leftoverReason: string | undefined;
}

const temporaryPrefix = 'varve_restore_';
const replacedPrefix = 'varve_replaced_';
const swapAttempts = 6;
/** Longer than the pause between two programs of a restore. */
const leftoverGraceMs = 3000;
const objectInUseState = '55006';

/**
 * Restores a dump under the name `database`; open sessions of the original are ended at the swap. Throws
 * DATABASE_RESTORE_FAILED when the dump, the server or the swap fails (the original is then as before),
 * RESTORE_TARGET_INVALID for template databases and owners that do not exist, CANCELLED after an abort, or what psql throws.
 */
export async function restoreDatabase(
  runner: ToolRunner,
  target: DatabaseTarget,
  options: RestoreDatabaseOptions,
): Promise<RestoredDatabase> {
  const { database, signal } = options;
  if (database === 'template0' || database === 'template1') {
    throw new AppError(
      'RESTORE_TARGET_INVALID',
      `The database “${database}” is a template of the server and is not replaced.`,
      {
        hint: 'Restore under another name.',
      },
    );
  }
  // A session cannot rename the database that it is in.
  const control: DatabaseTarget = {
    ...target,
    database: database === 'postgres' ? 'template1' : await controlDatabase(runner, target, signal),
  };
  const facts = await databaseFacts(runner, control, { signal });
  const databases = await readDatabases(runner, control, { signal });
  const exists = databases.some(({ name }) => name === database);
  const properties = propertiesOf(options, databases, target.user);
  await checkRoles(runner, control, properties, signal);
  const suffix = randomBytes(6).toString('hex');
  const temporary = temporaryPrefix + suffix;
  // The name of our sessions tells others that this copy is being worked on, see dropRestoreLeftovers.
  const job = { runner, control: { ...control, applicationName: temporary }, options, properties };
  try {
    await psql(runner, job.control, [createDatabaseSql(temporary, properties, facts)], { signal });
    await fill(job, temporary);
    const statements = databasePropertyStatements(temporary, properties);
    await psqlScript(runner, job.control, statements.map((sql) => `${sql};\n`).join(''), { signal });
    throwIfAborted(signal);
    const replacedName = exists ? replacedPrefix + suffix : undefined;
    await swap(job, { temporary, replacedName });
    return await dropReplaced(job, replacedName);
  } catch (error) {
    await dropQuietly(runner, control, temporary);
    throw restoreError(error, database);
  }
}

interface RestoreJob {
  readonly runner: ToolRunner;
  readonly control: DatabaseTarget;
  readonly options: RestoreDatabaseOptions;
  readonly properties: DatabaseProperties;
}

/** `postgres` where it is there, else `template1`, which always is. */
async function controlDatabase(
  runner: ToolRunner,
  target: DatabaseTarget,
  signal: AbortSignal | undefined,
): Promise<string> {
  try {
    await psql(runner, target, ['select 1'], { database: 'postgres', signal });
    return 'postgres';
  } catch (error) {
    if (isAppError(error, 'DATABASE_QUERY_FAILED')) return 'template1';
    throw error;
  }
}

/** Without a manifest: what the database that is there has, else what the server gives to new databases. */
function propertiesOf(
  options: RestoreDatabaseOptions,
  databases: readonly Pick<ListedDatabase, 'name' | 'properties'>[],
  user: string,
): DatabaseProperties {
  const find = (name: string): DatabaseProperties | undefined =>
    databases.find((entry) => entry.name === name)?.properties;
  const fresh = find('template1');
  const properties =
    options.properties ??
    find(options.database) ??
    (fresh && { ...fresh, owner: user, comment: null, grants: null, settings: [], connectionLimit: -1 });
  if (!properties)
    throw new AppError('DATABASE_RESTORE_FAILED', 'The server has no database “template1” to take properties from.');
  return options.owner === undefined ? properties : { ...properties, owner: options.owner };
}

async function checkRoles(
  runner: ToolRunner,
  control: DatabaseTarget,
  properties: DatabaseProperties,
  signal: AbortSignal | undefined,
): Promise<void> {
  const grantees = (properties.grants ?? []).map((grant) => grant.grantee);
  const roles = [properties.owner, ...grantees, ...properties.settings.map((setting) => setting.role)];
  const wanted = [...new Set(roles.filter((role) => role !== null))];
  const values = wanted.map((role) => `(${quoteLiteral(role)})`).join(', ');
  const sql = `select coalesce(json_agg(r), '[]') from (values ${values}) v(r) where r not in (select rolname from pg_roles)`;
  const missing: unknown = JSON.parse(await psql(runner, control, [sql], { signal }));
  if (!Array.isArray(missing) || missing.length === 0) return;
  const names = missing.map((name) => `“${String(name)}”`).join(', ');
  throw new AppError('RESTORE_TARGET_INVALID', `The server has no role ${names}, which the database needs.`, {
    hint: 'Restore the roles first, or name another owner.',
    context: { missing },
  });
}

/** Restores the dump into the new database, and analyzes it. */
async function fill(job: RestoreJob, temporary: string): Promise<void> {
  const { runner, control, options } = job;
  const escaped = temporary.replaceAll(/['\\]/g, String.raw`\$&`);
  const request: ToolRequest = {
    command: ['pg_restore', '--exit-on-error', '--no-password', '--dbname', `dbname='${escaped}'`],
    // A crash before the swap only loses the copy, and the swap's own commit makes all that came before it durable.
    env: targetEnvironment(control, { database: temporary, settings: { synchronous_commit: 'off' } }),
    stdin: counted(options),
    signal: options.signal,
  };
  const exit = await runToEnd(runner, request);
  assertToolPresent(exit, request.command);
  if (exit.exitCode !== 0) {
    const text = lastLines(exit.stderr, request);
    throw new AppError('DATABASE_RESTORE_FAILED', `pg_restore ended with exit code ${exit.exitCode}: ${text}`, {
      context: { exitCode: exit.exitCode, stderr: text },
      hint: restoreHint(text),
    });
  }
  throwIfAborted(options.signal);
  if (options.analyze !== false)
    await psql(runner, control, ['ANALYZE'], { database: temporary, signal: options.signal });
}

function restoreHint(stderr: string): string {
  if (/extension ".*" is not available|could not open extension control file/.test(stderr)) {
    return 'The server lacks an extension of the database: restore with the image that the database had.';
  }
  if (/unsupported version .* in file header/.test(stderr))
    return 'The dump was made by a newer pg_dump: use newer programs.';
  if (/role ".*" does not exist/.test(stderr)) return 'Restore the roles first.';
  return 'See the lines of pg_restore above. The original database was not touched.';
}

async function* counted(options: RestoreDatabaseOptions): AsyncGenerator<Uint8Array> {
  let bytesDone = 0;
  for await (const chunk of options.dump) {
    throwIfAborted(options.signal);
    yield chunk;
    bytesDone += chunk.length;
    options.onProgress?.({ filesDone: 0, bytesDone, current: options.database });
  }
}

/**
 * Ends the sessions of the original and renames both databases, in one transaction. Sessions that come back in between
 * make the rename fail; then it is tried again.
 */
async function swap(
  job: RestoreJob,
  names: { readonly temporary: string; readonly replacedName: string | undefined },
): Promise<void> {
  const { runner, control, options } = job;
  const { database } = options;
  const end = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ${quoteLiteral(database)}`;
  const renameNew = `ALTER DATABASE ${quoteIdentifier(names.temporary)} RENAME TO ${quoteIdentifier(database)}`;
  const renameOld =
    names.replacedName === undefined
      ? ''
      : `${end}; ALTER DATABASE ${quoteIdentifier(database)} RENAME TO ${quoteIdentifier(names.replacedName)}; `;
  for (let attempt = 1; ; attempt++) {
    try {
      // One argument of psql is one transaction. An abort waits for it: half-way there is nothing to go back to.
      await psql(runner, control, [renameOld + renameNew]);
      return;
    } catch (error) {
      const isBusy = isAppError(error) && error.context['sqlState'] === objectInUseState;
      if (!isBusy || attempt === swapAttempts) throw error;
      await sleep(100 * attempt);
    }
  }
}

/** After the swap nothing fails any more: what cannot be dropped is reported. */
async function dropReplaced(job: RestoreJob, replacedName: string | undefined): Promise<RestoredDatabase> {
  const replaced = replacedName !== undefined;
  if (!replaced || job.options.keepReplaced === true) return { replaced, replacedName, leftoverReason: undefined };
  try {
    await psql(job.runner, job.control, [`DROP DATABASE ${quoteIdentifier(replacedName)} WITH (FORCE)`]);
    return { replaced, replacedName: undefined, leftoverReason: undefined };
  } catch (error) {
    return { replaced, replacedName, leftoverReason: messageOf(error) };
  }
}

/** Drops what a failed restore made; the failure that led here is the one that counts. */
async function dropQuietly(runner: ToolRunner, control: DatabaseTarget, temporary: string): Promise<void> {
  try {
    await psql(runner, control, [`DROP DATABASE IF EXISTS ${quoteIdentifier(temporary)} WITH (FORCE)`]);
  } catch {
    // The server may be gone; dropRestoreLeftovers finds the copy by its name.
  }
}

function restoreError(error: unknown, database: string): unknown {
  if (!isAppError(error)) return error;
  const isOwn =
    error.code === 'DATABASE_QUERY_FAILED' ||
    error.code === 'DATABASE_DENIED' ||
    error.code === 'DATABASE_RESTORE_FAILED';
  if (!isOwn) return error;
  return new AppError('DATABASE_RESTORE_FAILED', `The database “${database}” was not restored: ${error.message}`, {
    hint: error.hint ?? 'The original database was not touched.',
    context: { ...error.context, database },
    cause: error,
  });
}

/**
 * Drops the half-made copies that restores left behind when this program was killed. Copies that a session is in or is
 * named after stay, because another restore is at work on them; as its programs start one after the other, a copy must be
 * found alone twice. Databases that were kept on purpose are not touched. Yields the names dropped.
 */
export async function dropRestoreLeftovers(
  runner: ToolRunner,
  target: DatabaseTarget,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<string[]> {
  const sql = `select coalesce(json_agg(datname), '[]') from pg_database d where datname ~ '^${temporaryPrefix}[0-9a-f]{12}$'
    and not exists (select from pg_stat_activity a where a.datid = d.oid or a.application_name = d.datname)`;
  const findIdle = async (): Promise<string[]> => {
    const found: unknown = JSON.parse(await psql(runner, target, [sql], options));
    return Array.isArray(found) ? found.map(String) : [];
  };
  const first = await findIdle();
  if (first.length === 0) return [];
  await sleep(leftoverGraceMs, options);
  const names = (await findIdle()).filter((name) => first.includes(name));
  for (const name of names) await psql(runner, target, [`DROP DATABASE IF EXISTS ${quoteIdentifier(name)}`], options);
  return names;
}
