// Logical dumps as byte streams: pg_dump's custom format, uncompressed so that the repository deduplicates it, and
// pg_dumpall's globals. A stream that ended by itself was whole: a failed program throws after its last byte.

import { AppError } from '@varve/base';
import { connectionErrorCode } from './psql.ts';
import { targetEnvironment, type DatabaseTarget } from './target.ts';
import { assertToolPresent, lastLines, type ToolExit, type ToolRequest, type ToolRunner } from './tool-runner.ts';

export interface DumpOptions {
  readonly signal?: AbortSignal | undefined;
}

export interface DumpDatabaseOptions extends DumpOptions {
  readonly database: string;
}

export interface DumpGlobalsOptions extends DumpOptions {
  /** Whether password hashes are saved; needs a superuser. Default true. */
  readonly rolePasswords?: boolean;
}

/** First bytes of an archive in custom format. Source: pg_backup_archiver.c, WriteHead. */
const archiveMagic = 'PGDMP';

/**
 * One database as an archive for pg_restore: one consistent moment, with large objects. Throws DATABASE_DUMP_FAILED after
 * the data when pg_dump fails, ends without data or does not write an archive; CANCELLED after an abort. Ending the
 * iteration early ends pg_dump.
 */
export async function* dumpDatabase(
  runner: ToolRunner,
  target: DatabaseTarget,
  options: DumpDatabaseOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const what = `database “${options.database}”`;
  const request: ToolRequest = {
    command: ['pg_dump', '--format=custom', '--compress=0', '--no-password'],
    env: targetEnvironment(target, { database: options.database }),
    signal: options.signal,
  };
  let head = '';
  for await (const chunk of outputOf(runner, request, what)) {
    if (head.length < archiveMagic.length)
      head += Buffer.from(chunk.subarray(0, archiveMagic.length)).toString('latin1');
    yield chunk;
  }
  if (!head.startsWith(archiveMagic)) throw dumpFailed(what, 'pg_dump wrote something that is not an archive');
}

/**
 * Roles, their memberships and settings, and tablespaces, as SQL for {@link restoreGlobals}. Throws as
 * {@link dumpDatabase}; without `rolePasswords: false` a user who is no superuser gets DATABASE_DUMP_FAILED.
 */
export async function* dumpGlobals(
  runner: ToolRunner,
  target: DatabaseTarget,
  options: DumpGlobalsOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const withoutPasswords = options.rolePasswords === false ? ['--no-role-passwords'] : [];
  yield* outputOf(
    runner,
    {
      command: ['pg_dumpall', '--globals-only', '--no-password', ...withoutPasswords],
      env: targetEnvironment(target),
      signal: options.signal,
    },
    'the roles of the cluster',
  );
}

async function* outputOf(
  runner: ToolRunner,
  request: ToolRequest,
  what: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const leaving = new AbortController();
  const signal = request.signal ? AbortSignal.any([request.signal, leaving.signal]) : leaving.signal;
  const run = runner.run({ ...request, signal });
  run.finished.catch(() => undefined);
  let isComplete = false;
  let bytes = 0;
  try {
    for await (const chunk of run.stdout) {
      bytes += chunk.length;
      yield chunk;
    }
    isComplete = true;
  } finally {
    if (!isComplete) leaving.abort();
  }
  const exit = await run.finished;
  assertToolPresent(exit, request.command);
  if (exit.exitCode !== 0) throw exitError(exit, request, what);
  if (bytes === 0) throw dumpFailed(what, `${request.command[0]} ended well but wrote nothing`);
}

function exitError(exit: ToolExit, request: ToolRequest, what: string): AppError {
  const text = lastLines(exit.stderr, request);
  const reason = `${request.command[0]} ended with exit code ${exit.exitCode}: ${text}`;
  return dumpFailed(what, reason, { exitCode: exit.exitCode, stderr: text });
}

function dumpFailed(
  what: string,
  reason: string,
  context: { readonly exitCode?: number; readonly stderr?: string } = {},
): AppError {
  const { stderr = '' } = context;
  return new AppError('DATABASE_DUMP_FAILED', `The dump of ${what} failed: ${reason}.`, {
    context,
    hint: dumpHint(stderr),
    retry: /terminating connection|server closed the connection|could not connect|deadlock/.test(stderr),
  });
}

function dumpHint(stderr: string): string {
  if (/server version mismatch/.test(stderr)) {
    return "The programs are older than the server: install those of the server's major version, or newer.";
  }
  if (/permission denied/.test(stderr)) return 'Use a superuser, or grant the user pg_read_all_data.';
  if (/connection to server/.test(stderr) && connectionErrorCode(stderr) === 'DATABASE_AUTH_FAILED') {
    return 'Check user and password of the database, and its pg_hba.conf.';
  }
  return 'See the lines of the program above and the log of the database server.';
}
