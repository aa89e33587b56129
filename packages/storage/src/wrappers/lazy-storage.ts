// A storage whose client is loaded and connected at its first use, so that programs start fast and opening touches nothing.

import { throwIfAborted } from '@varve/base';
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

export class LazyStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #open: () => Promise<Storage>;
  #inner: Promise<Storage> | null = null;

  constructor(facts: { readonly location: string; readonly connections: number }, open: () => Promise<Storage>) {
    this.location = facts.location;
    this.connections = facts.connections;
    this.#open = open;
  }

  async create(options?: StorageCallOptions): Promise<void> {
    await (await this.#opened(options)).create(options);
  }

  async save(handle: FileHandle, data: Uint8Array | readonly Uint8Array[], options?: SaveOptions): Promise<void> {
    await (await this.#opened(options)).save(handle, data, options);
  }

  async load(handle: FileHandle, options?: LoadOptions): Promise<Uint8Array> {
    return (await this.#opened(options)).load(handle, options);
  }

  async stat(handle: FileHandle, options?: StorageCallOptions): Promise<FileInfo> {
    return (await this.#opened(options)).stat(handle, options);
  }

  async *list(type: FileType, options?: ListOptions): AsyncGenerator<FileInfo> {
    yield* (await this.#opened(options)).list(type, options);
  }

  async remove(handle: FileHandle, options?: StorageCallOptions): Promise<void> {
    await (await this.#opened(options)).remove(handle, options);
  }

  async serverTime(options?: StorageCallOptions): Promise<Date | null> {
    return (await (await this.#opened(options)).serverTime?.(options)) ?? null;
  }

  async close(): Promise<void> {
    const inner = await this.#inner?.catch(() => null);
    await inner?.close();
  }

  /** A failure is not kept: the next call tries again. */
  #opened(options: StorageCallOptions | undefined): Promise<Storage> {
    throwIfAborted(options?.signal);
    this.#inner ??= this.#open().catch((error: unknown) => {
      this.#inner = null;
      throw error;
    });
    return this.#inner;
  }
}
