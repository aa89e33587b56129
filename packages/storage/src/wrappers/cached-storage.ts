// Keeps index and snapshot files, and packs that the caller wants kept, in a folder of this machine. Lists, and everything that
// is not there, come from the storage itself. What another process has removed may still be had until the next list.

import { AppError, isAppError, throwIfAborted } from '@varve/base';
import type { CachedHandle, CachedType, FileCache } from '../cache/file-cache.ts';
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
import { describeHandle } from '../file-names.ts';

export class CachedStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #inner: Storage;
  readonly #cache: FileCache;
  /** Packs that are being fetched whole: several parts of one are often wanted at once. */
  readonly #fetching = new Map<string, Promise<Uint8Array>>();

  constructor(inner: Storage, cache: FileCache) {
    this.#inner = inner;
    this.#cache = cache;
    this.location = inner.location;
    this.connections = inner.connections;
  }

  create(options?: StorageCallOptions): Promise<void> {
    return this.#inner.create(options);
  }

  async save(handle: FileHandle, data: Uint8Array | readonly Uint8Array[], options: SaveOptions = {}): Promise<void> {
    await this.#inner.save(handle, data, options);
    if (!isKept(handle, options.keep)) return;
    await this.#cache.write(handle, data instanceof Uint8Array ? [data] : data);
  }

  async load(handle: FileHandle, options: LoadOptions = {}): Promise<Uint8Array> {
    throwIfAborted(options.signal);
    const { offset = 0, length } = options;
    if (!isKept(handle, options.keep) || offset < 0) return this.#inner.load(handle, options);
    if (options.fresh !== true) {
      const cached = await this.#cache.read(handle, { offset, length });
      throwIfAborted(options.signal);
      if (cached) return cached;
    }
    const whole = await this.#fetch(handle, options);
    return partOf(whole, options, `${describeHandle(handle)} from ${this.location}`);
  }

  stat(handle: FileHandle, options?: StorageCallOptions): Promise<FileInfo> {
    return this.#inner.stat(handle, options);
  }

  async *list(type: FileType, options: ListOptions = {}): AsyncGenerator<FileInfo> {
    if (!isCachedType(type)) return yield* this.#inner.list(type, options);
    const present = new Set<string>();
    for await (const file of this.#inner.list(type, options)) {
      present.add(file.name);
      yield file;
    }
    await this.#cache.retain(type, present);
  }

  async remove(handle: FileHandle, options?: StorageCallOptions): Promise<void> {
    try {
      await this.#inner.remove(handle, options);
    } catch (error) {
      if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
      await this.#forget(handle);
      throw error;
    }
    await this.#forget(handle);
  }

  async serverTime(options?: StorageCallOptions): Promise<Date | null> {
    return (await this.#inner.serverTime?.(options)) ?? null;
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #forget({ type, name }: FileHandle): Promise<void> {
    if (isCachedType(type)) await this.#cache.remove({ type, name });
  }

  /** The whole file from the storage, which is kept. */
  async #fetch(handle: CachedHandle, options: LoadOptions): Promise<Uint8Array> {
    const { signal, onTransfer, fresh } = options;
    const key = `${handle.type} ${handle.name}`;
    const running = fresh === true ? undefined : this.#fetching.get(key);
    if (running) {
      const shared = await running.catch(() => null);
      throwIfAborted(signal);
      // Whoever fetched it may have been cancelled; this caller was not.
      if (shared) return shared;
    }
    const fetched = this.#inner.load(handle, { signal, onTransfer, fresh }).catch(async (error: unknown) => {
      if (isAppError(error, 'STORAGE_FILE_NOT_FOUND')) await this.#cache.remove(handle);
      throw error;
    });
    this.#fetching.set(key, fetched);
    try {
      const bytes = await fetched;
      await this.#cache.write(handle, [bytes]);
      return bytes;
    } finally {
      if (this.#fetching.get(key) === fetched) this.#fetching.delete(key);
    }
  }
}

function isCachedType(type: FileType): type is CachedType {
  return type === 'index' || type === 'snapshot' || type === 'pack';
}

function isKept(handle: FileHandle, keep: boolean | undefined): handle is CachedHandle {
  return handle.type === 'index' || handle.type === 'snapshot' || (handle.type === 'pack' && keep === true);
}

function partOf(whole: Uint8Array, { offset = 0, length }: LoadOptions, what: string): Uint8Array {
  const end = length === undefined ? whole.length : offset + length;
  if (offset <= whole.length && end <= whole.length) return whole.subarray(offset, end);
  throw new AppError('STORAGE_DAMAGED', `Could not load ${what}: it has ${whole.length} bytes, fewer than ${end}.`);
}
