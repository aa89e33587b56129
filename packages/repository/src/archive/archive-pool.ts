// The archive's worker threads, with the brake that keeps them from making packs faster than the storage takes them.

import { availableParallelism } from 'node:os';
import { ThreadPool } from '../threads/thread-pool.ts';
import { controlWords, type ArchiveEvent, type Job, type JobResult, type WorkerSetup } from './worker-protocol.ts';

export interface ArchivePoolOptions {
  readonly setup: WorkerSetup;
  readonly threads: ArchiveThreads;
  readonly onEvent: (event: ArchiveEvent) => void;
}

export type ArchiveThreads = ThreadPool<Job, JobResult, ArchiveEvent>;

/** Threads that do not know yet what they are for; close them unless a pool takes them over. */
export function makeArchiveThreads(workers: number | undefined): ArchiveThreads {
  const file = new URL('./archive-worker.ts', import.meta.url);
  const threads = Math.max(1, workers ?? Math.max(2, availableParallelism()));
  return new ThreadPool({ file, threads, transfer });
}

export type JobOf<K extends Job['kind']> = Extract<Job, { kind: K }>;

/** The result that belongs to a kind of job. */
export type ResultOf<K extends Job['kind']> = Extract<JobResult, { kind: K }>;

/** Who does the jobs of an archive. */
export interface ArchiveWork {
  /** Jobs that may be under way at once. */
  readonly capacity: number;
  /** Runs a job; `prepare` is called when its turn has come. System errors reject as such. */
  run<K extends Job['kind']>(prepare: () => JobOf<K> | Promise<JobOf<K>>): Promise<ResultOf<K>>;
  /** Hands on what is not a full pack yet; call it when no job is left. */
  flush(): Promise<void>;
  /** A pack is stored: there is room for another. */
  packSettled(): void;
  /** Ends all work: every job rejects with `error`. */
  fail(error: unknown): void;
  close(): Promise<void>;
}

export class ArchivePool implements ArchiveWork {
  readonly #threads: ArchiveThreads;
  readonly #control: Int32Array;

  constructor({ setup, threads, onEvent }: ArchivePoolOptions) {
    this.#control = new Int32Array(setup.control);
    this.#threads = threads;
    threads.setUp(setup, onEvent);
  }

  /** Jobs that may be under way at once. */
  get capacity(): number {
    return this.#threads.capacity;
  }

  /** Runs a job; `prepare` is called when a thread is ready for it. System errors reject as such. */
  async run<K extends Job['kind']>(prepare: () => JobOf<K> | Promise<JobOf<K>>): Promise<ResultOf<K>> {
    // A thread answers each kind of job with its kind of result.
    return (await this.#threads.run(prepare)) as ResultOf<K>;
  }

  /** Makes every thread send what it has left; call it when no job is left. */
  async flush(): Promise<void> {
    await this.#threads.runOnEach({ kind: 'flush' });
  }

  /** A pack is stored: a thread may go on. */
  packSettled(): void {
    Atomics.sub(this.#control, controlWords.unstoredPacks, 1);
    Atomics.notify(this.#control, controlWords.unstoredPacks);
  }

  /** Ends all work: every job rejects with `error`. */
  fail(error: unknown): void {
    if (!this.#threads.fail(error)) return;
    Atomics.store(this.#control, controlWords.aborted, 1);
    Atomics.notify(this.#control, controlWords.unstoredPacks);
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    Atomics.store(this.#control, controlWords.aborted, 1);
    await this.#threads.close();
  }
}

function transfer(job: Job): ArrayBuffer[] {
  if (job.kind !== 'blob' && job.kind !== 'pages') return [];
  return job.bytes.byteLength === job.bytes.buffer.byteLength ? [job.bytes.buffer] : [];
}
