// Options of every `varve repo` command, named as restic's: which repository, which password; and opening it.

import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AppError, messageOf } from '@varve/base';
import type { Repository, SnapshotFilter } from '@varve/repository';
import type { Storage } from '@varve/storage';
import { Option, type Command } from 'commander';
import type { Session } from '../session.ts';
import { collect, duration } from './numbers.ts';
import { readPassword, type PasswordOptions } from './password.ts';
import { addStorageOptions, storageOptionsOf, type StorageCommandOptions } from './storage-options.ts';

export interface RepositoryOptions extends PasswordOptions, StorageCommandOptions {
  readonly repo?: string;
  readonly repositoryFile?: string;
}

const group = 'Repository options:';

/** Adds `--repo`, `--repository-file`, `--password-file`, `--password-command`, and how the storage is reached. */
export function addRepositoryOptions(command: Command): void {
  const add = (option: Option): Command => command.addOption(option.helpGroup(group));
  add(new Option('-r, --repo <location>', 'location of the repository (VARVE_REPOSITORY, RESTIC_REPOSITORY)'));
  add(new Option('--repository-file <file>', 'file with the location (VARVE_REPOSITORY_FILE, RESTIC_REPOSITORY_FILE)'));
  add(new Option('-p, --password-file <file>', 'file with the password (VARVE_PASSWORD_FILE, RESTIC_PASSWORD_FILE)'));
  add(new Option('--password-command <command>', 'command that prints the password (RESTIC_PASSWORD_COMMAND)'));
  addStorageOptions(command, group);
}

/** The storage that options or environment name. USAGE_INVALID when they name none. The caller closes it. */
export async function openStorageFor(session: Session, options: RepositoryOptions): Promise<Storage> {
  const { openStorage } = await import('@varve/storage');
  return openStorage(await locationOf(session, options), storageOptionsOf(session, options));
}

/** An open repository together with its storage; disposing closes both. */
export interface OpenedRepository extends AsyncDisposable {
  readonly repository: Repository;
}

/** Opens the repository that options or environment name. */
export async function openRepositoryFor(
  session: Session,
  options: RepositoryOptions & { readonly stdinIsData?: boolean },
): Promise<OpenedRepository> {
  const { openRepository } = await import('@varve/repository');
  await using cleanup = new AsyncDisposableStack();
  const storage = await openStorageFor(session, options);
  cleanup.defer(() => storage.close());
  const password = await readPassword(session, { ...options, isNew: false });
  const repository = cleanup.use(await openRepository({ storage, password, signal: session.signal }));
  const owned = cleanup.move();
  return { repository, [Symbol.asyncDispose]: () => owned.disposeAsync() };
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
  { exclusive }: { readonly exclusive: boolean },
): Promise<LockedRepository> {
  const { lockRepository } = await import('@varve/repository');
  await using cleanup = new AsyncDisposableStack();
  const { repository } = cleanup.use(await openRepositoryFor(session, options));
  let { signal } = session;
  if (options.lock) {
    const waitMs = options.retryLock ?? 0;
    const lock = cleanup.use(await lockRepository(repository, { exclusive, signal, clock: session.clock, waitMs }));
    signal = AbortSignal.any([signal, lock.signal]);
  }
  const owned = cleanup.move();
  return { repository, signal, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function locationOf(session: Session, options: RepositoryOptions): Promise<string> {
  const { env, cwd } = session.io;
  if (options.repo !== undefined) return options.repo;
  if (options.repositoryFile !== undefined) return locationFromFile(cwd, options.repositoryFile);
  if (env['VARVE_REPOSITORY']) return env['VARVE_REPOSITORY'];
  if (env['VARVE_REPOSITORY_FILE']) return locationFromFile(cwd, env['VARVE_REPOSITORY_FILE']);
  if (env['RESTIC_REPOSITORY']) return env['RESTIC_REPOSITORY'];
  if (env['RESTIC_REPOSITORY_FILE']) return locationFromFile(cwd, env['RESTIC_REPOSITORY_FILE']);
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
