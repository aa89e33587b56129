// The life of one exec: bytes in both directions over a hijacked connection, and exactly one end. Whatever ends it early
// (cancellation, a reader that stops, a failing stdin) kills the process first and closes the connection after, so that a
// half-written input never reaches the process as a proper end of file.

import type { Duplex } from 'node:stream';
import type { Exec } from 'dockerode';
import { AppError, cancelledError, isAppError, messageOf, sleep, systemErrorCode } from '@varve/base';
import { ByteQueue } from './byte-queue.ts';
import { abortable, type Connection } from './connection.ts';
import { engineError } from './engine-errors.ts';
import { killExec } from './exec-kill.ts';
import type { ExecResult } from './exec-types.ts';
import { FrameDecoder } from './stream-frames.ts';
import { TextTail } from './text-tail.ts';

const queueLimitBytes = 1024 * 1024;
const stderrTailBytes = 64 * 1024;
const watchdogIntervalMs = 10_000;
const watchdogStrikes = 3;

export interface ExecSessionOptions {
  readonly connection: Connection;
  readonly containerId: string;
  readonly exec: Exec;
  readonly socket: Duplex;
  readonly marker: string;
  readonly action: string;
  readonly stdin: AsyncIterable<Uint8Array> | undefined;
  readonly user: string | undefined;
  readonly signal: AbortSignal | undefined;
}

export class ExecSession {
  readonly finished: Promise<ExecResult>;
  readonly #options: ExecSessionOptions;
  readonly #decoder = new FrameDecoder();
  readonly #stderr = new TextTail(stderrTailBytes);
  readonly #queue: ByteQueue;
  readonly #settled = Promise.withResolvers<ExecResult>();
  readonly #watchdog: NodeJS.Timeout;
  readonly #stopped = new AbortController();
  #isEnding = false;
  #lastActivity = Date.now();
  #strikes = 0;

