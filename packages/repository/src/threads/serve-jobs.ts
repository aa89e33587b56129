// The side of a ThreadPool that runs in its threads.

import type { MessagePort } from 'node:worker_threads';
import { messageOf } from '@varve/base';
import type { ThreadError, ThreadMessage, ThreadRequest } from './thread-pool.ts';

/** What a thread does, once it is set up. */
export interface JobServer<Job, Result> {
  readonly run: (job: Job) => Result;
  /** The buffers that go over with a result instead of being copied. */
  readonly transfer?: ((result: Result) => readonly ArrayBuffer[]) | undefined;
}

/**
 * Answers every job that comes with its result, or with its error. `start` is given the setup, which comes first; it should find
 * loaded whatever takes long.
 */
export function serveJobs<Setup, Job, Result>(
  port: MessagePort,
  start: (setup: Setup) => JobServer<Job, Result>,
): void {
  let server: JobServer<Job, Result> | undefined;
  const post = (message: ThreadMessage<Result, never>, buffers: readonly ArrayBuffer[] = []): void =>
    port.postMessage(message, buffers);
  port.on('message', (request: ThreadRequest<Job>) => {
    if (request.kind === 'setup') {
      // The pool that has started the thread's file gives it the file's setup.
      server = start(request.setup as Setup);
      return;
    }
    const { number, job } = request;
    try {
      if (!server) throw new Error('A job came before the setup of the thread.');
      const result = server.run(job);
      post({ kind: 'done', number, result }, server.transfer?.(result));
    } catch (error) {
      post({ kind: 'failed', number, error: toThreadError(error) });
    }
  });
}

function toThreadError(error: unknown): ThreadError {
  const message = messageOf(error);
  if (!(error instanceof Error)) return { message };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  const syscall = 'syscall' in error && typeof error.syscall === 'string' ? { syscall: error.syscall } : {};
  return { message, ...code, ...syscall };
}
