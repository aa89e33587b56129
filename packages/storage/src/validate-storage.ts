// “Validate this storage”: does the place do what a repository relies on? Tried with small files of our own, which are
// removed again; a repository that is there is not touched.

import { createHash, randomBytes } from 'node:crypto';
import { AppError, isAppError, messageOf, throwIfAborted, type Clock, type ErrorCode } from '@varve/base';
import type { FileHandle, Storage } from './contract.ts';

/** What is tried, in this order. */
export type StorageCheckName =
  | 'create'
  | 'save'
  | 'overwrite-refused'
  | 'read'
  | 'list'
  | 'concurrency'
  | 'remove'
  | 'clock';

export interface StorageCheck {
  readonly name: StorageCheckName;
  /** `skipped` when it cannot be tried here, or an earlier failure makes it pointless. */
  readonly outcome: 'passed' | 'failed' | 'skipped';
  /** For people: what was seen, or what failed. */
  readonly detail: string;
  /** What to do about a failure. */
  readonly hint: string | undefined;
  /** Of a failure. */
  readonly code: ErrorCode | undefined;
  readonly durationMs: number;
}

export interface ValidateOptions {
  readonly signal?: AbortSignal | undefined;
  /** For the comparison with the server's clock. */
  readonly clock?: Clock | undefined;
}

/** Small enough for any line, large enough for ranges to mean something. */
const sampleBytes = 64 * 1024;
const writersAtOnce = 8;
/** Amazon refuses requests that are off by 15 minutes; locks count as stale by the minute. */
const skewLimitMs = 60_000;

interface Step {
  readonly name: StorageCheckName;
  /** Yields what was seen; null when it cannot be tried here. */
  run(): Promise<string | null>;
}

/**
 * Yields each check as it ends, and never fails for what the storage does, only with CANCELLED. Files are packs with random
 * content: of all files the only ones that a repository in use passes over when no index names them, and prune takes away.
 * They are removed at the end, also after a failure and when the reader leaves early. Folders that `create` makes stay.
 */
export async function* storageChecks(storage: Storage, options: ValidateOptions = {}): AsyncGenerator<StorageCheck> {
  const { signal } = options;
  throwIfAborted(signal);
  const trial = new Trial(storage, options);
  const checks: StorageCheck[] = [];
  try {
    for (const step of trial.steps()) {
      throwIfAborted(signal);
      const check = isBlocked(step.name, checks) ? blocked(step.name) : await runStep(step, signal);
      checks.push(check);
      yield check;
    }
  } finally {
    await trial.cleanUp();
  }
}

/** All of {@link storageChecks}. */
export function validateStorage(storage: Storage, options: ValidateOptions = {}): Promise<readonly StorageCheck[]> {
  return Array.fromAsync(storageChecks(storage, options));
}

/** After a failure of the basics the rest says nothing new; a clock that is off may be the reason of it. */
function isBlocked(name: StorageCheckName, checks: readonly StorageCheck[]): boolean {
  const failed = checks.find((each) => each.outcome === 'failed' && (each.name === 'create' || each.name === 'save'));
  return failed !== undefined && (name !== 'clock' || failed.code === 'STORAGE_UNREACHABLE');
}

function blocked(name: StorageCheckName): StorageCheck {
  const detail = 'Not tried after the failure above.';
  return { name, outcome: 'skipped', detail, hint: undefined, code: undefined, durationMs: 0 };
}

async function runStep({ name, run }: Step, signal: AbortSignal | undefined): Promise<StorageCheck> {
  const startedAt = performance.now();
  const ended = (): number => Math.round(performance.now() - startedAt);
  try {
    const detail = await run();
    const outcome = detail === null ? 'skipped' : 'passed';
    const facts = { hint: undefined, code: undefined, durationMs: ended() };
    return { name, outcome, detail: detail ?? 'Cannot be tried here.', ...facts };
  } catch (error) {
    throwIfAborted(signal);
    const { hint, code = 'INTERNAL' } = error instanceof AppError ? error : {};
    return { name, outcome: 'failed', detail: messageOf(error), hint, code, durationMs: ended() };
  }
}

interface Sample {
  readonly handle: FileHandle;
  readonly data: Buffer;
}

class Trial {
  readonly #storage: Storage;
  readonly #signal: AbortSignal | undefined;
  readonly #clock: Clock;
  readonly #samples: Sample[] = [];

  constructor(storage: Storage, { signal, clock }: ValidateOptions) {
    this.#storage = storage;
    this.#signal = signal;
    this.#clock = clock ?? { now: () => new Date() };
  }

