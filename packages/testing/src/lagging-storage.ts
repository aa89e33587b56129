// A storage whose lists lag behind, as object stores' once did and some gateways' still do: what was saved is not listed yet,
// what was removed still is, until the test lets the lists catch up. By its name a file is there, or not, at once.

import type {
  FileHandle,
  FileInfo,
  FileType,
  ListOptions,
  LoadOptions,
  SaveOptions,
  Storage,
  StorageCallOptions,
} from '@varve/storage';

export class LaggingStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #inner: Storage;
  /** Saved, and not listed yet. */
  readonly #hidden = new Set<string>();
  /** Removed, and still listed. */
  readonly #ghosts = new Map<string, { readonly type: FileType; readonly info: FileInfo }>();

  /** Wraps `inner`, which it does not close. What is there already is listed. */
  constructor(inner: Storage) {
    this.#inner = inner;
    this.location = inner.location;
    this.connections = inner.connections;
  }

  /** From now on the lists have everything that has happened until now. */
  catchUp(): void {
    this.#hidden.clear();
    this.#ghosts.clear();
  }

  create(options?: StorageCallOptions): Promise<void> {
    return this.#inner.create(options);
  }

  async save(handle: FileHandle, data: Uint8Array | readonly Uint8Array[], options?: SaveOptions): Promise<void> {
    await this.#inner.save(handle, data, options);
    // What was listed until now, the ghost of an older file, stays listed.
    if (!this.#ghosts.delete(keyOf(handle))) this.#hidden.add(keyOf(handle));
  }

  async remove(handle: FileHandle, options?: StorageCallOptions): Promise<void> {
    const info = await this.#inner.stat(handle, options);
    await this.#inner.remove(handle, options);
    if (!this.#hidden.delete(keyOf(handle))) this.#ghosts.set(keyOf(handle), { type: handle.type, info });
  }

  load(handle: FileHandle, options?: LoadOptions): Promise<Uint8Array> {
    return this.#inner.load(handle, options);
  }

  stat(handle: FileHandle, options?: StorageCallOptions): Promise<FileInfo> {
    return this.#inner.stat(handle, options);
  }

  async *list(type: FileType, options?: ListOptions): AsyncGenerator<FileInfo> {
    for await (const info of this.#inner.list(type, options)) {
      if (type === 'config' || !this.#hidden.has(keyOf({ type, name: info.name }))) yield info;
    }
    for (const ghost of this.#ghosts.values()) if (ghost.type === type) yield ghost.info;
  }

  async close(): Promise<void> {}
}

function keyOf({ type, name }: FileHandle): string {
  return `${type}/${name}`;
}
