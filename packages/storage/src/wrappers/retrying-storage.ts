// Tries again what failed for a reason that may pass, with growing, jittered pauses. A try whose answer was lost may have
// had its effect: what the next one finds is then judged by that.

import { isAppError, retry, type RetryOptions } from '@varve/base';
import type {
  FileHandle,
  FileInfo,
  FileType,
  ListOptions,
  LoadOptions,
  SaveOptions,
  Storage,
  StorageCallOptions,
} from '../contract.ts';
import { partsOf } from '../transfer.ts';

/** As in {@link RetryOptions}; each call of the storage has its own signal. */
export type RetryPolicy = Omit<RetryOptions, 'signal' | 'isRetryable'>;

/** About a minute in all. */
export const defaultRetryPolicy: RetryPolicy = { attempts: 8, firstDelayMs: 500, maxDelayMs: 20_000 };

export class RetryingStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #inner: Storage;
  readonly #policy: RetryPolicy;

  constructor(inner: Storage, policy: RetryPolicy = defaultRetryPolicy) {
    this.#inner = inner;
    this.#policy = policy;
    this.location = inner.location;
    this.connections = inner.connections;
  }

  create(options: StorageCallOptions = {}): Promise<void> {
    return this.#retry(options, () => this.#inner.create(options));
  }

  save(handle: FileHandle, data: Uint8Array | readonly Uint8Array[], options: SaveOptions = {}): Promise<void> {
    return this.#retry(options, async (attempt) => {
      try {
        await this.#inner.save(handle, data, options);
      } catch (error) {
        const isOurs =
          attempt > 1 && isAppError(error, 'STORAGE_FILE_EXISTS') && (await this.#holds(handle, data, options));
        if (!isOurs) throw error;
      }
    });
  }

  load(handle: FileHandle, options: LoadOptions = {}): Promise<Uint8Array> {
    return this.#retry(options, () => this.#inner.load(handle, options));
  }

  stat(handle: FileHandle, options: StorageCallOptions = {}): Promise<FileInfo> {
    return this.#retry(options, () => this.#inner.stat(handle, options));
  }

  /** Begins anew after a failure and leaves out what was listed before it. */
  async *list(type: FileType, options: ListOptions = {}): AsyncGenerator<FileInfo> {
    const listed = new Set<string>();
    let inner: AsyncIterator<FileInfo> | undefined;
    try {
      for (;;) {
        const { done, value } = await this.#retry(options, async () => {
          inner ??= this.#inner.list(type, options)[Symbol.asyncIterator]();
          try {
            return await inner.next();
          } catch (error) {
            inner = undefined;
            throw error;
          }
        });
        if (done === true) return;
        if (listed.has(value.name)) continue;
        listed.add(value.name);
        yield value;
      }
    } finally {
      await inner?.return?.();
    }
  }

  remove(handle: FileHandle, options: StorageCallOptions = {}): Promise<void> {
    return this.#retry(options, async (attempt) => {
      try {
        await this.#inner.remove(handle, options);
      } catch (error) {
        if (attempt === 1 || !isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
      }
    });
  }

  serverTime(options: StorageCallOptions = {}): Promise<Date | null> {
    return this.#retry(options, async () => (await this.#inner.serverTime?.(options)) ?? null);
  }

  replace(handle: FileHandle, data: Uint8Array, options: StorageCallOptions = {}): Promise<boolean> {
    return this.#retry(options, async () => (await this.#inner.replace?.(handle, data, options)) ?? false);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #retry<T>({ signal }: StorageCallOptions, task: (attempt: number) => Promise<T>): Promise<T> {
    return retry({ ...this.#policy, signal }, task);
  }

  /** Whether the file under that name is what we were about to save. */
  async #holds(
    handle: FileHandle,
    data: Uint8Array | readonly Uint8Array[],
    options: StorageCallOptions,
  ): Promise<boolean> {
    const { parts, sizeBytes } = partsOf(data);
    if ((await this.#inner.stat(handle, options)).sizeBytes !== sizeBytes) return false;
    return Buffer.compare(await this.#inner.load(handle, options), Buffer.concat(parts)) === 0;
  }
}
