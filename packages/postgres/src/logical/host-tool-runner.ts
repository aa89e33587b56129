// Runs PostgreSQL's programs on this host: those of a given folder, else the newest among PATH and Debian's folders.

import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Writable } from 'node:stream';
import { AppError, cancelledError, Secret, systemErrorCode, throwIfAborted } from '@varve/base';
import type { ToolExit, ToolRequest, ToolRun, ToolRunner } from './tool-runner.ts';

export interface HostToolRunnerOptions {
  /** Folder of the programs. Without it: Debian's folders from the newest major down, then PATH. */
  readonly binDir?: string | undefined;
  /** Environment to start from; its `PG…` variables are dropped. Default: this process's. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
}

const debianRoot = '/usr/lib/postgresql';
const keptStderrBytes = 64 * 1024;
const killGraceMs = 5000;

/** A runner on this host. Its `run` throws DATABASE_TOOL_MISSING when the program is in none of the folders. */
export function hostToolRunner(options: HostToolRunnerOptions = {}): ToolRunner {
  const environment = options.environment ?? process.env;
  return {
    run(request) {
      throwIfAborted(request.signal);
      const [name, ...args] = request.command;
      if (name === undefined) throw new AppError('USAGE_INVALID', 'A tool request names no program.');
      return start(findHostTool(name, { ...options, environment }), args, request, environment);
    },
  };
}

/** Full path of a program. Throws DATABASE_TOOL_MISSING with where it was looked for. */
export function findHostTool(name: string, options: HostToolRunnerOptions = {}): string {
  const environment = options.environment ?? process.env;
  const folders = options.binDir === undefined ? [...debianFolders(), ...pathFolders(environment)] : [options.binDir];
  const found = folders.map((folder) => join(folder, name)).find((path) => isExecutable(path));
  if (found !== undefined) return found;
  throw new AppError('DATABASE_TOOL_MISSING', `The program ${name} is not on this machine.`, {
    hint: 'Install the PostgreSQL client programs (Debian: apt-get install postgresql-client), or name their folder.',
    context: { program: name, folders },
  });
}

function debianFolders(): string[] {
  let majors: string[];
  try {
    majors = readdirSync(debianRoot);
  } catch {
    return [];
  }
  return majors.toSorted((a, b) => Number(b) - Number(a)).map((major) => join(debianRoot, major, 'bin'));
}

function pathFolders(environment: NodeJS.ProcessEnv): string[] {
  return (environment['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function start(path: string, args: readonly string[], request: ToolRequest, environment: NodeJS.ProcessEnv): ToolRun {
  const child = spawn(path, args, { cwd: '/', env: childEnvironment(request, environment), stdio: 'pipe' });
  child.stdin.on('error', () => undefined); // EPIPE: the exit code tells why the program stopped reading.
  const stderr = new Tail(keptStderrBytes);
  child.stderr.on('data', (chunk: Uint8Array) => stderr.add(chunk));
  const stop = terminator(child);
  request.signal?.addEventListener('abort', stop, { once: true });
  let sourceFailure: { readonly error: unknown } | undefined;
  // Not waited for below: when the program has ended, a source that is slow to yield its next bytes matters no more.
  void feed(child, request.stdin).catch((error: unknown) => {
    sourceFailure = { error };
    stop();
  });
  const finished = ended(child, path).then((exitCode): ToolExit => {
    request.signal?.removeEventListener('abort', stop);
    if (request.signal?.aborted) throw cancelledError(request.signal);
    if (sourceFailure) throw sourceFailure.error;
    return { exitCode, stderr: stderr.text() };
  });
  return { stdout: child.stdout, finished };
}

function childEnvironment(request: ToolRequest, environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const inherited = Object.entries(environment).filter(([name]) => !name.startsWith('PG'));
  const own = Object.entries(request.env).map(([name, value]) => [
    name,
    value instanceof Secret ? value.reveal() : value,
  ]);
  return Object.fromEntries([...inherited, ...own]);
}

/** SIGTERM, and SIGKILL when that does not end it. */
function terminator(child: ChildProcess): () => void {
  return () => {
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), killGraceMs);
    child.once('exit', () => clearTimeout(timer));
    if (child.exitCode !== null || child.signalCode !== null) clearTimeout(timer);
  };
}

/** Writes the source to standard input. Rejects with the source's own failure; a program that stops reading is none. */
async function feed(child: ChildProcess, source: AsyncIterable<Uint8Array> | undefined): Promise<void> {
  const { stdin } = child;
  if (!stdin) return;
  for await (const chunk of source ?? []) {
    if (stdin.destroyed || child.exitCode !== null) return;
    if (!stdin.write(chunk)) await drainedOrClosed(stdin);
  }
  stdin.end();
}

function drainedOrClosed(stdin: Writable): Promise<void> {
  if (stdin.destroyed || !stdin.writableNeedDrain) return Promise.resolve();
  return new Promise((resolve) => {
    const settle = (): void => {
      stdin.off('drain', settle).off('close', settle);
      resolve();
    };
    stdin.on('drain', settle).on('close', settle);
  });
}

function ended(child: ChildProcess, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (cause) => {
      if (child.pid !== undefined) return; // A signal could not be sent; `close` still comes.
      const missing = systemErrorCode(cause) === 'ENOENT';
      reject(
        new AppError(
          missing ? 'DATABASE_TOOL_MISSING' : 'COMMAND_FAILED',
          `${path} could not be started: ${cause.message}.`,
          {
            cause,
          },
        ),
      );
    });
    child.once('close', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : osConstants.signals[signal]));
    });
  });
}

/** The end of a stream of bytes. */
class Tail {
  readonly #limitBytes: number;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  add(chunk: Uint8Array): void {
    const all = Buffer.concat([this.#bytes, chunk]);
    this.#bytes = all.subarray(Math.max(0, all.length - this.#limitBytes));
  }

  text(): string {
    return this.#bytes.toString('utf8');
  }
}
