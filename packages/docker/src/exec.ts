// Runs a process in a container with streams both ways. Secrets travel in the environment of the exec, never in argv.
// Every process carries a marker in its environment, by which it is found and killed when the caller cancels: closing the
// connection alone leaves it running (Docker Engine API 1.41, Exec).

import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import type { Exec } from 'dockerode';
import { AppError, throwIfAborted, type Secret } from '@varve/base';
import { abortable, type Connection } from './connection.ts';
import { execMarkerName } from './exec-kill.ts';
import { ExecSession } from './exec-session.ts';
import type { CollectedResult, CollectOptions, ExecOptions, ExecProcess, ExecResult } from './exec-types.ts';

/** Starts the process. DOCKER_NOT_FOUND for no such container, DOCKER_REQUEST_FAILED when it does not run or is paused. */
export async function execInContainer(
  connection: Connection,
  containerId: string,
  options: ExecOptions,
): Promise<ExecProcess> {
  throwIfAborted(options.signal);
  if (options.command.length === 0) throw new AppError('INTERNAL', 'A command to run in a container is empty.');
  const marker = randomUUID();
  const action = `run ${options.command[0]} in container ${containerId}`;
  const exec = await connection.request(
    action,
    () =>
      connection.docker.getContainer(containerId).exec({
        Cmd: [...options.command],
        Env: [...environmentEntries(options.env ?? {}), `${execMarkerName}=${marker}`],
        AttachStdin: options.stdin !== undefined,
        AttachStdout: true,
        AttachStderr: true,
        Tty: false,
        ...(options.user === undefined ? {} : { User: options.user }),
        ...(options.workingDir === undefined ? {} : { WorkingDir: options.workingDir }),
        ...abortable(options.signal),
      }),
    options.signal,
  );
  const socket = await connection.request(
    action,
    () => startHijacked(exec, options.stdin !== undefined),
    options.signal,
  );
  const session = new ExecSession({
    connection,
    containerId,
    exec,
    socket,
    marker,
    action,
    stdin: options.stdin,
    user: options.user,
    signal: options.signal,
  });
  return { stdout: session.stdout, finished: session.finished };
}

/** Runs a process whose output is small, and waits for it. A non-zero exit code is a result, not an error. */
export async function collectExec(
  connection: Connection,
  containerId: string,
  options: CollectOptions,
): Promise<CollectedResult> {
  const limit = options.maxOutputBytes ?? 1024 * 1024;
  const process = await execInContainer(connection, containerId, options);
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of process.stdout) {
    size += piece.length;
    if (size > limit) {
      throw new AppError(
        'DOCKER_COMMAND_FAILED',
        `${options.command[0]} in container ${containerId} printed more than ${limit} bytes.`,
      );
    }
    pieces.push(piece);
  }
  return { ...(await process.finished), stdout: Buffer.concat(pieces) };
}

/**
 * Standard output of a process that must succeed: throws DOCKER_COMMAND_FAILED with the last lines of standard error, after
 * the last byte, when the exit code is not zero. The form in which a dump is streamed into a snapshot.
 */
export async function* execOutput(
  connection: Connection,
  containerId: string,
  options: ExecOptions,
): AsyncGenerator<Uint8Array, ExecResult, void> {
  const process = await execInContainer(connection, containerId, options);
  yield* process.stdout;
  const result = await process.finished;
  if (result.exitCode !== 0) throw commandFailedError(options.command, containerId, result);
  return result;
}

/** DOCKER_COMMAND_FAILED with exit code and the end of standard error. */
export function commandFailedError(command: readonly string[], containerId: string, result: ExecResult): AppError {
  const lines = result.stderr.trim().split('\n').slice(-5).join('\n');
  const missing = result.exitCode === 126 || result.exitCode === 127;
  return new AppError(
    'DOCKER_COMMAND_FAILED',
    `${command[0]} in container ${containerId} ended with exit code ${result.exitCode}${lines ? `: ${lines}` : '.'}`,
    {
      context: { exitCode: result.exitCode },
      ...(missing ? { hint: `The container's image has no usable ${command[0]}.` } : {}),
    },
  );
}

function environmentEntries(env: Readonly<Record<string, string | Secret>>): readonly string[] {
  return Object.entries(env).map(([name, value]) => {
    const text = typeof value === 'string' ? value : value.reveal();
    if (name === '' || name.includes('=') || name.includes('\0') || text.includes('\0')) {
      throw new AppError(
        'USAGE_INVALID',
        `The environment variable "${name.replaceAll('\0', '')}" cannot be passed to a container.`,
      );
    }
    return `${name}=${text}`;
  });
}

/** With `hijack` the engine turns the HTTP connection into a raw two-way stream; without stdin we never write to it. */
function startHijacked(exec: Exec, hasStdin: boolean): Promise<Duplex> {
  return exec.start({ hijack: true, stdin: hasStdin, Detach: false, Tty: false });
}