  constructor(options: ExecSessionOptions) {
    this.#options = options;
    const { socket, signal } = options;
    this.#queue = new ByteQueue({
      limitBytes: queueLimitBytes,
      onDrain: () => socket.resume(),
      onAbandoned: () =>
        this.#stop(
          new AppError('CANCELLED', `The output was not read to its end; the process was stopped (${options.action}).`),
        ),
    });
    this.finished = this.#settled.promise;
    // A caller that only reads stdout gets the error there.
    this.finished.catch(() => {});
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('end', () => this.#onEnd());
    socket.on('error', (error) => this.#onSocketError(error));
    socket.on('close', () => this.#onSocketError(new Error('socket hang up')));
    this.#watchdog = setInterval(() => void this.#watch(), watchdogIntervalMs);
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (signal?.aborted) this.#onAbort();
    if (options.stdin) void this.#pump(options.stdin);
  }

  get stdout(): AsyncIterable<Uint8Array> {
    return this.#queue;
  }

  readonly #onAbort = (): void => this.#stop(cancelledError(this.#options.signal));

  #onData(chunk: Buffer): void {
    if (this.#isEnding) return;
    this.#lastActivity = Date.now();
    this.#strikes = 0;
    try {
      for (const piece of this.#decoder.push(chunk)) {
        if (piece.stream === 'stdout') this.#queue.push(piece.data);
        else this.#stderr.push(piece.data);
      }
    } catch (error) {
      this.#stop(engineError(error, this.#facts));
    }
    if (this.#queue.isFull) this.#options.socket.pause();
  }

  #onEnd(): void {
    if (!this.#decoder.isAtBoundary) this.#onSocketError(new Error('socket hang up'));
    else void this.#finish();
  }

  /**
   * A process may end without reading its stdin; the engine then closes the connection and our next write fails. That is
   * no failure of the connection when everything that was sent has been seen and the process has ended.
   */
  #onSocketError(error: Error): void {
    if (this.#isEnding) return;
    const code = systemErrorCode(error);
    const duringStdin = this.#options.stdin !== undefined && (code === 'EPIPE' || code === 'ECONNRESET');
    const sawAll = this.#decoder.isAtBoundary && !this.#queue.isFull;
    if (duringStdin && sawAll) void this.#finish();
    else this.#stop(engineError(error, this.#facts));
  }

  /** The connection ended well: the exit code is what remains. */
  async #finish(): Promise<void> {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#release();
    try {
      const exitCode = await this.#waitForExit();
      this.#queue.end();
      this.#settled.resolve({ exitCode, stderr: this.#stderr.toString() });
    } catch (error) {
      const mapped = engineError(error, this.#facts);
      if (isAppError(mapped, 'CANCELLED')) await killExec(this.#options);
      this.#queue.end(mapped);
      this.#settled.reject(mapped);
    } finally {
      this.#options.signal?.removeEventListener('abort', this.#onAbort);
      this.#options.socket.destroy();
    }
  }

  /** Ends early with `error`: kills the process, then closes. */
  #stop(error: AppError): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#release();
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    void this.#killAndClose(error);
  }

  async #killAndClose(error: AppError): Promise<void> {
    const isGone = await killExec(this.#options);
    const reported = isGone ? error : stillRunningError(error, this.#options);
    this.#queue.end(reported);
    this.#settled.reject(reported);
    this.#options.socket.destroy();
  }

  #release(): void {
    clearInterval(this.#watchdog);
    this.#stopped.abort();
  }

  /** The engine reports the exit a moment after the streams ended; a process that closed its output may run on. */
  async #waitForExit(): Promise<number> {
    const { connection, exec, action, signal } = this.#options;
    for (let delayMs = 5; ; delayMs = Math.min(1000, delayMs * 2)) {
      const state = await connection.request(action, () => exec.inspect(abortable(signal)), signal);
      if (!state.Running && state.ExitCode !== null) return state.ExitCode;
      await sleep(delayMs, { signal });
    }
  }

  async #pump(stdin: AsyncIterable<Uint8Array>): Promise<void> {
    const { socket } = this.#options;
    const stopped = this.#stopped.signal;
    try {
      // Raced against the end, since the source may be waiting for more when the process is long gone.
      for await (const chunk of untilAborted(stdin, stopped)) {
        // Lets the other end's last words and its end be read before we write into a closed connection.
        await new Promise((resolve) => setImmediate(resolve));
        if (stopped.aborted || socket.destroyed) return;
        this.#lastActivity = Date.now();
        if (!socket.write(chunk)) await drained(socket, stopped);
      }
      if (!stopped.aborted) socket.end();
    } catch (error) {
      this.#stop(
        isAppError(error)
          ? error
          : new AppError(
              'DOCKER_COMMAND_FAILED',
              `The input failed that should go to the process (${this.#options.action}): ${messageOf(error)}`,
              { cause: error },
            ),
      );
    }
  }

  /** No bytes for a while: asks over another connection whether the process still runs. */
  async #watch(): Promise<void> {
    const { connection, exec, socket, action } = this.#options;
    const isReaderSlow = this.#queue.isFull || socket.readableLength > 0;
    if (isReaderSlow || Date.now() - this.#lastActivity < watchdogIntervalMs) return;
    const signal = AbortSignal.timeout(watchdogIntervalMs - 1000);
    const state = await connection.request(action, () => exec.inspect(abortable(signal))).catch(() => undefined);
    if (this.#isEnding) return;
    if (state?.Running) this.#strikes = 0;
    else this.#strikes++;
    if (this.#strikes >= watchdogStrikes) this.#stop(engineError(new Error('socket hang up'), this.#facts));
  }

  get #facts() {
    const { connection, action, signal } = this.#options;
    return { endpoint: connection.endpoint, action, signal };
  }
}

/** The items of `source` until the signal aborts; then the source is told to stop and is not waited for. */
async function* untilAborted<T>(source: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  const aborted = new Promise<{ readonly done: true }>((resolve) => {
    signal.addEventListener('abort', () => resolve({ done: true }), { once: true });
  });
  let isDone = false;
  try {
    while (!signal.aborted) {
      const result = await Promise.race([iterator.next(), aborted]);
      if (result.done) {
        isDone = !signal.aborted;
        return;
      }
      yield result.value;
    }
  } finally {
    if (!isDone) iterator.return?.()?.then(undefined, () => {});
  }
}

function drained(socket: Duplex, stopped: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done);
      socket.off('close', done);
      stopped.removeEventListener('abort', done);
      resolve();
    };
    socket.on('drain', done);
    socket.on('close', done);
    stopped.addEventListener('abort', done);
  });
}

function stillRunningError(error: AppError, options: ExecSessionOptions): AppError {
  return new AppError(
    error.code,
    `${error.message} The process could not be stopped and may still run in container ${options.containerId}.`,
    {
      hint: `Look for it with \`docker top ${options.containerId}\`.`,
      context: error.context,
      retry: error.retry,
      cause: error,
    },
  );
}
