// A repository in a folder of another machine, over SFTP. Files come into being as in a local folder: a temporary file beside
// the target, fsync, a rename that never replaces, fsync of the folder where the server can.

import { randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import { AppError, isAppError, mapConcurrently, messageOf, throwIfAborted } from '@varve/base';
import type {
  FileHandle,
  FileInfo,
  FileType,
  ListOptions,
  LoadOptions,
  Storage,
  StorageCallOptions,
} from '../contract.ts';
import { checkHandle, describeHandle, isFileName } from '../file-names.ts';
import { allFolders, foldersOf, pathOf } from '../local/layout.ts';
import { goneError } from '../local/local-error.ts';
import { partsOf } from '../transfer.ts';
import { SftpCalls, status, statusOf } from './sftp-calls.ts';
import { connectSftp, type SftpAccess, type SftpConnection } from './sftp-connection.ts';

const foldersAtOnce = 16;
const fileMode = 0o400;
const folderMode = 0o700;
/** What a save that failed may take to remove its temporary file. */
const cleanUpLimitMs = 3000;

export class SftpStorage implements Storage {
  readonly location: string;
  readonly connections: number;
  readonly #access: SftpAccess;
  readonly #root: string;
  #connection: Promise<SftpConnection> | null = null;
  /** Whether a config was read or saved here: when that is gone, so is the repository, and nothing counts as merely missing. */
  #hasRepository = false;

  constructor(access: SftpAccess & { readonly connections: number }) {
    this.#access = access;
    this.location = access.location;
    this.connections = access.connections;
    this.#root = posix.normalize(access.path);
  }

  async create({ signal }: StorageCallOptions = {}): Promise<void> {
    await this.#do({ action: `create the folders of ${this.location}`, signal }, async (calls) => {
      for (const path of parentsOf(this.#root)) await makeFolder(calls, path);
      const [root = this.#root, ...folders] = allFolders(this.#root);
      await makeFolder(calls, root);
      await makeFolder(calls, posix.join(root, 'data'));
      await mapConcurrently(folders, foldersAtOnce, (path) => makeFolder(calls, path));
    });
  }

  async save(
    handle: FileHandle,
    data: Uint8Array | readonly Uint8Array[],
    { signal, onTransfer }: StorageCallOptions = {},
  ): Promise<void> {
    const path = this.#path(handle);
    const { parts, sizeBytes } = partsOf(data);
    const temporary = `${path}-tmp-${randomBytes(6).toString('hex')}`;
    const action = `save ${describeHandle(handle)} to ${this.location}`;
    await this.#do({ action, signal, type: handle.type }, async (calls, connection) => {
      try {
        const file = await this.#openNew(calls, temporary);
        try {
          await calls.write(file, parts, onTransfer);
          await calls.chmod(file, fileMode).catch(() => {});
          await calls.sync(file);
        } finally {
          await calls.close(file).catch(() => {});
        }
        throwIfAborted(signal);
        // From here on without the signal: it is done or it is not, and which of the two has to be known.
        const last = new SftpCalls(connection, undefined);
        await last.rename(temporary, path);
        await syncFolder(last, posix.dirname(path));
        if (handle.type === 'config') this.#hasRepository = true;
      } catch (error) {
        throw await this.#saveFailure(error, { connection, action, path, temporary, sizeBytes });
      }
    });
  }

  async load(handle: FileHandle, options: LoadOptions = {}): Promise<Uint8Array> {
    const path = this.#path(handle);
    const what = `${describeHandle(handle)} from ${this.location}`;
    return this.#do({ action: `load ${what}`, signal: options.signal, type: handle.type }, async (calls) => {
      const file = await calls.open(path, 'r');
      try {
        const size = await calls.size(file);
        const { offset: asked = 0, length: wanted } = options;
        const offset = asked < 0 ? size + asked : asked;
        const length = wanted ?? size - offset;
        const isInside = offset >= 0 && length >= 0 && offset + length <= size;
        const bytes = isInside ? await calls.read(file, { offset, length }, options.onTransfer) : null;
        if (bytes?.length === length) {
          if (handle.type === 'config') this.#hasRepository = true;
          return bytes;
        }
        const reason = `it has ${size} bytes, ${length} were asked for from ${offset} on`;
        throw new AppError('STORAGE_DAMAGED', `Could not load ${what}: ${reason}.`);
      } finally {
        await calls.close(file).catch(() => {});
      }
    });
  }

  async stat(handle: FileHandle, { signal }: StorageCallOptions = {}): Promise<FileInfo> {
    const path = this.#path(handle);
    const action = `look at ${describeHandle(handle)} in ${this.location}`;
    return this.#do({ action, signal, type: handle.type }, async (calls) => {
      const { size } = await calls.stat(path);
      return { name: handle.name, sizeBytes: size };
    });
  }

  async *list(type: FileType, options: ListOptions = {}): AsyncGenerator<FileInfo> {
    const { signal } = options;
    const action = `list the ${type} files of ${this.location}`;
    if (type === 'config') {
      const info = await this.stat({ type, name: '' }, options).catch((error: unknown) => {
        if (isAppError(error, 'STORAGE_FILE_NOT_FOUND')) return null;
        throw error;
      });
      if (info) yield info;
      return;
    }
    const folders = foldersOf(this.#root, type);
    for (let first = 0; first < folders.length; first += foldersAtOnce) {
      const found = await this.#do({ action, signal, type }, (calls) =>
        Promise.all(folders.slice(first, first + foldersAtOnce).map((folder) => this.#filesIn(calls, folder))),
      );
      for (const info of found.flat()) {
        throwIfAborted(signal);
        yield info;
      }
    }
  }

  async remove(handle: FileHandle, { signal }: StorageCallOptions = {}): Promise<void> {
    const path = this.#path(handle);
    const action = `remove ${describeHandle(handle)} from ${this.location}`;
    await this.#do({ action, signal, type: handle.type }, async (calls) => {
      await calls.unlink(path);
      await syncFolder(calls, posix.dirname(path));
    });
  }

  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => null);
    this.#connection = null;
    connection?.close();
  }

  #path(handle: FileHandle): string {
    checkHandle(handle);
    return pathOf(this.#root, handle) ?? '';
  }

  async #do<T>(
    { action, signal, type }: { action: string; signal: AbortSignal | undefined; type?: FileType },
    task: (calls: SftpCalls, connection: SftpConnection) => Promise<T>,
  ): Promise<T> {
    throwIfAborted(signal);
    try {
      const connection = await this.#connected();
      return await task(new SftpCalls(connection, signal), connection);
    } catch (error) {
      if (type !== 'config' && statusOf(error) === status.noSuchFile && (await this.#isGone(signal))) {
        throw goneError(error, this.location, action);
      }
      throw sftpError(error, action);
    }
  }

  /** Whether the repository was there and is not any more. */
  async #isGone(signal: AbortSignal | undefined): Promise<boolean> {
    if (!this.#hasRepository) return false;
    const calls = new SftpCalls(await this.#connected(), signal);
    return calls.stat(posix.join(this.#root, 'config')).then(
      () => false,
      (error: unknown) => statusOf(error) === status.noSuchFile,
    );
  }

  /** Opens the temporary file; makes its folder when that is missing, but not the repository itself. */
  async #openNew(calls: SftpCalls, path: string): Promise<Buffer> {
    try {
      return await calls.open(path, 'wx');
    } catch (error) {
      if (statusOf(error) !== status.noSuchFile) throw error;
      const root = this.#root;
      await calls.stat(this.#hasRepository ? posix.join(root, 'config') : root);
      const folder = posix.dirname(path);
      if (posix.dirname(folder) !== root) await makeFolder(calls, posix.dirname(folder));
      await makeFolder(calls, folder);
      return calls.open(path, 'wx');
    }
  }

  /** The complete files in a folder. A missing one is empty, unless the whole repository is gone. */
  async #filesIn(calls: SftpCalls, folder: string): Promise<FileInfo[]> {
    const entries = await calls.readFolder(folder).catch(async (error: unknown) => {
      if (statusOf(error) !== status.noSuchFile) throw error;
      if (this.#hasRepository) await calls.stat(posix.join(this.#root, 'config'));
      return [];
    });
    return entries
      .filter(({ filename, attrs }) => isFileName(filename) && (attrs.mode & typeMask) === regularFile)
      .map(({ filename, attrs }) => ({ name: filename, sizeBytes: attrs.size }));
  }

  /** One connection for all calls (SFTP answers out of order); a lost one is made anew by the next call. */
  #connected(): Promise<SftpConnection> {
    const connecting = (this.#connection ??= connectSftp(this.#access, undefined).then(
      (connection) => {
        connection.lost.addEventListener('abort', () => {
          if (this.#connection === connecting) this.#connection = null;
        });
        return connection;
      },
      (error: unknown) => {
        this.#connection = null;
        throw error;
      },
    ));
    return connecting;
  }

  /** Removes the temporary file; tells a name that is taken and a full disk from other failures. */
  async #saveFailure(
    cause: unknown,
    facts: { connection: SftpConnection; action: string; path: string; temporary: string; sizeBytes: number },
  ): Promise<unknown> {
    const calls = new SftpCalls(facts.connection, AbortSignal.timeout(cleanUpLimitMs));
    await calls.unlink(facts.temporary).catch(() => {});
    if (statusOf(cause) !== status.failure) return cause;
    const isTaken = await calls.stat(facts.path).then(
      () => true,
      () => false,
    );
    if (isTaken) {
      return new AppError('STORAGE_FILE_EXISTS', `Could not ${facts.action}: the name is taken.`, { cause });
    }
    const free = await calls.freeBytes(posix.dirname(facts.path));
    if (free === undefined || free > facts.sizeBytes) return cause;
    return new AppError('STORAGE_FULL', `Could not ${facts.action}: no space is left (${free} bytes are free).`, {
      hint: 'Free some space there, or forget and prune old snapshots, then try again.',
      cause,
    });
  }
}

