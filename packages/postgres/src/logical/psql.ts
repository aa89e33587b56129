// SQL through psql: for what has to be asked or done where only a tool runner reaches.

import { AppError, type ErrorCode } from '@varve/base';
import { targetEnvironment, type DatabaseTarget } from './target.ts';
import {
  assertToolPresent,
  lastLines,
  runToEnd,
  type ToolExit,
  type ToolRequest,
  type ToolRunner,
} from './tool-runner.ts';

export interface PsqlOptions {
  /** Default: the target's database. */
  readonly database?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs SQL scripts one after the other in one session; each script with several statements is one transaction. Stops at
 * the first error. Yields what psql prints, unaligned and without headers. Throws DATABASE_QUERY_FAILED with
 * `context.sqlState`, DATABASE_DENIED, DATABASE_UNREACHABLE, DATABASE_AUTH_FAILED, DATABASE_TOOL_MISSING or CANCELLED.
 */
export async function psql(
  runner: ToolRunner,
  target: DatabaseTarget,
  scripts: readonly string[],
  options: PsqlOptions = {},
): Promise<string> {
  const base = ['psql', '-XAtq', '--no-password', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose'];
  const command = [...base, ...scripts.flatMap((script) => ['-c', script])];
  const env = targetEnvironment(target, { database: options.database });
  return runPsql(runner, target, { command, env, signal: options.signal }, options.database);
}

/**
 * Feeds one SQL script by standard input, in one transaction. For long scripts, and for those with password hashes or
 * settings of the app, which must not be arguments. The script must not hold psql's backslash commands. Throws as {@link psql}.
 */
export async function psqlScript(
  runner: ToolRunner,
  target: DatabaseTarget,
  script: string,
  options: PsqlOptions = {},
): Promise<void> {
  const base = ['psql', '-XAtq', '--no-password', '-v', 'ON_ERROR_STOP=1', '-v', 'VERBOSITY=verbose'];
  const command = [...base, '--single-transaction', '-f', '-'];
  const stdin = async function* (): AsyncGenerator<Uint8Array> {
    yield Buffer.from(script, 'utf8');
  };
  const env = targetEnvironment(target, { database: options.database });
  await runPsql(runner, target, { command, env, stdin: stdin(), signal: options.signal }, options.database);
}

async function runPsql(
  runner: ToolRunner,
  target: DatabaseTarget,
  request: ToolRequest,
  database: string | undefined,
): Promise<string> {
  const { stdout, ...exit } = await runToEnd(runner, request);
  if (exit.exitCode === 0) return stdout;
  assertToolPresent(exit, request.command);
  throw psqlError(exit, { target, database: database ?? target.database, request });
}

const connectionFailedExitCode = 2;
/** With VERBOSITY=verbose: `ERROR:  42P01: relation …`. The word is translated, the code is not. */
const reportLine = /^(?:psql:[^\n]*?: )?\p{L}+: {2}([0-9A-Z]{5}): (.*)$/mu;

function psqlError(
  exit: ToolExit,
  about: { readonly target: DatabaseTarget; readonly database: string; readonly request: ToolRequest },
): AppError {
  const { target, database, request } = about;
  // A syntax error quotes the statement, which may hold a password hash.
  const text = lastLines(exit.stderr.replaceAll(/^LINE \d+:.*\n(?: *\^.*\n?)?/gm, ''), request);
  const place = target.host === undefined ? 'the local server' : `${target.host}:${target.port ?? 5432}`;
  const report = reportLine.exec(exit.stderr);
  const context = { place, user: target.user, database, exitCode: exit.exitCode, stderr: text };
  if (exit.exitCode === connectionFailedExitCode && !report) {
    const code = connectionErrorCode(exit.stderr);
    const verdict = code === 'DATABASE_AUTH_FAILED' ? 'refuses' : 'cannot be reached by';
    const message = `PostgreSQL at ${place} ${verdict} user “${target.user}” for database “${database}”: ${withoutPreamble(text)}`;
    const retry = code === 'DATABASE_UNREACHABLE';
    return new AppError(code, message, { context, retry, hint: connectionHints[code] });
  }
  const sqlState = report?.[1];
  const code: ErrorCode = sqlState === '42501' ? 'DATABASE_DENIED' : 'DATABASE_QUERY_FAILED';
  const message = `PostgreSQL at ${place}, database “${database}”: ${report?.[2] ?? text} (SQLSTATE ${sqlState ?? 'unknown'}).`;
  return new AppError(code, message, { context: { ...context, ...(sqlState === undefined ? {} : { sqlState }) } });
}

/** What libpq says, without the program, address and severity that it puts before. */
function withoutPreamble(text: string): string {
  return text.replaceAll(/^(?:psql: error: )?connection to server (?:at|on socket) .*? failed: (?:FATAL: +)?/gm, '');
}

type ConnectionErrorCode = 'DATABASE_AUTH_FAILED' | 'DATABASE_UNREACHABLE' | 'DATABASE_QUERY_FAILED';

const connectionHints: Readonly<Record<ConnectionErrorCode, string>> = {
  DATABASE_AUTH_FAILED: 'Check user and password of the database, and its pg_hba.conf.',
  DATABASE_UNREACHABLE: 'Check that the database server runs, and host and port.',
  DATABASE_QUERY_FAILED: 'Check the name of the database; names are case-sensitive.',
};

/** What libpq prints when it cannot connect has no SQLSTATE; its own texts are English because of LC_ALL=C. */
export function connectionErrorCode(stderr: string): ConnectionErrorCode {
  const refusals =
    /authentication failed|no password supplied|pg_hba\.conf|role ".*" (does not exist|is not permitted)/;
  if (refusals.test(stderr)) return 'DATABASE_AUTH_FAILED';
  if (/database ".*" does not exist/.test(stderr)) return 'DATABASE_QUERY_FAILED';
  return 'DATABASE_UNREACHABLE';
}
