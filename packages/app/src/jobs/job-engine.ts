// Runs jobs in this process: a bounded number at once, each with a lease that is renewed every five seconds. A job that is
// no longer ours in the database is aborted; a request to cancel from any process reaches it with the next heartbeat.

import { AppError, Limiter, messageOf, type Clock, type Logger } from '@varve/base';
import { jobResultSchema, type Job, type JobResult } from '@varve/contract';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { JobLog } from './job-log.ts';
import { JobWriter, endOfError, endOfOutcome, type JobWork } from './job-run.ts';
import type { JobEnd, JobStore, NewJob } from './job-store.ts';
import type { ProcessOwner } from './process-owner.ts';
import { stoppedJournal } from './stopped-journal.ts';

const heartbeatMs = 5000;
/** Of apps. A job for the repository has a place of its own: it may have to wait for those to end. */
const parallelJobs = 2;

interface JobEngineOptions {
  readonly catalogue: Catalogue;
  readonly jobs: JobStore;
  readonly log: JobLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly owner: ProcessOwner;
  /** Called when an unfinished job is in the way of a new one: ends those whose process is dead. */
  readonly endDeadJobs: () => Promise<void>;
  /** Called after each job of this process ended. */
  readonly onEnded?: (job: Job) => void;
}

interface RunningJob {
  readonly abort: AbortController;
  readonly done: Promise<void>;
}

function cancelReason(): AppError {
  return new AppError('CANCELLED', 'The job was cancelled.');
}

function shutdownReason(): AppError {
  return new AppError('JOB_INTERRUPTED', 'The job was cancelled because Varve was stopped.', {
    hint: 'Start it again. A scheduled snapshot is caught up by itself.',
  });
}

function lostReason(): AppError {
  return new AppError('JOB_INTERRUPTED', 'Another process took this job for dead and ended it.', {
    hint: 'Was this computer suspended? Start the job again.',
    context: { leaseLost: true },
  });
}

export class JobEngine {
  readonly #options: JobEngineOptions;
  readonly #limiter = new Limiter(parallelJobs);
  readonly #repositoryLimiter = new Limiter(1);
  readonly #running = new Map<string, RunningJob>();
  /** Ends that the database did not take (a full disk): tried again with each heartbeat. */
  readonly #unsaved = new Map<string, JobEnd>();
  #timer: NodeJS.Timeout | undefined;
  #isStopping = false;

  constructor(options: JobEngineOptions) {
    this.#options = options;
  }

  /** Adds a job that this process runs as soon as there is a place. APP_BUSY when another one is unfinished. */
  async start(input: NewJob, work: JobWork): Promise<Job> {
    if (this.#isStopping) throw new AppError('CANCELLED', 'Varve is being stopped; no job is started any more.');
    const job = (await this.#add(input)) ?? (await this.#addAgain(input));
    const abort = new AbortController();
    const done = this.#queue(job, abort, work).finally(() => this.#running.delete(job.id));
    this.#running.set(job.id, { abort, done });
    this.#timer ??= setInterval(() => void this.#heartbeat(), heartbeatMs);
    return job;
  }

  /** Runs the job when there is a place. One that is cancelled before ends at once. */
  async #queue(job: Job, abort: AbortController, work: JobWork): Promise<void> {
    const { signal } = abort;
    let isStarted = false;
    let ending: Promise<void> | undefined;
    signal.addEventListener(
      'abort',
      () => {
        if (!isStarted) ending = this.#end(job.id, endOfError(signal.reason, signal));
      },
      { once: true },
    );
    const limiter = job.appId === null ? this.#repositoryLimiter : this.#limiter;
    await limiter.run(async () => {
      isStarted = true;
      await (ending ?? this.#run(job, abort, work));
    });
  }

  #add(input: NewJob): Promise<Job | undefined> {
    return this.#options.jobs.add(input, this.#options.owner);
  }

  async #addAgain(input: NewJob): Promise<Job> {
    await this.#options.endDeadJobs();
    const job = await this.#add(input);
    if (job) return job;
    const active = await this.#options.jobs.active();
    const busy = active.find((other) => other.job.appId === input.appId);
    const what = input.appId === null ? 'The repository' : `The app ${input.appId}`;
    throw new AppError(
      'APP_BUSY',
      `${what} has a ${busy?.job.type ?? 'job'} under way: job ${busy?.job.id ?? 'unknown'}.`,
      {
        hint: 'Wait until it has ended, or cancel it.',
        context: { appId: input.appId, jobId: busy?.job.id, jobType: busy?.job.type },
        retry: true,
      },
    );
  }

  /** Asks a job to stop, wherever it runs. JOB_NOT_FOUND. */
  async cancel(id: string): Promise<Job> {
    await this.#options.jobs.get(id);
    await this.#options.jobs.requestCancel(id);
    this.#running.get(id)?.abort.abort(cancelReason());
    return this.#options.jobs.get(id);
  }

  /** Starts no further job, cancels those of this process, and waits until they have ended. */
  async shutdown(): Promise<void> {
    this.#isStopping = true;
    for (const { abort } of this.#running.values()) abort.abort(shutdownReason());
    await Promise.all([...this.#running.values()].map(({ done }) => done));
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#saveUnsaved();
  }

  async #run(job: Job, abort: AbortController, work: JobWork): Promise<void> {
    const { jobs, log, clock, logger, catalogue } = this.#options;
    const { signal } = abort;
    const writer = new JobWriter({ jobId: job.id, jobs, log, clock, logger });
    let end: JobEnd;
    let result: JobResult | undefined;
    // A row that cannot be read would make every list of jobs fail: a wrong result is a failure of the job.
    const setResult = (found: JobResult): void => void (result = jobResultSchema.parse(found));
    try {
      if (!(await jobs.markRunning(job.id))) throw lostReason();
      const stopped = stoppedJournal({ catalogue, clock, jobId: job.id });
      end = endOfOutcome(await work({ job, signal, stopped, setResult, log: writer.log, report: writer.report }));
    } catch (error) {
      end = endOfError(error, signal);
      if (end.error?.code === 'INTERNAL') {
        logger.error('a job failed unexpectedly', { jobId: job.id, stack: error instanceof Error ? error.stack : '' });
      }
    }
    await writer.finish();
    await this.#end(job.id, { ...end, result });
  }

  async #end(id: string, end: JobEnd): Promise<void> {
    const { jobs, logger, onEnded } = this.#options;
    try {
      await jobs.end(id, end);
      onEnded?.(await jobs.get(id));
    } catch (error) {
      this.#unsaved.set(id, end);
      logger.error('the end of a job could not be saved yet', { jobId: id, error: messageOf(error) });
    }
  }

  async #saveUnsaved(): Promise<void> {
    // What fails again is noted again, and waits for the next time.
    const unsaved = new Map(this.#unsaved);
    this.#unsaved.clear();
    for (const [id, end] of unsaved) await this.#end(id, end);
  }

  async #heartbeat(): Promise<void> {
    try {
      await this.#saveUnsaved();
      const ids = [...this.#running.keys()];
      if (ids.length === 0) return;
      const mine = await this.#options.jobs.heartbeat(ids);
      for (const id of ids) {
        const row = mine.find((candidate) => candidate.id === id);
        if (!row) this.#running.get(id)?.abort.abort(lostReason());
        else if (row.cancelRequested) this.#running.get(id)?.abort.abort(cancelReason());
      }
    } catch (error) {
      this.#options.logger.error('the heartbeat of jobs failed', { error: messageOf(error) });
    }
  }
}
