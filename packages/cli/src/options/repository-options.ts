// Options of every `varve repo` command, named as restic's: which repository, which password; and opening it.

import { readFile } from 'node:fs/promises';
import { isAbsolute, resolve } from 'node:path';
import { AppError, isAppError, messageOf } from '@varve/base';
import type { Repository, RepositoryCache, SnapshotFilter } from '@varve/repository';
import type { Storage } from '@varve/storage';
import { Option, type Command } from 'commander';
import type { Session } from '../session.ts';
import { collect, duration } from './numbers.ts';
import { readPassword, type PasswordOptions } from './password.ts';
import { addStorageOptions, storageOptionsOf, type StorageCommandOptions } from './storage-options.ts';

/** The repository that a command works on, or the one that it copies from. */
type RepositoryRole = 'repository' | 'source';

export interface RepositoryOptions extends PasswordOptions, StorageCommandOptions {
  readonly repo?: string;
  readonly repositoryFile?: string;
  /** False with `--no-cache`. */
  readonly cache?: boolean;
  readonly cacheDir?: string;
}

const group = 'Repository options:';

/**
 * Adds `--repo`, `--repository-file`, `--password-file`, `--password-command`, `--cache-dir`, `--no-cache`, and how the storage is
 * reached.
 */
export function addRepositoryOptions(command: Command): void {
  const add = (option: Option): Command => command.addOption(option.helpGroup(group));
  add(new Option('-r, --repo <location>', 'location of the repository (VARVE_REPOSITORY, RESTIC_REPOSITORY)'));
  add(new Option('--repository-file <file>', 'file with the location (VARVE_REPOSITORY_FILE, RESTIC_REPOSITORY_FILE)'));
  add(new Option('-p, --password-file <file>', 'file with the password (VARVE_PASSWORD_FILE, RESTIC_PASSWORD_FILE)'));
  add(new Option('--password-command <command>', 'command that prints the password (RESTIC_PASSWORD_COMMAND)'));
  addCacheDirOption(command);
  add(new Option('--no-cache', 'keep nothing of the repository on this machine'));
  addStorageOptions(command, group);
}

/** Adds `--cache-dir`. */
export function addCacheDirOption(command: Command): void {
  command.addOption(
    new Option('--cache-dir <dir>', 'folder of the caches (VARVE_CACHE_DIR, RESTIC_CACHE_DIR)').helpGroup(group),
  );
}

/** The folder of the caches; null when neither options nor environment name one and there is no home. */
export async function cacheRootFor(session: Session, options: { readonly cacheDir?: string }): Promise<string | null> {
  if (options.cacheDir !== undefined) return resolve(session.io.cwd, options.cacheDir);
  const { cacheRootOf } = await import('@varve/storage');
  return cacheRootOf(session.io.env, session.io.cwd);
}

/** The storage that options or environment name. USAGE_INVALID when they name none. The caller closes it. */
export async function openStorageFor(
  session: Session,
  options: RepositoryOptions,
  role: RepositoryRole = 'repository',
): Promise<Storage> {
  const { openStorage } = await import('@varve/storage');
  return openStorage(await locationOf(session, options, role), storageOptionsOf(session, options));
}

/** An open repository together with its storage; disposing closes both. */
export interface OpenedRepository extends AsyncDisposable {
  readonly repository: Repository;
}

