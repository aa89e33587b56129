// Waits for a job of this process with its progress shown, cancels it when the user interrupts, and turns its end into
// lines and an exit code.

import type { Varve } from '@varve/app';
import { AppError, errorCodes, type ErrorCode } from '@varve/base';
import type { Job, JobProgress } from '@varve/contract';
import { counted } from './output/text.ts';
import type { ProgressDisplay } from './output/progress.ts';
import type { Session } from './session.ts';

/** Problems listed one by one; the rest is counted. */
const maxProblemLines = 20;

/** Exit code 0, 3 when files could not be read; a failed job throws its error. JSON: the finished job, one document. */
export async function followJob(
  session: Session,
  varve: Varve,
  job: Job,
  success: (job: Job) => string,
): Promise<number> {
  const finished = await waitFor(session, varve, job);
  if (session.json) session.printJson(finished);
  if (finished.state === 'failed' || finished.state === 'cancelled') throw jobError(finished);
  session.say(success(finished));
  if (finished.state !== 'partial') return 0;
  const { err } = session.io;
  if (!session.json) {
    for (const problem of finished.problems.slice(0, maxProblemLines))
      session.logger().error(`${problem.path}: ${problem.message}`);
    err.write(`${counted(finished.problems.length, 'problem')}: the snapshot is partial.\n`);
  }
  return errorCodes.RESULT_PARTIAL.exit;
}

async function waitFor(session: Session, varve: Varve, job: Job): Promise<Job> {
  using progress = session.progress();
  const onAbort = (): void => {
    // The job ends by itself soon after; a failure to ask shows in how it ends.
    varve.cancelJob(job.id).catch(() => {});
  };
  session.signal.addEventListener('abort', onAbort, { once: true });
  if (session.signal.aborted) onAbort();
  try {
    return await varve.waitForJob(job.id, {
      onEvent: (event) => {
        if (event.type === 'job' && event.job.progress) show(progress, event.job.progress);
        if (event.type === 'job-log' && session.verbose) progress.note(event.line.message);
      },
    });
  } finally {
    session.signal.removeEventListener('abort', onAbort);
  }
}

function show(progress: ProgressDisplay, state: JobProgress): void {
  const { step, ...rest } = state;
  progress.update({ label: step.replaceAll('-', ' ').replace(':', ' '), ...rest });
}

/** The error that a job ended with, as if it had happened here. */
function jobError(job: Job): AppError {
  if (job.state === 'cancelled') return new AppError('CANCELLED', `The ${job.type} was cancelled.`);
  const code: ErrorCode = job.error && isErrorCode(job.error.code) ? job.error.code : 'INTERNAL';
  const message = job.error?.message ?? `The ${job.type} failed.`;
  const hint = job.error?.hint ?? `varve jobs ${job.id} shows its log.`;
  return new AppError(code, message, { hint });
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCodes, code);
}
