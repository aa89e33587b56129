// Worker threads that do jobs: started when there is work, given the newest job first (which keeps few things half done),
// two jobs each so that none waits for the main thread. When a thread dies, every job fails.

import { Worker } from 'node:worker_threads';
import { AppError, errorCodes, type ErrorCode } from '@varve/base';

/** One under way and one to go on with. */
const jobsPerThread = 2;
/** Semi-spaces of 4 MiB: 32 MB a thread less than V8's default, for a few per cent more collecting. */
const youngGenerationMb = 12;

/** What a thread is sent: its setup first, then jobs. */
export type ThreadRequest<Job> =
  | { readonly kind: 'setup'; readonly setup: object }
  | { readonly kind: 'job'; readonly number: number; readonly job: Job };

/** What a thread sends: the end of a job, or something of its own. */
export type ThreadMessage<Result, Event> =
  | { readonly kind: 'done'; readonly number: number; readonly result: Result }
  | { readonly kind: 'failed'; readonly number: number; readonly error: ThreadError }
  | { readonly kind: 'event'; readonly event: Event };

export interface ThreadError {
  readonly message: string;
  readonly code?: string;
  readonly syscall?: string;
}

interface QueuedJob<Job, Result> {
  readonly prepare: () => Job | Promise<Job>;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

interface Thread<Job, Result> {
  readonly worker: Worker;
  readonly jobs: Map<number, QueuedJob<Job, Result>>;
  reserved: number;
}

export interface ThreadPoolOptions<Job, Event> {
  /** The file of the threads; it calls `serveJobs`. */
  readonly file: URL;
  /** What the threads are given before their first job; {@link ThreadPool.setUp} tells it later when it is absent. */
  readonly setup?: object | undefined;
  readonly threads: number;
  /** Buffers that go over with a job instead of being copied. */
  readonly transfer: (job: Job) => readonly ArrayBuffer[];
  readonly onEvent?: ((event: Event) => void) | undefined;
}

export class ThreadPool<Job, Result, Event = never> {
  readonly #options: ThreadPoolOptions<Job, Event>;
  #setup: object | undefined;
  #onEvent: ((event: Event) => void) | undefined;
  readonly #threads: Thread<Job, Result>[] = [];
  readonly #queue: QueuedJob<Job, Result>[] = [];
  #nextNumber = 0;
  #failure: { readonly error: unknown } | undefined;

  constructor(options: ThreadPoolOptions<Job, Event>) {
    this.#options = options;
    this.#setup = options.setup;
    this.#onEvent = options.onEvent;
  }

  /** Starts all threads at once instead of when there is work: they load their modules meanwhile. */
  start(): void {
    while (this.#threads.length < this.#options.threads) this.#startThread();
  }

  /** Tells the threads that were started without it what they are for. Once, before the first job. */
  setUp(setup: object, onEvent?: (event: Event) => void): void {
    this.#setup = setup;
    this.#onEvent = onEvent;
    for (const { worker } of this.#threads)
      worker.postMessage({ kind: 'setup', setup } satisfies ThreadRequest<Job>, []);
  }

  /** Threads when all are started. */
  get size(): number {
    return this.#options.threads;
  }

  /** Jobs that may be under way at once. */
  get capacity(): number {
    return this.#options.threads * jobsPerThread;
  }

  /** Runs a job; `prepare` is called when a thread is ready for it. System errors reject with their `code` and `syscall`. */
  run(prepare: () => Job | Promise<Job>): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#failure) {
        reject(this.#failure.error);
        return;
      }
      this.#queue.push({ prepare, resolve, reject });
      this.#dispatch();
    });
  }

  /** Runs a job on every thread that was started and yields their results; call it when no other job is left. */
  async runOnEach(job: Job): Promise<Result[]> {
    if (this.#failure) throw this.#failure.error;
    const run = (thread: Thread<Job, Result>): Promise<Result> =>
      new Promise((resolve, reject) => this.#send(thread, { prepare: () => job, resolve, reject }, job));
    return Promise.all(this.#threads.map(run));
  }

  /** Ends all work: every job, also every later one, rejects with `error`. Yields false when it had failed before. */
  fail(error: unknown): boolean {
    if (this.#failure) return false;
    this.#failure = { error };
    for (const job of this.#queue.splice(0)) job.reject(error);
    for (const thread of this.#threads) {
      for (const job of thread.jobs.values()) job.reject(error);
      thread.jobs.clear();
    }
    return true;
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    this.fail(new AppError('CANCELLED', 'The work was ended.'));
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const thread = this.#freeThread();
      if (!thread) return;
      const queued = this.#queue.pop();
      if (queued) void this.#assign(thread, queued);
    }
  }

  #freeThread(): Thread<Job, Result> | undefined {
    let best: Thread<Job, Result> | undefined;
    for (const thread of this.#threads) if (!best || thread.reserved < best.reserved) best = thread;
    if (best && best.reserved === 0) return best;
    if (this.#threads.length < this.#options.threads) return this.#startThread();
    return best && best.reserved < jobsPerThread ? best : undefined;
  }

  async #assign(thread: Thread<Job, Result>, queued: QueuedJob<Job, Result>): Promise<void> {
    thread.reserved++;
    try {
      const job = await queued.prepare();
      if (this.#failure) throw this.#failure.error;
      this.#send(thread, queued, job);
    } catch (error) {
      thread.reserved--;
      queued.reject(error);
      this.#dispatch();
    }
  }

  #send(thread: Thread<Job, Result>, queued: QueuedJob<Job, Result>, job: Job): void {
    const number = this.#nextNumber++;
    thread.jobs.set(number, queued);
    thread.worker.postMessage({ kind: 'job', number, job } satisfies ThreadRequest<Job>, this.#options.transfer(job));
  }

  #startThread(): Thread<Job, Result> {
    const resourceLimits = { maxYoungGenerationSizeMb: youngGenerationMb };
    const worker = new Worker(this.#options.file, { resourceLimits });
    const setup = this.#setup;
    if (setup) worker.postMessage({ kind: 'setup', setup } satisfies ThreadRequest<Job>, []);
    const thread: Thread<Job, Result> = { worker, jobs: new Map(), reserved: 0 };
    worker.on('message', (message: ThreadMessage<Result, Event>) => this.#receive(thread, message));
    worker.on('error', (error) => this.fail(error));
    worker.on('exit', () => this.fail(new AppError('INTERNAL', 'A worker thread ended unexpectedly.')));
    this.#threads.push(thread);
    return thread;
  }

  #receive(thread: Thread<Job, Result>, message: ThreadMessage<Result, Event>): void {
    if (message.kind === 'event') {
      this.#onEvent?.(message.event);
      return;
    }
    const queued = thread.jobs.get(message.number);
    thread.jobs.delete(message.number);
    if (queued) {
      if (message.kind === 'done') queued.resolve(message.result);
      else queued.reject(toError(message.error));
    }
    thread.reserved = Math.max(0, thread.reserved - 1);
    this.#dispatch();
  }
}

function toError({ code, message, syscall }: ThreadError): Error {
  if (code !== undefined && Object.hasOwn(errorCodes, code)) return new AppError(code as ErrorCode, message);
  return Object.assign(new Error(message), { code, syscall });
}