/** Opens the repository that options or environment name. */
export async function openRepositoryFor(
  session: Session,
  options: RepositoryOptions & { readonly stdinIsData?: boolean },
  role: RepositoryRole = 'repository',
): Promise<OpenedRepository> {
  const { openRepository } = await import('@varve/repository');
  await using cleanup = new AsyncDisposableStack();
  const storage = await openStorageFor(session, options, role);
  cleanup.defer(() => storage.close());
  const password = await readPassword(session, { ...options, isNew: false, role });
  const cache = (repositoryId: string): Promise<RepositoryCache | null> =>
    openCacheFor(session, options, { storage, repositoryId });
  const repository = cleanup.use(await openRepository({ storage, password, cache, signal: session.signal }));
  const owned = cleanup.move();
  return { repository, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A cache that cannot be used costs time and not the command; next to nothing where the repository is on this machine. */
async function openCacheFor(
  session: Session,
  options: RepositoryOptions,
  place: { readonly storage: Storage; readonly repositoryId: string },
): Promise<RepositoryCache | null> {
  const root = options.cache === false ? null : await cacheRootFor(session, options);
  if (root === null) return null;
  const { openCache } = await import('@varve/storage');
  try {
    return await openCache({ ...place, root, clock: session.clock });
  } catch (error) {
    const level = isAbsolute(place.storage.location) ? 'info' : 'warn';
    session.logger()[level](`working without a cache: ${messageOf(error)}`);
    return null;
  }
}

export interface LockCommandOptions extends RepositoryOptions {
  /** False with `--no-lock`. */
  readonly lock: boolean;
  /** How long to wait for the locks of others; 0 when absent. */
  readonly retryLock?: number;
}

/** Adds `--no-lock` and `--retry-lock`. */
export function addLockOptions(command: Command): void {
  const add = (option: Option): Command => command.addOption(option.helpGroup(group));
  add(new Option('--no-lock', 'do not lock the repository, e.g. when it is read-only'));
  add(new Option('--retry-lock <duration>', 'wait this long for the locks of others, e.g. 5m').argParser(duration));
}

export interface LockedRepository extends OpenedRepository {
  /** Aborts when the user wants to stop, and when the lock is lost. */
  readonly signal: AbortSignal;
}

/** Opens the repository and takes its lock, unless `--no-lock` was given. Disposing releases both. */
export async function openLockedRepository(
  session: Session,
  options: LockCommandOptions,
  { exclusive, role }: { readonly exclusive: boolean; readonly role?: RepositoryRole },
): Promise<LockedRepository> {
  await using cleanup = new AsyncDisposableStack();
  const { repository } = cleanup.use(await openRepositoryFor(session, options, role));
  const { signal } = cleanup.use(await lockOpened(session, repository, { ...options, exclusive }));
  const owned = cleanup.move();
  return { repository, signal, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Takes the lock of an open repository, unless `--no-lock` was given. Disposing releases it. */
export async function lockOpened(
  session: Session,
  repository: Repository,
  { lock: isLocked, retryLock, exclusive }: LockCommandOptions & { readonly exclusive: boolean },
): Promise<LockedRepository> {
  const { lockRepository } = await import('@varve/repository');
  const { signal, clock } = session;
  if (!isLocked) return { repository, signal, [Symbol.asyncDispose]: async () => {} };
  const locking = lockRepository(repository, { exclusive, signal, clock, waitMs: retryLock ?? 0 });
  const lock = await (exclusive ? locking : locking.catch(hintNoLock));
  const either = AbortSignal.any([signal, lock.signal]);
  return { repository, signal: either, [Symbol.asyncDispose]: () => lock.release() };
}

/** A place that is read-only, an old copy for instance, is read without a lock. */
function hintNoLock(error: unknown): never {
  if (!isAppError(error, 'STORAGE_DENIED')) throw error;
  const hint = 'When nothing else writes to the repository, add --no-lock to only read it.';
  throw new AppError(error.code, error.message, { hint, cause: error });
}

async function locationOf(session: Session, options: RepositoryOptions, role: RepositoryRole): Promise<string> {
  const { env, cwd } = session.io;
  const prefix = role === 'source' ? 'FROM_' : '';
  if (options.repo !== undefined) return options.repo;
  if (options.repositoryFile !== undefined) return locationFromFile(cwd, options.repositoryFile);
  for (const program of ['VARVE', 'RESTIC']) {
    const location = env[`${program}_${prefix}REPOSITORY`];
    if (location) return location;
    const file = env[`${program}_${prefix}REPOSITORY_FILE`];
    if (file) return locationFromFile(cwd, file);
  }
  if (role === 'source') {
    throw new AppError('USAGE_INVALID', 'The repository to copy from was not named.', {
      hint: 'Give its location with --from-repo, or in the environment as VARVE_FROM_REPOSITORY.',
    });
  }
  throw new AppError('USAGE_INVALID', 'The repository was not named.', {
    hint: 'Give its location with --repo, or in the environment as VARVE_REPOSITORY.',
  });
}

async function locationFromFile(cwd: string, file: string): Promise<string> {
  const path = resolve(cwd, file);
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    throw new AppError('USAGE_INVALID', `The file with the location cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

interface FilterOptions {
  readonly host?: readonly string[];
  readonly tag?: readonly string[];
  readonly path?: readonly string[];
}

/** Adds `--host`, `--tag` and `--path`, which choose among snapshots. */
export function addFilterOptions(command: Command): void {
  command
    .option('-H, --host <host>', 'only snapshots of this host (may be given several times)', collect)
    .option('--tag <tag,…>', 'only snapshots with all these tags (several times: any of the lists)', collect)
    .option('--path <path>', 'only snapshots of this path (may be given several times)', collect);
}

/** What `--host`, `--tag` and `--path` say. */
export function filterOf(command: Command): SnapshotFilter {
  const { host, tag, path } = command.opts<FilterOptions>();
  return { hosts: host, tags: tag?.map((list) => list.split(',').map((name) => name.trim())), paths: path };
}

/** `ID:subfolder` → the two; the subfolder is `/` when absent. */
export function parseSnapshotPath(text: string): { readonly name: string; readonly path: string } {
  const colon = text.indexOf(':');
  if (colon === -1) return { name: text, path: '/' };
  const path = text.slice(colon + 1);
  return { name: text.slice(0, colon), path: path.startsWith('/') ? path : `/${path}` };
}
