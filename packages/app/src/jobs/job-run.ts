// One run of a job inside this process: its cancellation, and the writing of its log and progress one after the other.

import { AppError, isAppError, messageOf, redact, type Clock, type Logger } from '@varve/base';
import type { Job, JobLogLine, JobResult } from '@varve/contract';
import type { Problem, StepProgress, StoppedJournal } from '../use-case.ts';
import type { JobLog } from './job-log.ts';
import { ProgressMeter } from './job-progress.ts';
import type { JobEnd, JobStore } from './job-store.ts';

/** What the work of a job is given. */
export interface JobRun {
  readonly job: Job;
  readonly signal: AbortSignal;
  readonly report: (progress: StepProgress) => void;
  readonly log: (level: JobLogLine['level'], message: string) => void;
  readonly stopped: StoppedJournal;
  /** What the job found or did so far; the last one is kept, also when the job then fails. */
  readonly setResult: (result: JobResult) => void;
}

/** What the work of a job yields; problems make it `partial`. */
export interface JobOutcome {
  readonly snapshotId: string | null;
  readonly problems: readonly Problem[];
}

export type JobWork = (run: JobRun) => Promise<JobOutcome>;

interface JobWriterOptions {
  readonly jobId: string;
  readonly jobs: JobStore;
  readonly log: JobLog;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Writes log lines and progress in order, behind the back of the work, which never waits for them. */
export class JobWriter {
  readonly #options: JobWriterOptions;
  readonly #meter = new ProgressMeter();
  #queue: Promise<void> = Promise.resolve();

  constructor(options: JobWriterOptions) {
    this.#options = options;
  }

  #enqueue(write: () => Promise<void>): void {
    this.#queue = this.#queue.then(write).catch((error: unknown) => {
      this.#options.logger.error('a job could not write its log or progress', {
        jobId: this.#options.jobId,
        error: messageOf(error),
      });
    });
  }

  readonly log = (level: JobLogLine['level'], message: string): void => {
    const { log, jobId } = this.#options;
    this.#enqueue(() => log.add(jobId, level, redact(message)));
  };

  readonly report = (progress: StepProgress): void => {
    const { jobs, jobId, clock } = this.#options;
    const due = this.#meter.take(progress, clock.now().getTime());
    if (due) this.#enqueue(() => jobs.setProgress(jobId, due));
  };

  /** Resolves when everything is written. */
  async finish(): Promise<void> {
    const { jobs, jobId, clock } = this.#options;
    const last = this.#meter.flush(clock.now().getTime());
    if (last) this.#enqueue(() => jobs.setProgress(jobId, last));
    await this.#queue;
  }
}

/** How a job ends whose work came to its end. */
export function endOfOutcome(outcome: JobOutcome): JobEnd {
  const problems = outcome.problems.map(({ path, message }) => ({ path, message: redact(message) }));
  return {
    state: problems.length > 0 ? 'partial' : 'succeeded',
    snapshotId: outcome.snapshotId,
    error: null,
    problems,
  };
}

/** How a job ends whose work threw. An abort that the work answered with another failure counts as that failure. */
export function endOfError(error: unknown, signal: AbortSignal): JobEnd {
  const wasCancelled =
    signal.aborted &&
    (error === signal.reason ||
      isAppError(error, 'CANCELLED') ||
      (error instanceof Error && error.name === 'AbortError'));
  const shown = wasCancelled && signal.reason instanceof AppError ? signal.reason : error;
  const isLost = isAppError(shown, 'JOB_INTERRUPTED') && shown.context['leaseLost'] === true;
  return {
    state: wasCancelled && !isLost ? 'cancelled' : 'failed',
    snapshotId: null,
    error: describeError(shown),
    problems: [],
  };
}

/** An error as jobs keep it and the API sends it. */
export function describeError(error: unknown): NonNullable<Job['error']> {
  if (isAppError(error)) {
    return {
      code: error.code,
      message: redact(error.message),
      hint: error.hint === undefined ? null : redact(error.hint),
    };
  }
  return {
    code: 'INTERNAL',
    message: redact(messageOf(error)),
    hint: 'This is a fault in Varve. Please report it with the log.',
  };
}
