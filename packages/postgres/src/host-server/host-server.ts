// Control of a PostgreSQL server that runs on this host, through pg_ctl. As root, everything runs as the owner of the data
// directory, because PostgreSQL refuses to run as root.

import { execFile } from 'node:child_process';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AppError, messageOf, systemErrorCode, throwIfAborted } from '@varve/base';
import { isPostmasterAlive, readPostmasterPid, type PostmasterPid } from './postmaster-pid.ts';

const run = promisify(execFile);

/** A server by its folders. */
export interface HostServer {
  readonly dataDirectory: string;
  /** Folder of pg_ctl and postgres, of the data directory's major version. */
  readonly binDir: string;
  readonly signal?: AbortSignal | undefined;
}

export type ServerStatus =
  | { readonly isRunning: false }
  | {
      readonly isRunning: true;
      readonly pid: number;
      readonly port: number | undefined;
      readonly socketDirectory: string | undefined;
      readonly state: PostmasterPid['state'];
    };

export interface StopServerOptions extends HostServer {
  /** `fast` (default) ends sessions; `immediate` skips the checkpoint and recovers at the next start. */
  readonly mode?: 'smart' | 'fast' | 'immediate' | undefined;
  /** Default 5 min: the shutdown checkpoint of a busy server takes long. */
  readonly timeoutMs?: number | undefined;
}

export interface StartServerOptions extends HostServer {
  /** Options of the postgres program, such as `-c config_file=/etc/…`; passed through a shell by pg_ctl: no untrusted text. */
  readonly options?: string | undefined;
  /** Default: `startup.log` in the data directory. */
  readonly logFile?: string | undefined;
  /** Default 5 min; recovery from a base backup may need more. */
  readonly timeoutMs?: number | undefined;
  /** false: returns as soon as the server was launched, whatever becomes of it. */
  readonly waits?: boolean | undefined;
}

const defaultTimeoutMs = 300_000;
const logTailBytes = 2000;

/** Whether a server runs on the data directory, and where it listens. A stale postmaster.pid counts as not running. */
export async function serverStatus(server: Pick<HostServer, 'dataDirectory'>): Promise<ServerStatus> {
  await dataDirectoryOwner(server.dataDirectory);
  const file = await readPostmasterPid(server.dataDirectory);
  if (!file || !(await isPostmasterAlive(file))) return { isRunning: false };
  return { isRunning: true, ...file };
}

/**
 * Stops the server and waits until it has ended. Yields false when none ran. Throws COMMAND_FAILED with pg_ctl's words
 * when it does not stop in time, DATABASE_TOOL_MISSING without pg_ctl.
 */
export async function stopServer(options: StopServerOptions): Promise<boolean> {
  throwIfAborted(options.signal);
  if (!(await serverStatus(options)).isRunning) return false;
  const exit = await pgCtl(options, ['stop', '-m', options.mode ?? 'fast', ...waiting(options.timeoutMs)]);
  if (exit.exitCode === 0 || !(await serverStatus(options)).isRunning) return true;
  throw new AppError(
    'COMMAND_FAILED',
    `The PostgreSQL server in ${options.dataDirectory} did not stop: ${exit.output}`,
    {
      hint: 'A session may hold it up, or it is writing its last checkpoint: see its log.',
      context: { exitCode: exit.exitCode },
    },
  );
}

/**
 * Starts the server and waits until it takes connections. Yields false when it already runs. Throws COMMAND_FAILED with the
 * end of the server's log when it does not, DATABASE_TOOL_MISSING without pg_ctl.
 */
export async function startServer(options: StartServerOptions): Promise<boolean> {
  throwIfAborted(options.signal);
  if ((await serverStatus(options)).isRunning) return false;
  const logFile = options.logFile ?? join(options.dataDirectory, 'startup.log');
  const serverOptions = options.options === undefined ? [] : ['-o', options.options];
  const wait = options.waits === false ? ['-W'] : waiting(options.timeoutMs);
  const exit = await pgCtl(options, ['start', '-l', logFile, ...serverOptions, ...wait]);
  if (exit.exitCode === 0) return true;
  const log = await tailOf(logFile);
  throw new AppError(
    'COMMAND_FAILED',
    `The PostgreSQL server in ${options.dataDirectory} did not start: ${log || exit.output}`,
    {
      hint: `See ${logFile}.`,
      context: { exitCode: exit.exitCode, logFile },
    },
  );
}

