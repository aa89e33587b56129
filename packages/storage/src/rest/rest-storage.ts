// A repository on a restic REST server, protocol version 2 (restic doc/100_references.rst, "REST Backend"). The protocol
// cannot refuse to replace a file on every server, so a save looks first, and saves of one name in this process wait for each
// other; names are hashes, so two processes meet only at `config`.

import { AppError, sleep, throwIfAborted } from '@varve/base';
import type {
  FileHandle,
  FileInfo,
  FileType,
  ListOptions,
  LoadOptions,
  Storage,
  StorageCallOptions,
} from '../contract.ts';
import { checkHandle, describeHandle, folders, isFileName } from '../file-names.ts';
import { loadRange } from '../range.ts';
import { partsOf } from '../transfer.ts';
import { NameGate } from '../name-gate.ts';
import { answerError, connectionError } from './rest-error.ts';
import type { RestRequest, RestResponse, RestTransport } from './rest-transport.ts';

const listType = 'application/vnd.x.restic.rest.v2';
/** How long a save that failed or was cancelled may take to see that nothing of it is left. */
const undoLimitMs = 5000;
const undoPauseMs = 100;

export interface RestStorageOptions {
  readonly location: string;
  readonly connections: number;
  readonly transport: RestTransport;
}

export class RestStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #transport: RestTransport;
  readonly #gate = new NameGate();

  constructor({ location, connections, transport }: RestStorageOptions) {
    this.location = location;
    this.connections = connections;
    this.#transport = transport;
  }

  async create({ signal }: StorageCallOptions = {}): Promise<void> {
    const action = `create the folders of ${this.location}`;
    await this.#expect({ method: 'POST', path: '?create=true', body: [], signal }, action);
  }

  async save(
    handle: FileHandle,
    data: Uint8Array | readonly Uint8Array[],
    { signal, onTransfer }: StorageCallOptions = {},
  ): Promise<void> {
    throwIfAborted(signal);
    const path = pathOf(handle);
    const action = `save ${describeHandle(handle)} to ${this.location}`;
    await this.#gate.run(path, signal, async () => {
      const found = await this.#answer({ method: 'HEAD', path, signal }, action);
      if (found.status === 200) throw new AppError('STORAGE_FILE_EXISTS', `Could not ${action}: the name is taken.`);
      if (found.status !== 404) throw answerError({ method: 'HEAD', path }, found, { action, location: this.location });
      const request = { method: 'POST', path, body: partsOf(data).parts, signal, onTransfer } as const;
      const answer = await this.#answer(
        { ...request, headers: { 'content-type': 'application/octet-stream' } },
        action,
      ).catch(async (error: unknown) => {
        await this.#undo(path);
        throw error;
      });
      if (answer.status >= 300) throw answerError(request, answer, { action, location: this.location });
    });
  }

  async load(handle: FileHandle, options: LoadOptions = {}): Promise<Uint8Array> {
    const { signal, onTransfer } = options;
    throwIfAborted(signal);
    const path = pathOf(handle);
    const what = `${describeHandle(handle)} from ${this.location}`;
    return loadRange(
      {
        suffixes: true,
        sizeBytes: async () => (await this.stat(handle, { signal })).sizeBytes,
        get: async (range) => {
          const headers = range === undefined ? {} : { range };
          const request = { method: 'GET', path, headers, signal, onTransfer } as const;
          const answer = await this.#answer(request, `load ${what}`);
          if (answer.status === 416) return null;
          if (answer.status === 200 || answer.status === 206) {
            return { bytes: answer.body, whole: answer.status === 200 };
          }
          throw answerError(request, answer, { action: `load ${what}`, location: this.location });
        },
      },
      options,
      what,
    );
  }

  async stat(handle: FileHandle, { signal }: StorageCallOptions = {}): Promise<FileInfo> {
    throwIfAborted(signal);
    const action = `look at ${describeHandle(handle)} in ${this.location}`;
    const { headers } = await this.#expect({ method: 'HEAD', path: pathOf(handle), signal }, action);
    const sizeBytes = Number(headers['content-length'] ?? Number.NaN);
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) {
      throw new AppError('STORAGE_DAMAGED', `Could not ${action}: the server does not say its size.`);
    }
    return { name: handle.name, sizeBytes };
  }

  async *list(type: FileType, options: ListOptions = {}): AsyncGenerator<FileInfo> {
    const { signal } = options;
    throwIfAborted(signal);
    const action = `list the ${type} files of ${this.location}`;
    if (type === 'config') {
      const answer = await this.#answer({ method: 'HEAD', path: 'config', signal }, action);
      if (answer.status === 404) return;
      yield await this.stat({ type, name: '' }, options);
      return;
    }
    const request = { method: 'GET', path: `${folders[type]}/`, headers: { accept: listType }, signal } as const;
    const answer = await this.#answer(request, action);
    if (answer.status === 404) return;
    if (answer.status !== 200) throw answerError(request, answer, { action, location: this.location });
    if (answer.headers['content-type'] !== listType) {
      throw new AppError(
        'STORAGE_LOCATION_INVALID',
        `Could not ${action}: the server does not list as version 2 of the protocol does.`,
        {
          hint: 'Check that the address is that of a restic REST server (rest-server 0.9 or later, or rclone serve restic).',
        },
      );
    }
    for (const info of parseList(answer.body, action)) {
      throwIfAborted(signal);
      yield info;
    }
  }

  async remove(handle: FileHandle, { signal }: StorageCallOptions = {}): Promise<void> {
    throwIfAborted(signal);
    const action = `remove ${describeHandle(handle)} from ${this.location}`;
    const path = pathOf(handle);
    // Some servers call the removal of nothing a success.
    await this.#expect({ method: 'HEAD', path, signal }, action);
    await this.#expect({ method: 'DELETE', path, signal }, action);
  }

  async serverTime({ signal }: StorageCallOptions = {}): Promise<Date | null> {
    const { headers } = await this.#answer(
      { method: 'HEAD', path: 'config', signal },
      `ask ${this.location} for the time`,
    );
    return dateOf(headers['date']);
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  async #answer(request: RestRequest, action: string): Promise<RestResponse> {
    throwIfAborted(request.signal);
    try {
      return await this.#transport.request(request);
    } catch (error) {
      throwIfAborted(request.signal);
      const explanation = await this.#transport.explain?.(error);
      throw connectionError(error, { action, location: this.location }, explanation);
    }
  }

  /** An answer that is a success. */
  async #expect(request: RestRequest, action: string): Promise<RestResponse> {
    const answer = await this.#answer(request, action);
    if (answer.status < 300) return answer;
    throw answerError(request, answer, { action, location: this.location });
  }

  /**
   * Removes what a save that did not end may have left. Looked at first, so the file can only be ours. Best effort: a server
   * that cannot be reached, or that deletes nothing, keeps it.
   */
  async #undo(path: string): Promise<void> {
    const signal = AbortSignal.timeout(undoLimitMs);
    try {
      for (let quiet = 0; quiet < 2;) {
        const found = await this.#transport.request({ method: 'HEAD', path, signal });
        if (found.status === 200) {
          const removed = await this.#transport.request({ method: 'DELETE', path, signal });
          if (removed.status === 401 || removed.status === 403 || removed.status === 405) return;
          quiet = 0;
        } else {
          quiet++;
        }
        // The server may still be about to begin with what had reached it.
        if (quiet < 2) await sleep(undoPauseMs, { signal });
      }
    } catch {
      // The failure of the save itself is what the caller hears about.
    }
  }
}

function dateOf(text: string | string[] | undefined): Date | null {
  const time = typeof text === 'string' ? new Date(text) : null;
  return time === null || Number.isNaN(time.getTime()) ? null : time;
}

function pathOf(handle: FileHandle): string {
  checkHandle(handle);
  return handle.type === 'config' ? 'config' : `${folders[handle.type]}/${handle.name}`;
}

function parseList(body: Buffer, action: string): FileInfo[] {
  try {
    const entries = JSON.parse(body.toString('utf8')) as unknown;
    if (entries === null) return [];
    if (!Array.isArray(entries)) throw new TypeError('not a list');
    return entries.map(parseEntry).filter(({ name }) => isFileName(name));
  } catch (cause) {
    throw new AppError('STORAGE_UNREACHABLE', `Could not ${action}: the answer of the server is not a list of files.`, {
      retry: true,
      cause,
    });
  }
}

function parseEntry(entry: unknown): FileInfo {
  const { name, size } = (entry ?? {}) as { readonly name?: unknown; readonly size?: unknown };
  if (typeof name !== 'string' || typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw new TypeError('not an entry of a list');
  }
  return { name, sizeBytes: size };
}
