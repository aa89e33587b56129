// The side of a ThreadPool that runs in its threads.

import type { MessagePort } from 'node:worker_threads';
import { messageOf } from '@varve/base';
import type { JobRequest, ThreadError, ThreadMessage } from './thread-pool.ts';

/**
 * Answers every job that comes with the result of `run`, or with its error. `transfer` names the buffers that go over with a
 * result instead of being copied.
 */
export function serveJobs<Job, Result>(
  port: MessagePort,
  run: (job: Job) => Result,
  transfer: (result: Result) => readonly ArrayBuffer[] = () => [],
): void {
  const post = (message: ThreadMessage<Result, never>, buffers: readonly ArrayBuffer[] = []): void =>
    port.postMessage(message, buffers);
  port.on('message', ({ number, job }: JobRequest<Job>) => {
    try {
      const result = run(job);
      post({ kind: 'done', number, result }, transfer(result));
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