  steps(): Step[] {
    const first = this.#newSample();
    return [
      { name: 'create', run: () => this.#create() },
      { name: 'save', run: () => this.#save(first) },
      { name: 'overwrite-refused', run: () => this.#overwrite(first) },
      { name: 'read', run: () => this.#read(first) },
      { name: 'list', run: () => this.#list(first) },
      { name: 'concurrency', run: () => this.#writeAtOnce() },
      { name: 'remove', run: () => this.#remove(first) },
      { name: 'clock', run: () => this.#compareClocks() },
    ];
  }

  /** Best effort: what cannot be removed is a pack that no index names. */
  async cleanUp(): Promise<void> {
    await Promise.allSettled(this.#samples.map(({ handle }) => this.#storage.remove(handle)));
  }

  #newSample(): Sample {
    const data = randomBytes(sampleBytes);
    const name = createHash('sha256').update(data).digest('hex');
    const sample: Sample = { handle: { type: 'pack', name }, data };
    this.#samples.push(sample);
    return sample;
  }

  get #options(): { readonly signal: AbortSignal | undefined } {
    return { signal: this.#signal };
  }

  async #create(): Promise<string> {
    await this.#storage.create(this.#options);
    return `${this.#storage.location} can be used.`;
  }

  async #save({ handle, data }: Sample): Promise<string> {
    await this.#storage.save(handle, data, this.#options);
    const { sizeBytes } = await this.#storage.stat(handle, this.#options);
    expect(sizeBytes === data.length, `The file has ${sizeBytes} bytes after ${data.length} were saved.`);
    return `A file of ${data.length} bytes was saved.`;
  }

  async #overwrite({ handle, data }: Sample): Promise<string> {
    try {
      await this.#storage.save(handle, randomBytes(10), this.#options);
    } catch (error) {
      if (!isAppError(error, 'STORAGE_FILE_EXISTS')) throw error;
      const found = await this.#storage.load(handle, this.#options);
      expect(data.equals(found), 'The file was changed although saving over it was refused.');
      return 'A file that is there is not replaced.';
    }
    throw new Error('A file that is there was replaced.');
  }

  async #read({ handle, data }: Sample): Promise<string> {
    const whole = await this.#storage.load(handle, this.#options);
    expect(data.equals(whole), 'The file came back different from what was saved.');
    for (const [range, expected] of [
      [{ offset: 1000, length: 500 }, data.subarray(1000, 1500)],
      [{ offset: -100 }, data.subarray(-100)],
    ] as const) {
      const found = await this.#storage.load(handle, { ...range, ...this.#options });
      expect(expected.equals(found), `A range (from ${range.offset}) came back different from what was saved.`);
    }
    return 'The whole file and ranges of it come back as they were saved.';
  }

  async #list({ handle, data }: Sample): Promise<string> {
    let sizeBytes: number | undefined;
    let count = 0;
    for await (const info of this.#storage.list(handle.type, this.#options)) {
      count++;
      if (info.name === handle.name) ({ sizeBytes } = info);
    }
    expect(sizeBytes !== undefined, 'A file that was just saved is not listed.');
    expect(sizeBytes === data.length, `The list says ${sizeBytes} bytes of a file that has ${data.length}.`);
    return `A new file is listed at once, with its size (${count} files of its kind).`;
  }

  async #writeAtOnce(): Promise<string> {
    const startedAt = performance.now();
    const samples = Array.from({ length: writersAtOnce }, () => this.#newSample());
    await settleAll(samples.map(({ handle, data }) => this.#storage.save(handle, data, this.#options)));
    const found = await settleAll(samples.map(({ handle }) => this.#storage.load(handle, this.#options)));
    for (const [index, { data }] of samples.entries()) {
      expect(data.equals(found[index] ?? Buffer.alloc(0)), 'Of several files saved at once one came back different.');
    }
    const durationMs = Math.round(performance.now() - startedAt);
    return `${writersAtOnce} files were saved and read at once in ${durationMs} ms (${this.#storage.connections} connections).`;
  }

  async #remove({ handle }: Sample): Promise<string> {
    await this.#storage.remove(handle, this.#options);
    const isThere = await this.#storage.stat(handle, this.#options).then(
      () => true,
      (error: unknown) => {
        if (isAppError(error, 'STORAGE_FILE_NOT_FOUND')) return false;
        throw error;
      },
    );
    expect(!isThere, 'A file that was removed is still there.');
    return 'A file can be removed, and is then gone.';
  }

  async #compareClocks(): Promise<string | null> {
    const before = this.#clock.now().getTime();
    const serverTime = await this.#storage.serverTime?.(this.#options);
    const after = this.#clock.now().getTime();
    if (!serverTime) return null;
    // HTTP dates are whole seconds.
    const skewMs = Math.max(0, before - (serverTime.getTime() + 999), serverTime.getTime() - after);
    const seconds = Math.round(skewMs / 1000);
    if (skewMs <= skewLimitMs) return seconds === 0 ? 'The clocks agree.' : `The clocks differ by ${seconds} s.`;
    const direction = serverTime.getTime() > after ? 'behind' : 'ahead of';
    throw new AppError('STORAGE_DENIED', `The clock here is ${seconds} s ${direction} the server’s.`, {
      hint: 'Set the clock of this machine (timedatectl set-ntp true): requests and locks rely on it.',
    });
  }
}

/** What a storage should have done and did not; the check then fails with that. */
function expect(condition: boolean, message: string): asserts condition {
  if (condition) return;
  throw new AppError('STORAGE_DAMAGED', message, {
    hint: 'This storage does not keep what a repository relies on: do not use it before that is explained.',
  });
}

/** Waits for all, then yields their results or throws the first failure. */
async function settleAll<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(promises);
  return Promise.all(promises);
}
