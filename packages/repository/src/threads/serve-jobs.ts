// The side of a ThreadPool that runs in its threads.

import type { MessagePort } from 'node:worker_threads';
import { messageOf } from '@varve/base';
import type { JobRequest, ThreadError, ThreadMessage } from './thread-pool.ts';

/** Answers every job that comes with the result of `run`, or with its error. */
export function serveJobs<Job, Result>(port: MessagePort, run: (job: Job) => Result): void {
  const post = (message: ThreadMessage<Result, never>): void => port.postMessage(message);
  port.on('message', ({ number, job }: JobRequest<Job>) => {
    try {
      post({ kind: 'done', number, result: run(job) });
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
