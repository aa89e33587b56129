// A process in a container as a two-way byte stream: what is written reaches its standard input, what is read is its
// standard output. For protocols that are spoken through the container, where no port leads into it.

import { Duplex, PassThrough } from 'node:stream';
import { messageOf } from '@varve/base';
import type { Connection } from './connection.ts';
import { commandFailedError, execInContainer } from './exec.ts';
import type { ExecOptions, ExecProcess } from './exec-types.ts';

/**
 * Starts the process. The stream ends when the process has ended well, and fails with DOCKER_COMMAND_FAILED when it has
 * not; destroying the stream kills the process. Ending it is the end of file for the process. Throws as an exec does.
 */
export async function openExecStream(
  connection: Connection,
  containerId: string,
  options: Omit<ExecOptions, 'stdin'>,
): Promise<Duplex> {
  const over = new AbortController();
  const toProcess = new PassThrough();
  const signal = options.signal === undefined ? over.signal : AbortSignal.any([options.signal, over.signal]);
  const process = await execInContainer(connection, containerId, { ...options, stdin: toProcess, signal });
  const fail = (result: { exitCode: number; stderr: string }): Error =>
    commandFailedError(options.command, containerId, result);
  return new ExecStream({ process, toProcess, over, fail });
}

interface ExecStreamParts {
  readonly process: ExecProcess;
  readonly toProcess: PassThrough;
  readonly over: AbortController;
  readonly fail: (result: { exitCode: number; stderr: string }) => Error;
}

class ExecStream extends Duplex {
  readonly #parts: ExecStreamParts;
  #wake: (() => void) | undefined;

  constructor(parts: ExecStreamParts) {
    super();
    this.#parts = parts;
    // Like a socket: nothing can be written to a process that is gone.
    this.once('end', () => this.destroy());
    void this.#pump();
  }

  async #pump(): Promise<void> {
    const { process, fail } = this.#parts;
    try {
      for await (const chunk of process.stdout) {
        if (this.destroyed) return;
        if (!this.push(chunk)) await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      const result = await process.finished;
      if (result.exitCode === 0) this.push(null);
      else this.destroy(fail(result));
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(messageOf(error)));
    }
  }

  override _read(): void {
    this.#wake?.();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#parts.toProcess.write(chunk)) done();
    else this.#parts.toProcess.once('drain', () => done());
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#parts.toProcess.end();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#wake?.();
    this.#parts.over.abort();
    this.#parts.toProcess.destroy();
    done(error);
  }
}
