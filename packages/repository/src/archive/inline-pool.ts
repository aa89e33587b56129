// Does the jobs of an archive in the thread that asks, one after the other: for archives of a few megabytes, where starting a thread
// costs many times what it would have to do.

import type { ArchivePoolOptions, ArchiveWork, JobOf, ResultOf } from './archive-pool.ts';
import { archiveJobs, type ArchiveJobsOptions } from './archive-jobs.ts';
import type { Job, JobResult } from './worker-protocol.ts';

export interface InlinePoolOptions
  extends Omit<ArchivePoolOptions, 'threads'>, Pick<ArchiveJobsOptions, 'engine' | 'libc'> {}

export class InlinePool implements ArchiveWork {
  readonly capacity = 1;
  readonly #run: (job: Job) => JobResult;
  readonly #maxUnstoredPacks: number;
  /** Of the job before. */
  #last: Promise<unknown> = Promise.resolve();
  #unstoredPacks = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor({ setup, onEvent, engine, libc }: InlinePoolOptions) {
    this.#maxUnstoredPacks = setup.maxUnstoredPacks;
    this.#run = archiveJobs(setup, {
      engine,
      libc,
      onPack: (pack) => {
        this.#unstoredPacks++;
        onEvent({ kind: 'pack', pack });
      },
      onPart: (part) => onEvent({ kind: 'part', part }),
      throwIfAborted: () => this.#throwIfFailed(),
    });
  }

  run<K extends Job['kind']>(prepare: () => JobOf<K> | Promise<JobOf<K>>): Promise<ResultOf<K>> {
    const done = this.#last.then(async () => {
      while (this.#unstoredPacks >= this.#maxUnstoredPacks && !this.#failure) {
        this.#room ??= Promise.withResolvers();
        await this.#room.promise;
      }
      this.#throwIfFailed();
      // Each kind of job has its kind of result.
      return this.#run(await prepare()) as ResultOf<K>;
    });
    this.#last = done.catch(() => {});
    return done;
  }

  async flush(): Promise<void> {
    await this.run<'flush'>(() => ({ kind: 'flush' }));
  }

  packSettled(): void {
    this.#unstoredPacks--;
    this.#makeRoom();
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#makeRoom();
  }

  async close(): Promise<void> {
    await this.#last;
  }

  #throwIfFailed(): void {
    if (this.#failure) throw this.#failure.error;
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
