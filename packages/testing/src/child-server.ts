// A server program of a test: started on a free loopback port, waited for, and ended by its process id.

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { isAppError, sleep } from '@varve/base';

export interface ChildServer extends AsyncDisposable {
  readonly pid: number;
  /** What it has written to standard output and error, the last 64 KiB. */
  output(): string;
  /** Ends it now, as a crash would; disposing after is fine. */
  kill(): Promise<void>;
}

export interface ChildServerOptions {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** It is ready when something listens there. */
  readonly port: number;
  readonly startLimitMs?: number | undefined;
}

const stopLimitMs = 5000;

/** Where tests put what needs no disk: in memory where that is possible, because hundreds of fsyncs are slow. */
export function quickTemporaryFolder(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
}

/** A port of 127.0.0.1 that was free a moment ago. */
export function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    server.close(() =>
      address !== null && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
    );
  });
  return promise;
}

/** Starts the program and waits until its port answers. Throws with its output when it does not. */
export async function startChildServer(options: ChildServerOptions): Promise<ChildServer> {
  let output = '';
  const child = spawn(options.program, options.args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-65_536);
    });
  }
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    // Not 'close': processes that it started may keep its output open for longer.
    child.once('exit', () => resolve());
  });
  const died = new AbortController();
  void ended.then(() => died.abort());
  try {
    await waitForPort(
      options.port,
      AbortSignal.any([died.signal, AbortSignal.timeout(options.startLimitMs ?? 30_000)]),
    );
  } catch (error) {
    await stop(child, ended, 'SIGKILL');
    throw new Error(`${options.program} did not start:\n${output}`, { cause: error });
  }
  return {
    pid: child.pid ?? 0,
    output: () => output,
    kill: () => stop(child, ended, 'SIGKILL'),
    [Symbol.asyncDispose]: () => stop(child, ended, 'SIGTERM'),
  };
}

async function stop(child: ChildProcess, ended: Promise<void>, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), stopLimitMs);
  await ended;
  clearTimeout(timer);
  child.stdout?.destroy();
  child.stderr?.destroy();
}

async function waitForPort(port: number, signal: AbortSignal): Promise<void> {
  for (;;) {
    if (await answers(port)) return;
    try {
      await sleep(50, { signal });
    } catch (error) {
      if (isAppError(error)) throw new Error(`nothing listens on port ${port}`, { cause: error });
      throw error;
    }
  }
}

function answers(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(port, '127.0.0.1', () => resolve(true));
  socket.once('error', () => resolve(false));
  return promise.finally(() => socket.destroy());
}
