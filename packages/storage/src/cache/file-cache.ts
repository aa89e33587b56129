// The files of one repository kept on this machine, as they are stored: encrypted. Losing or spoiling any of them costs a
// transfer and nothing else: whoever reads checks the hash that is the name. Processes may share a folder: files come into
// being by rename. No fault of the disk ever fails a caller; after one that will not pass, this process writes no more.

import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, lstat, readdir, rename, rm, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, systemClock, systemErrorCode, type Clock } from '@varve/base';
import type { FileHandle } from '../contract.ts';
import { folders, isFileName } from '../file-names.ts';

/** The kinds of files that a cache holds. */
export type CachedType = 'index' | 'snapshot' | 'pack';

/** A folder that nobody has used for this long is removed. */
const defaultMaxAgeDays = 30;
const dayMs = 24 * 60 * 60 * 1000;
/** Temporary files older than this belong to nobody any more. */
const leftoverMs = dayMs;
const cachedTypes: readonly CachedType[] = ['index', 'snapshot', 'pack'];
const tagFile = 'CACHEDIR.TAG';
/** The Cache Directory Tagging Specification, bford.info/cachedir: backups leave such folders out. */
const tag =
  'Signature: 8a477f597d28d172789f06886806bc55\n# Made by Varve. Everything here can be fetched again from the repositories.\n';

export interface OpenFileCacheOptions {
  /** The folder of all caches; it and its parents are made as needed. */
  readonly root: string;
  /** 64 hex digits. */
  readonly repositoryId: string;
  readonly clock?: Clock | undefined;
}

export class FileCache {
  readonly path: string;
  #mayWrite = true;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Opens the cache of a repository and removes those that were not used for 30 days. STORAGE_DENIED when the folder cannot be
   * made, is not this user's own, or may be written by others.
   */
  static async open({ root, repositoryId, clock = systemClock }: OpenFileCacheOptions): Promise<FileCache> {
    if (!isFileName(repositoryId)) throw new AppError('INTERNAL', `“${repositoryId}” is not the id of a repository.`);
    const path = join(root, repositoryId);
    try {
      await mkdir(root, { recursive: true, mode: 0o700 });
      await assertOwn(root, await stat(root));
      for (const folder of [path, ...cachedTypes.map((type) => join(path, folders[type]))]) {
        await mkdir(folder, { mode: 0o700 }).catch(ignoring('EEXIST'));
        await assertOwn(folder, await lstat(folder));
      }
      await writeFile(join(root, tagFile), tag, { flag: 'wx', mode: 0o600 }).catch(() => {});
      const now = clock.now();
      // A cache that cannot be written to can be read.
      await utimes(path, now, now).catch(() => {});
      await removeUnused(root, { now });
    } catch (error) {
      if (error instanceof AppError) throw error;
      throw new AppError('STORAGE_DENIED', `The cache folder ${path} cannot be used: ${systemErrorCode(error)}.`, {
        cause: error,
      });
    }
    return new FileCache(path);
  }

  /** A file, or null when it is not here. `range` cuts; null too when the file ends before. */
  async read(
    { type, name }: CachedHandle,
    range: { readonly offset: number; readonly length: number | undefined } = { offset: 0, length: undefined },
  ): Promise<Uint8Array | null> {
    return readWhole(join(this.path, folders[type], name), range);
  }

  /** Keeps a file; replaces the one that is here. */
  async write({ type, name }: CachedHandle, parts: readonly Uint8Array[]): Promise<void> {
    await this.#write(join(this.path, folders[type], name), parts);
  }

  async remove({ type, name }: CachedHandle): Promise<void> {
    await unlink(join(this.path, folders[type], name)).catch(() => {});
  }

  /** Removes the files of a type that the repository does not have any more. */
  async retain(type: CachedType, present: ReadonlySet<string>): Promise<void> {
    const folder = join(this.path, folders[type]);
    for (const name of await namesIn(folder)) {
      if (isFileName(name) ? !present.has(name) : await isLeftover(join(folder, name)))
        await unlink(join(folder, name)).catch(() => {});
    }
  }

  /** What {@link FileCache.saveDigest} has kept, or null. The bytes may be anything: they have to authenticate themselves. */
  async loadDigest(name: string): Promise<Uint8Array | null> {
    return readWhole(join(this.path, `digest-${name}`), { offset: 0, length: undefined });
  }

