// Holds the bytes of all transfers together below a rate, in each direction, with a bucket of tokens (one second's worth).

import { TokenBucket } from '@varve/base';
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

export interface TransferRates {
  readonly uploadBytesPerSecond?: number | undefined;
  readonly downloadBytesPerSecond?: number | undefined;
}

export class ThrottledStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #inner: Storage;
  readonly #up: TokenBucket | null;
  readonly #down: TokenBucket | null;

  constructor(inner: Storage, { uploadBytesPerSecond: up, downloadBytesPerSecond: down }: TransferRates) {
    this.#inner = inner;
    this.#up = up === undefined ? null : new TokenBucket(up);
    this.#down = down === undefined ? null : new TokenBucket(down);
    this.location = inner.location;
    this.connections = inner.connections;
  }

  create(options?: StorageCallOptions): Promise<void> {
    return this.#inner.create(options);
  }

  save(handle: FileHandle, data: Uint8Array | readonly Uint8Array[], options: SaveOptions = {}): Promise<void> {
    return this.#inner.save(handle, data, { ...options, onTransfer: paced(this.#up, options) });
  }

  load(handle: FileHandle, options: LoadOptions = {}): Promise<Uint8Array> {
    return this.#inner.load(handle, { ...options, onTransfer: paced(this.#down, options) });
  }

  stat(handle: FileHandle, options?: StorageCallOptions): Promise<FileInfo> {
    return this.#inner.stat(handle, options);
  }

  list(type: FileType, options?: ListOptions): AsyncIterable<FileInfo> {
    return this.#inner.list(type, options);
  }

  remove(handle: FileHandle, options?: StorageCallOptions): Promise<void> {
    return this.#inner.remove(handle, options);
  }

  async serverTime(options: StorageCallOptions = {}): Promise<Date | null> {
    return (await this.#inner.serverTime?.(options)) ?? null;
  }

  async replace(handle: FileHandle, data: Uint8Array, options: StorageCallOptions = {}): Promise<boolean> {
    return (await this.#inner.replace?.(handle, data, options)) ?? false;
  }

  close(): Promise<void> {
    return this.#inner.close();
  }
}

function paced(bucket: TokenBucket | null, { onTransfer, signal }: StorageCallOptions): OnTransfer | undefined {
  if (bucket === null) return onTransfer;
  return async (bytes) => {
    await onTransfer?.(bytes);
    await bucket.take(bytes, signal);
  };
}
