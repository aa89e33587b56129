// Brings roles, memberships and tablespaces back into a running cluster. Roles are all or nothing; existing ones are kept
// and altered to what they were.

import { AppError, isAppError } from '@varve/base';
import { readGlobals, type GlobalStatement } from './globals-script.ts';
import { psql, psqlScript } from './psql.ts';
import type { DatabaseTarget } from './target.ts';
import type { ToolRunner } from './tool-runner.ts';

export interface RestoreGlobalsOptions {
  /** What {@link dumpGlobals} yielded. */
  readonly dump: AsyncIterable<Uint8Array>;
  /**
   * Roles whose password on the cluster stays. Default: the target's own user when the target has a password, because the
   * steps that follow log in with it.
   */
  readonly keepPasswordOf?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RestoredGlobals {
  /** Tablespaces that were there already; they were not touched. */
  readonly keptTablespaces: readonly string[];
}

/** A dump of roles is text of some kilobytes; more than this is something else. */
const mostDumpBytes = 64 << 20;

/**
 * Applies a dump of globals: the roles in one transaction, then the tablespaces, whose folders must exist. Throws
 * DATABASE_RESTORE_FAILED with the server's words, or what psql throws when there is no connection.
 */
export async function restoreGlobals(
  runner: ToolRunner,
  target: DatabaseTarget,
  options: RestoreGlobalsOptions,
): Promise<RestoredGlobals> {
  const keepPasswordOf = options.keepPasswordOf ?? (target.password === undefined ? [] : [target.user]);
  const script = readGlobals(await readText(options.dump), { keepPasswordOf });
  try {
    const roles = await namesOf(runner, target, 'select rolname from pg_roles', options.signal);
    const tablespaces = await namesOf(runner, target, 'select spcname from pg_tablespace', options.signal);
    const statements = script.roleStatements.filter(({ creates }) => creates === undefined || !roles.has(creates));
    const sql = statements.map((statement) => `${statement.sql};\n`).join('');
    await psqlScript(runner, target, sql, { signal: options.signal });
    return await restoreTablespaces(
      { runner, target, present: tablespaces, signal: options.signal },
      script.tablespaceStatements,
    );
  } catch (error) {
    if (!isAppError(error, 'DATABASE_QUERY_FAILED') && !isAppError(error, 'DATABASE_DENIED')) throw error;
    throw new AppError('DATABASE_RESTORE_FAILED', `The roles could not be restored: ${error.message}`, {
      hint: 'Restore with a superuser of the cluster. What the server refused is named above.',
      context: error.context,
      cause: error,
    });
  }
}

async function restoreTablespaces(
  context: {
    readonly runner: ToolRunner;
    readonly target: DatabaseTarget;
    readonly present: ReadonlySet<string>;
    readonly signal: AbortSignal | undefined;
  },
  statements: readonly GlobalStatement[],
): Promise<RestoredGlobals> {
  const { runner, target, present, signal } = context;
  const keptTablespaces: string[] = [];
  for (const { creates, sql } of statements) {
    if (creates !== undefined && present.has(creates)) keptTablespaces.push(creates);
    else await psql(runner, target, [sql], { signal });
  }
  return { keptTablespaces };
}

async function namesOf(
  runner: ToolRunner,
  target: DatabaseTarget,
  sql: string,
  signal: AbortSignal | undefined,
): Promise<Set<string>> {
  const json = await psql(runner, target, [`select coalesce(json_agg(n), '[]') from (${sql}) v(n)`], { signal });
  const names: unknown = JSON.parse(json);
  return new Set(Array.isArray(names) ? names.map(String) : []);
}

async function readText(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > mostDumpBytes)
      throw new AppError('DATABASE_RESTORE_FAILED', 'The dump of roles is too large to be one.');
  }
  return Buffer.concat(chunks).toString('utf8');
}
