// A repository in a folder of this machine (or of a share that is mounted here). Files come into being by writing a temporary
// file beside the target, fsync, a hard link that never replaces anything, and fsync of the folder; they are read-only after.

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, link, mkdir, open, readdir, rename, stat, unlink, type FileHandle as OpenFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError, mapConcurrently, systemErrorCode, throwIfAborted } from '@varve/base';
import type {
  FileHandle,
  FileInfo,
  FileType,
  ListOptions,
  LoadOptions,
  OnTransfer,
  Storage,
  StorageCallOptions,
} from '../contract.ts';
import { describeHandle, isFileName } from '../file-names.ts';
import { sizeOf, sizesOf } from './file-sizes.ts';
import { allFolders, foldersOf, isLeftoverName, pathOf } from './layout.ts';
import { goneError, localError } from './local-error.ts';
import { readRange } from './read-range.ts';

/** Temporary files older than this belong to nobody any more. */
const leftoverAgeMs = 24 * 60 * 60 * 1000;
const foldersAtOnce = 8;
/** Only where somebody counts the bytes. */
const transferStepBytes = 1024 * 1024;
/** What file systems without hard links say (exFAT, some network and FUSE file systems). */
const noHardLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV']);
/** What file systems say whose folders cannot be flushed. */
const noFolderSync = new Set(['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'EISDIR', 'EBADF']);

interface Modes {
  readonly folder: number;
  readonly file: number;
}

export class LocalStorage implements Storage {
  readonly location: string;
  readonly connections = 2;
  readonly #root: string;
  #modes: Promise<Modes> | null = null;
  /** Whether a config was read or saved here: when that is gone, so is the repository, and nothing counts as merely missing. */
  #hasRepository = false;

  /** `root` is an absolute path. Nothing is touched. */
  constructor(root: string) {
    this.#root = root;
    this.location = root;
  }

  async create({ signal }: StorageCallOptions = {}): Promise<void> {
    throwIfAborted(signal);
    try {
      const { folder } = await this.#chooseModes();
      await makeFolder(this.#root, { mode: folder, recursive: true });
      await makeFolder(join(this.#root, 'data'), { mode: folder, recursive: false });
      await mapConcurrently(allFolders(this.#root), foldersAtOnce, (path) => {
        throwIfAborted(signal);
        return makeFolder(path, { mode: folder, recursive: false });
      });
      await syncFolder(join(this.#root, 'data'));
      await syncFolder(this.#root);
      // The folder above may be one that we may not read.
      await syncFolder(dirname(this.#root)).catch(() => {});
    } catch (error) {
      throw localError(error, `create the folders of ${this.location}`);
    }
    await this.#removeLeftovers(signal);
  }

  async save(
    handle: FileHandle,
    data: Uint8Array | readonly Uint8Array[],
    options: StorageCallOptions = {},
  ): Promise<void> {
    const { signal } = options;
    throwIfAborted(signal);
    const path = this.#path(handle);
    const temporary = `${path}-tmp-${randomBytes(6).toString('hex')}`;
    const parts = data instanceof Uint8Array ? [data] : data;
    const { file } = await this.#chooseModes();
    try {
      await this.#write(temporary, parts, { mode: file, signal, onTransfer: options.onTransfer });
      throwIfAborted(signal);
      await publish(temporary, path);
      if (handle.type === 'config') this.#hasRepository = true;
    } catch (error) {
      await unlink(temporary).catch(() => {});
      throw await this.#error(error, handle.type, `save ${describeHandle(handle)} to ${this.location}`);
    }
  }

  async load(handle: FileHandle, options: LoadOptions = {}): Promise<Uint8Array> {
    throwIfAborted(options.signal);
    const what = `${describeHandle(handle)} from ${this.location}`;
    try {
      const bytes = await readRange(this.#path(handle), options, what);
      if (handle.type === 'config') this.#hasRepository = true;
      return bytes;
    } catch (error) {
      throw await this.#error(error, handle.type, `load ${what}`);
    }
  }

  async stat(handle: FileHandle, { signal }: StorageCallOptions = {}): Promise<FileInfo> {
    throwIfAborted(signal);
    try {
      const { size } = await stat(this.#path(handle));
      return { name: handle.name, sizeBytes: size };
    } catch (error) {
      throw await this.#error(error, handle.type, `look at ${describeHandle(handle)} in ${this.location}`);
    }
  }

  async *list(type: FileType, { signal, sizes: wantsSizes = true }: ListOptions = {}): AsyncGenerator<FileInfo> {
    throwIfAborted(signal);
    try {
      if (type === 'config') {
        const size = await sizeOf(join(this.#root, 'config'));
        if (size !== null) yield { name: '', sizeBytes: size };
        return;
      }
      for (const folder of foldersOf(this.#root, type)) {
        throwIfAborted(signal);
        const found = wantsSizes ? (await namesIn(folder))?.filter(isFileName) : await fileNamesIn(folder);
        // Either nobody has needed this folder yet, or the whole repository is gone.
        if (!found && this.#hasRepository) await stat(join(this.#root, 'config'));
        const names = found ?? [];
        const sizes = wantsSizes ? await sizesOf(folder, names, signal) : null;
        for (const [index, name] of names.entries()) {
          throwIfAborted(signal);
          const sizeBytes = sizes ? sizes[index] : -1;
          if (typeof sizeBytes === 'number') yield { name, sizeBytes };
        }
      }
    } catch (error) {
      throw await this.#error(error, type, `list the ${type} files of ${this.location}`);
    }
  }

  async remove(handle: FileHandle, { signal }: StorageCallOptions = {}): Promise<void> {
    throwIfAborted(signal);
    try {
      const path = this.#path(handle);
      await unlink(path);
      await syncFolder(dirname(path));
    } catch (error) {
      throw await this.#error(error, handle.type, `remove ${describeHandle(handle)} from ${this.location}`);
    }
  }

  async replace(handle: FileHandle, data: Uint8Array, { signal }: StorageCallOptions = {}): Promise<boolean> {
    throwIfAborted(signal);
    const path = this.#path(handle);
    const temporary = `${path}-tmp-${randomBytes(6).toString('hex')}`;
    const { file } = await this.#chooseModes();
    try {
      await stat(path);
      await this.#write(temporary, [data], { mode: file, signal, onTransfer: undefined });
      throwIfAborted(signal);
      await rename(temporary, path);
      await syncFolder(dirname(path));
      return true;
    } catch (error) {
      await unlink(temporary).catch(() => {});
      throw localError(error, `replace ${describeHandle(handle)} in ${this.location}`);
    }
  }

  async close(): Promise<void> {}

  /** An error in the contract's terms. Migrations remove the config and save it anew, so its own absence says nothing. */
  async #error(error: unknown, type: FileType, action: string): Promise<AppError> {
    if (systemErrorCode(error) !== 'ENOENT' || type === 'config' || !this.#hasRepository)
      return localError(error, action);
    return (await exists(join(this.#root, 'config')))
      ? localError(error, action)
      : goneError(error, this.#root, action);
  }

  #path(handle: FileHandle): string {
    const path = pathOf(this.#root, handle);
    if (path === null) throw new AppError('INTERNAL', `“${handle.name}” is not the name of a ${handle.type} file.`);
    return path;
  }

  async #write(
    path: string,
    parts: readonly Uint8Array[],
    options: { mode: number; signal: AbortSignal | undefined; onTransfer: OnTransfer | undefined },
  ): Promise<void> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    const openNew = (): Promise<OpenFile> => open(path, flags, 0o600);
    await using file = await openNew().catch(async (error: unknown) => {
      // A folder of the layout is missing (made by a program that makes them as needed); the repository itself must be there.
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      const { folder } = await this.#chooseModes();
      await stat(this.#hasRepository ? join(this.#root, 'config') : this.#root);
      await makeFolder(dirname(path), { mode: folder, recursive: true });
      await syncFolder(dirname(dirname(path)));
      return openNew();
    });
    for (const part of parts) {
      for (let offset = 0; offset < part.length;) {
        throwIfAborted(options.signal);
        const wanted = Math.min(part.length - offset, options.onTransfer ? transferStepBytes : Infinity);
        const { bytesWritten } = await file.write(part, offset, wanted);
        offset += bytesWritten;
        await options.onTransfer?.(bytesWritten);
      }
    }
    await file.chmod(options.mode).catch(ignoreUnsupported);
    await file.sync();
  }

  // As restic does: a group that may read the config may read everything.
  #chooseModes(): Promise<Modes> {
    this.#modes ??= stat(join(this.#root, 'config')).then(
      ({ mode }) => ((mode & 0o040) === 0 ? privateModes : groupModes),
      () => privateModes,
    );
    return this.#modes;
  }

  async #removeLeftovers(signal: AbortSignal | undefined): Promise<void> {
    const eldest = Date.now() - leftoverAgeMs;
    await mapConcurrently(allFolders(this.#root), foldersAtOnce, async (folder) => {
      throwIfAborted(signal);
      for (const name of ((await namesIn(folder)) ?? []).filter(isLeftoverName)) {
        const path = join(folder, name);
        // Somebody else may clean up at the same time, and a leftover harms nobody.
        await stat(path)
          .then(
            ({ mtimeMs }) => (mtimeMs < eldest ? unlink(path) : undefined),
            () => {},
          )
          .catch(() => {});
      }
    });
  }
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

const privateModes: Modes = { folder: 0o700, file: 0o400 };
const groupModes: Modes = { folder: 0o770, file: 0o440 };

function ignoreUnsupported(error: unknown): void {
  const code = systemErrorCode(error);
  if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'EOPNOTSUPP' && code !== 'ENOSYS') throw error;
}

/** Not Node's own recursion, which turns a read-only file system (EROFS) into a file that is missing (ENOENT). */
async function makeFolder(path: string, options: { mode: number; recursive: boolean }): Promise<void> {
  const { mode, recursive } = options;
  try {
    await mkdir(path, { mode });
    await chmod(path, mode).catch(ignoreUnsupported);
  } catch (error) {
    const reason = systemErrorCode(error);
    if (reason === 'ENOENT' && recursive && dirname(path) !== path) {
      await makeFolder(dirname(path), options);
      return makeFolder(path, { mode, recursive: false });
    }
    if (reason !== 'EEXIST') throw error;
    if ((await stat(path)).isDirectory()) return;
    throw new AppError('STORAGE_LOCATION_INVALID', `${path} is there and is not a folder.`, { cause: error });
  }
}

/** Gives the temporary file its name, never replacing one, and makes that durable. */
async function publish(temporary: string, path: string): Promise<void> {
  try {
    await link(temporary, path);
    await unlink(temporary);
  } catch (error) {
    if (!noHardLinks.has(systemErrorCode(error) ?? '')) throw error;
    if ((await sizeOf(path)) !== null)
      throw new AppError('STORAGE_FILE_EXISTS', `${path} is there already.`, { cause: error });
    await rename(temporary, path);
  }
  try {
    await syncFolder(dirname(path));
  } catch (error) {
    await unlink(path).catch(() => {});
    throw error;
  }
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY);
  await folder.sync().catch((error: unknown) => {
    if (!noFolderSync.has(systemErrorCode(error) ?? '')) throw error;
  });
}

/** The names of the complete files in a folder, without a look at each. */
async function fileNamesIn(folder: string): Promise<string[] | undefined> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile() && isFileName(entry.name)).map(({ name }) => name);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The entries of a folder; undefined when it is missing. */
async function namesIn(folder: string): Promise<string[] | undefined> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
