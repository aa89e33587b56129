// A repository in an object store, with restic's layout below a prefix. What a store cannot refuse by itself is looked for
// first, one save of a name at a time; a save that was broken off is undone.

import { AppError, isAppError, sleep, throwIfAborted } from '@varve/base';
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
import { checkHandle, describeHandle, folders, isFileName } from '../file-names.ts';
import { NameGate } from '../name-gate.ts';
import { loadRange } from '../range.ts';
import { partsOf } from '../transfer.ts';
import type { ObjectClient } from './object-client.ts';

const undoLimitMs = 5000;
const undoPauseMs = 100;

export interface ObjectStorageOptions {
  readonly location: string;
  readonly connections: number;
  /** Without slashes at its ends; may be empty. */
  readonly prefix: string;
  readonly client: ObjectClient;
}

export class ObjectStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #client: ObjectClient;
  readonly #prefix: string;
  readonly #gate = new NameGate();

  constructor({ location, connections, prefix, client }: ObjectStorageOptions) {
    this.location = location;
    this.connections = connections;
    this.#client = client;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
  }

  create({ signal }: StorageCallOptions = {}): Promise<void> {
    return this.#do(`prepare ${this.location}`, signal, () => this.#client.createPlace({ signal }));
  }

  async save(
    handle: FileHandle,
    data: Uint8Array | readonly Uint8Array[],
    { signal, onTransfer, rarelyRead = false }: SaveOptions = {},
  ): Promise<void> {
    throwIfAborted(signal);
    const key = this.#key(handle);
    const body = { ...partsOf(data), type: handle.type, rarelyRead };
    const action = `save ${describeHandle(handle)} to ${this.location}`;
    await this.#gate.run(key, signal, () =>
      this.#do(action, signal, async () => {
        const isTaken = !this.#client.refusesReplacement && (await this.#exists(key, action, signal));
        const outcome = isTaken
          ? 'exists'
          : await this.#client.put(key, body, { signal, onTransfer }).catch(async (error: unknown) => {
              // A name that is a hash is nobody else's; a config may be, where nobody looked first.
              if (handle.type !== 'config' || !this.#client.refusesReplacement) await this.#undo(key, error, action);
              throw error;
            });
        if (outcome === 'exists') throw new AppError('STORAGE_FILE_EXISTS', `Could not ${action}: the name is taken.`);
      }),
    );
  }

  async load(handle: FileHandle, options: LoadOptions = {}): Promise<Uint8Array> {
    const { signal, onTransfer } = options;
    const key = this.#key(handle);
    const what = `${describeHandle(handle)} from ${this.location}`;
    return this.#do(`load ${what}`, signal, () =>
      loadRange(
        {
          suffixes: this.#client.suffixes,
          sizeBytes: () => this.#client.sizeOf(key, { signal }),
          get: (range) => this.#client.get(key, range, { signal, onTransfer }),
        },
        options,
        what,
      ),
    );
  }

  async stat(handle: FileHandle, { signal }: StorageCallOptions = {}): Promise<FileInfo> {
    const key = this.#key(handle);
    const action = `look at ${describeHandle(handle)} in ${this.location}`;
    const sizeBytes = await this.#do(action, signal, () => this.#client.sizeOf(key, { signal }));
    return { name: handle.name, sizeBytes };
  }

  async *list(type: FileType, options: ListOptions = {}): AsyncGenerator<FileInfo> {
    const { signal } = options;
    throwIfAborted(signal);
    if (type === 'config') {
      const found = await this.stat({ type, name: '' }, options).catch((error: unknown) => {
        if (isAppError(error, 'STORAGE_FILE_NOT_FOUND')) return null;
        throw error;
      });
      if (found) yield found;
      return;
    }
    try {
      for await (const { key, sizeBytes } of this.#client.list(`${this.#prefix}${folders[type]}/`, { signal })) {
        throwIfAborted(signal);
        const name = key.slice(key.lastIndexOf('/') + 1);
        if (isFileName(name) && key === this.#key({ type, name })) yield { name, sizeBytes };
      }
    } catch (error) {
      throwIfAborted(signal);
      throw this.#client.toError(error, `list the ${type} files of ${this.location}`);
    }
  }

  async remove(handle: FileHandle, { signal }: StorageCallOptions = {}): Promise<void> {
    const key = this.#key(handle);
    await this.#do(`remove ${describeHandle(handle)} from ${this.location}`, signal, async () => {
      // Object stores call the removal of nothing a success.
      await this.#client.sizeOf(key, { signal });
      await this.#client.remove(key, { signal });
    });
  }

  serverTime({ signal }: StorageCallOptions = {}): Promise<Date | null> {
    return this.#do(`ask ${this.location} for the time`, signal, () => this.#client.serverTime({ signal }));
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #key(handle: FileHandle): string {
    checkHandle(handle);
    const { type, name } = handle;
    if (type === 'config') return `${this.#prefix}config`;
    const folder = type === 'pack' ? `${folders.pack}/${name.slice(0, 2)}` : folders[type];
    return `${this.#prefix}${folder}/${name}`;
  }

  async #do<T>(action: string, signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    throwIfAborted(signal);
    try {
      return await task();
    } catch (error) {
      throwIfAborted(signal);
      throw this.#client.toError(error, action);
    }
  }

  async #exists(key: string, action: string, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      await this.#client.sizeOf(key, { signal });
      return true;
    } catch (error) {
      if (isAppError(this.#client.toError(error, action), 'STORAGE_FILE_NOT_FOUND')) return false;
      throw error;
    }
  }

  /** Removes what a save whose outcome is unknown may have left. Best effort: a store that cannot be reached keeps it. */
  async #undo(key: string, failure: unknown, action: string): Promise<void> {
    const { code } = this.#client.toError(failure, action);
    if (code === 'STORAGE_DENIED' || code === 'STORAGE_LOCATION_INVALID' || code === 'STORAGE_FULL') return;
    const signal = AbortSignal.timeout(undoLimitMs);
    try {
      for (let quiet = 0; quiet < 2;) {
        quiet = (await this.#exists(key, action, signal)) ? 0 : quiet + 1;
        if (quiet === 0) await this.#client.remove(key, { signal });
        else if (quiet < 2) await sleep(undoPauseMs, { signal });
      }
    } catch {
      // The failure of the save itself is what the caller hears about.
    }
  }
}