/** Ends the recovery of a server that can be promoted, and waits until it has. COMMAND_FAILED, DATABASE_TOOL_MISSING. */
export async function promoteServer(options: HostServer & { readonly timeoutMs?: number | undefined }): Promise<void> {
  throwIfAborted(options.signal);
  const exit = await pgCtl(options, ['promote', ...waiting(options.timeoutMs)]);
  if (exit.exitCode === 0) return;
  throw new AppError(
    'COMMAND_FAILED',
    `The PostgreSQL server in ${options.dataDirectory} could not be promoted: ${exit.output}`,
    { context: { exitCode: exit.exitCode } },
  );
}

function waiting(timeoutMs: number | undefined): string[] {
  return ['-w', '-t', String(Math.ceil((timeoutMs ?? defaultTimeoutMs) / 1000))];
}

/** Who owns the data directory. Throws RESTORE_TARGET_INVALID when it is not there. */
async function dataDirectoryOwner(
  dataDirectory: string,
): Promise<{ readonly uid: number; readonly gid: number; readonly mode: number }> {
  try {
    const { uid, gid, mode } = await stat(dataDirectory);
    return { uid, gid, mode: mode & 0o7777 };
  } catch (cause) {
    throw new AppError(
      'RESTORE_TARGET_INVALID',
      `The data directory ${dataDirectory} cannot be read: ${messageOf(cause)}.`,
      {
        hint: 'Name the folder that holds PG_VERSION.',
        cause,
      },
    );
  }
}

interface PgCtlExit {
  readonly exitCode: number;
  readonly output: string;
}

async function pgCtl(server: HostServer, args: readonly string[]): Promise<PgCtlExit> {
  const { uid, gid } = await dataDirectoryOwner(server.dataDirectory);
  const isRoot = process.getuid?.() === 0;
  if (isRoot && uid === 0) {
    throw new AppError(
      'RESTORE_TARGET_INVALID',
      `The data directory ${server.dataDirectory} belongs to root, and PostgreSQL refuses to run as root.`,
      {
        hint: `Give it to the server's user: chown -R postgres ${server.dataDirectory}`,
      },
    );
  }
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('PG'));
  const env = { ...Object.fromEntries(inherited), LC_MESSAGES: 'C' };
  const [action, ...rest] = args;
  const command = [action ?? '', '-D', server.dataDirectory, ...rest];
  try {
    const { stdout } = await run(join(server.binDir, 'pg_ctl'), command, {
      cwd: '/',
      env,
      ...(isRoot ? { uid, gid } : {}),
      ...(server.signal ? { signal: server.signal } : {}),
    });
    return { exitCode: 0, output: stdout.trim() };
  } catch (error) {
    throwIfAborted(server.signal);
    if (systemErrorCode(error) === 'ENOENT') {
      throw new AppError('DATABASE_TOOL_MISSING', `There is no pg_ctl in ${server.binDir}.`, {
        hint: 'Install the PostgreSQL server of that major version, or name the folder of its programs.',
        cause: error,
      });
    }
    return exitOf(error);
  }
}

function exitOf(error: unknown): PgCtlExit {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'number') throw error;
  const texts = ['stderr' in error ? error.stderr : '', 'stdout' in error ? error.stdout : ''];
  const output = texts.filter((text) => typeof text === 'string' && text !== '').join('\n');
  return { exitCode: error.code, output: output.trim() };
}

async function tailOf(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    const start = Math.max(0, size - logTailBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(logTailBytes), 0, logTailBytes, start);
    return buffer.subarray(0, bytesRead).toString('utf8').trim();
  } catch {
    return '';
  }
}
