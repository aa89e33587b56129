// Runs a bounded number of calls at once; the others wait in order of arrival. A list takes a place only while it waits for
// its next entry, so that whoever reads files while listing cannot lock himself out.

import { cancelledError, Limiter, throwIfAborted } from '@varve/base';
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

export class LimitedStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #inner: Storage;
  readonly #limiter: Limiter;

  /** `connections` at least 1. */
  constructor(inner: Storage, connections: number) {
    this.#inner = inner;
    this.#limiter = new Limiter(connections);
    this.location = inner.location;
    this.connections = connections;
  }

  create(options: StorageCallOptions = {}): Promise<void> {
    return this.#run(options.signal, () => this.#inner.create(options));
  }

  save(handle: FileHandle, data: Uint8Array | readonly Uint8Array[], options: SaveOptions = {}): Promise<void> {
    return this.#run(options.signal, () => this.#inner.save(handle, data, options));
  }

  load(handle: FileHandle, options: LoadOptions = {}): Promise<Uint8Array> {
    return this.#run(options.signal, () => this.#inner.load(handle, options));
  }

  stat(handle: FileHandle, options: StorageCallOptions = {}): Promise<FileInfo> {
    return this.#run(options.signal, () => this.#inner.stat(handle, options));
  }

  async *list(type: FileType, options: ListOptions = {}): AsyncGenerator<FileInfo> {
    const inner = this.#inner.list(type, options)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const { done, value } = await this.#run(options.signal, () => inner.next());
        if (done === true) return;
        yield value;
      }
    } finally {
      await inner.return?.();
    }
  }

  remove(handle: FileHandle, options: StorageCallOptions = {}): Promise<void> {
    return this.#run(options.signal, () => this.#inner.remove(handle, options));
  }

  serverTime(options: StorageCallOptions = {}): Promise<Date | null> {
    return this.#run(options.signal, async () => (await this.#inner.serverTime?.(options)) ?? null);
  }

  replace(handle: FileHandle, data: Uint8Array, options: StorageCallOptions = {}): Promise<boolean> {
    return this.#run(options.signal, async () => (await this.#inner.replace?.(handle, data, options)) ?? false);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /** A task that is still waiting when the signal aborts is rejected at once and never run. */
  async #run<T>(signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    throwIfAborted(signal);
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const onAbort = (): void => reject(cancelledError(signal));
    signal?.addEventListener('abort', onAbort, { once: true });
    const turn = this.#limiter.run(async () => {
      signal?.removeEventListener('abort', onAbort);
      if (signal?.aborted) return;
      await task().then(resolve, reject);
    });
    // The turn itself never fails; its place is given back when the task has ended.
    turn.catch(reject);
    return promise;
  }
}