function sftpError(error: unknown, action: string): AppError {
  if (error instanceof AppError) return error;
  const code = statusOf(error);
  if (code === status.noSuchFile) {
    return new AppError('STORAGE_FILE_NOT_FOUND', `Could not ${action}: there is no such file.`, { cause: error });
  }
  if (code === status.permissionDenied) {
    return new AppError('STORAGE_DENIED', `Could not ${action}: permission is denied.`, {
      hint: 'Check the owner and mode of the folder there.',
      cause: error,
    });
  }
  return new AppError('STORAGE_UNREACHABLE', `Could not ${action}: ${messageOf(error)}.`, {
    retry: true,
    hint: 'Check the address, that an SSH server with SFTP runs there, and its log.',
    cause: error,
  });
}

async function makeFolder(calls: SftpCalls, path: string): Promise<void> {
  try {
    await calls.mkdir(path, folderMode);
  } catch (error) {
    const found = await calls.stat(path).catch(() => null);
    if (found === null) throw error;
    if (found.isDirectory()) return;
    throw new AppError('STORAGE_LOCATION_INVALID', `${path} is there and is not a folder.`, { cause: error });
  }
}

/** OpenSSH lets a folder be opened and flushed; where that is not so the server's own order has to do. */
async function syncFolder(calls: SftpCalls, path: string): Promise<void> {
  const folder = await calls.open(path, 'r').catch(() => null);
  if (folder === null) return;
  await calls.sync(folder).catch(() => {});
  await calls.close(folder).catch(() => {});
}

/** The folders above, outermost first. */
function parentsOf(path: string): string[] {
  const parents: string[] = [];
  for (let parent = posix.dirname(path); parent !== '/' && parent !== '.'; parent = posix.dirname(parent)) {
    parents.unshift(parent);
  }
  return parents;
}

const typeMask = 0o170000;
const regularFile = 0o100000;