  async saveDigest(name: string, bytes: Uint8Array): Promise<void> {
    await this.#write(join(this.path, `digest-${name}`), [bytes]);
  }

  async #write(path: string, parts: readonly Uint8Array[]): Promise<void> {
    if (!this.#mayWrite) return;
    const temporary = `${path}-tmp-${randomBytes(6).toString('hex')}`;
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    try {
      {
        await using file = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
        for (const part of parts) await file.writeFile(part);
      }
      // Not flushed: after a crash of the machine the hash tells.
      await rename(temporary, path);
    } catch {
      this.#mayWrite = false;
      await unlink(temporary).catch(() => {});
    }
  }
}

export interface CachedHandle extends FileHandle {
  readonly type: CachedType;
}

/** The folders of caches under a root that belong to repositories, for lists and for cleaning up. */
export async function listCaches(root: string): Promise<CacheFolderInfo[]> {
  const found: CacheFolderInfo[] = [];
  for (const name of (await namesIn(root)).filter(isFileName)) {
    const path = join(root, name);
    const facts = await lstat(path).catch(() => null);
    if (facts?.isDirectory()) found.push({ repositoryId: name, path, usedAt: facts.mtime });
  }
  return found;
}

export interface CacheFolderInfo {
  readonly repositoryId: string;
  readonly path: string;
  /** When a program has last opened it. */
  readonly usedAt: Date;
}

export interface CacheAge {
  readonly now: Date;
  /** Default 30. */
  readonly maxAgeDays?: number | undefined;
}

/** Whether a cache was not used for so long that it is removed. */
export function isUnused({ usedAt }: Pick<CacheFolderInfo, 'usedAt'>, age: CacheAge): boolean {
  return age.now.getTime() - usedAt.getTime() > (age.maxAgeDays ?? defaultMaxAgeDays) * dayMs;
}

/** Removes the caches that nobody has used for so long and yields them. What cannot be removed stays. */
export async function removeUnused(root: string, age: CacheAge): Promise<CacheFolderInfo[]> {
  const removed: CacheFolderInfo[] = [];
  for (const cache of await listCaches(root)) {
    if (!isUnused(cache, age)) continue;
    await rm(cache.path, { recursive: true, force: true }).then(
      () => removed.push(cache),
      () => {},
    );
  }
  return removed;
}

/** Bytes of the files in a cache. */
export async function cacheSizeBytes(path: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(path, { withFileTypes: true, recursive: true }).catch(() => [])) {
    if (!entry.isFile()) continue;
    bytes += await lstat(join(entry.parentPath, entry.name)).then(
      ({ size }) => size,
      () => 0,
    );
  }
  return bytes;
}

/** Nobody else may put files or links into a folder that we read from and write to. */
async function assertOwn(path: string, facts: { isDirectory(): boolean; uid: number; mode: number }): Promise<void> {
  const isOwn = facts.uid === process.geteuid?.() && (facts.mode & 0o022) === 0;
  if (facts.isDirectory() && isOwn) return;
  throw new AppError('STORAGE_DENIED', `The cache folder ${path} is not used: it is not this user's own.`, {
    hint: 'Choose a folder that belongs to this user and that nobody else may write to, or go without: --no-cache.',
  });
}

async function readWhole(
  path: string,
  { offset, length }: { readonly offset: number; readonly length: number | undefined },
): Promise<Uint8Array | null> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const facts = await file.stat();
    const wanted = length ?? facts.size - offset;
    if (!facts.isFile() || wanted < 0 || offset + wanted > facts.size) return null;
    const bytes = Buffer.allocUnsafe(wanted);
    for (let done = 0; done < wanted;) {
      const { bytesRead } = await file.read(bytes, done, wanted - done, offset + done);
      if (bytesRead === 0) return null;
      done += bytesRead;
    }
    return bytes;
  } catch {
    return null;
  }
}

async function isLeftover(path: string): Promise<boolean> {
  const facts = await lstat(path).catch(() => null);
  return facts?.isFile() === true && Date.now() - facts.mtimeMs > leftoverMs;
}

async function namesIn(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => []);
}

function ignoring(code: string): (error: unknown) => void {
  return (error) => {
    if (systemErrorCode(error) !== code) throw error;
  };
}
