// A watchdog on progress: a call that has neither moved a byte nor answered for a while is given up as unreachable, however
// long the whole of it may take. What a storage does not announce (`onTransfer`) counts as one step.

import { AppError, formatDuration, throwIfAborted } from '@varve/base';
import type {
  FileHandle,
  FileInfo,
  FileType,
  ListOptions,
  LoadOptions,
  OnTransfer,
  SaveOptions,
  Storage,
  StorageCallOptions,
} from '../contract.ts';

interface Watch extends AsyncDisposable {
  readonly signal: AbortSignal;
  readonly onTransfer: OnTransfer;
}

export class GuardedStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #inner: Storage;
  readonly #stallMs: number;

  /** `stallMs` without any progress end a call. */
  constructor(inner: Storage, stallMs: number) {
    this.#inner = inner;
    this.#stallMs = stallMs;
    this.location = inner.location;
    this.connections = inner.connections;
  }

  create(options: StorageCallOptions = {}): Promise<void> {
    return this.#watched(options, (watched) => this.#inner.create(watched));
  }

  save(handle: FileHandle, data: Uint8Array | readonly Uint8Array[], options: SaveOptions = {}): Promise<void> {
    return this.#watched(options, (watched) => this.#inner.save(handle, data, { ...options, ...watched }));
  }

  load(handle: FileHandle, options: LoadOptions = {}): Promise<Uint8Array> {
    return this.#watched(options, (watched) => this.#inner.load(handle, { ...options, ...watched }));
  }

  stat(handle: FileHandle, options: StorageCallOptions = {}): Promise<FileInfo> {
    return this.#watched(options, (watched) => this.#inner.stat(handle, watched));
  }

  async *list(type: FileType, options: ListOptions = {}): AsyncGenerator<FileInfo> {
    const controller = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, controller.signal]) : controller.signal;
    const inner = this.#inner.list(type, { ...options, signal })[Symbol.asyncIterator]();
    try {
      for (;;) {
        // The time that the reader takes between two entries is not the storage's.
        const timer = setTimeout(() => controller.abort(this.#stalled()), this.#stallMs);
        const { done, value } = await settledOrAborted(() => inner.next(), signal).finally(() => clearTimeout(timer));
        if (done === true) return;
        yield value;
      }
    } finally {
      if (!signal.aborted) await inner.return?.();
    }
  }

  remove(handle: FileHandle, options: StorageCallOptions = {}): Promise<void> {
    return this.#watched(options, (watched) => this.#inner.remove(handle, watched));
  }

  serverTime(options: StorageCallOptions = {}): Promise<Date | null> {
    return this.#watched(options, async (watched) => (await this.#inner.serverTime?.(watched)) ?? null);
  }

  replace(handle: FileHandle, data: Uint8Array, options: StorageCallOptions = {}): Promise<boolean> {
    return this.#watched(options, async (watched) => (await this.#inner.replace?.(handle, data, watched)) ?? false);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #watched<T>(
    options: StorageCallOptions,
    task: (watched: { signal: AbortSignal; onTransfer: OnTransfer }) => Promise<T>,
  ): Promise<T> {
    await using watch = this.#watch(options);
    return await task({ signal: watch.signal, onTransfer: watch.onTransfer });
  }

  #watch(options: StorageCallOptions): Watch {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(this.#stalled()), this.#stallMs);
    return {
      signal: options.signal ? AbortSignal.any([options.signal, controller.signal]) : controller.signal,
      onTransfer: async (bytes) => {
        timer.refresh();
        await options.onTransfer?.(bytes);
        timer.refresh();
      },
      [Symbol.asyncDispose]: async () => clearTimeout(timer),
    };
  }

  #stalled(): AppError {
    return new AppError(
      'STORAGE_UNREACHABLE',
      `${this.location} has not moved for ${formatDuration(this.#stallMs)}; the call was given up.`,
      { retry: true, hint: 'Check the network and the storage. A slower storage may need a longer time-out.' },
    );
  }
}

/** What the task yields, or the signal's reason when that comes first. */
async function settledOrAborted<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
  throwIfAborted(signal);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    try {
      throwIfAborted(signal);
    } catch (error) {
      reject(error);
    }
  };
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([task(), aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
