// Who an installation is, across restarts and containers, and which of its processes run. Its id is a file of the data directory.
// Each process that has the installation open holds a lock of the operating system on a file of its own, from before it takes any
// lock in a repository until after it has released the last. The kernel lets go of it when the process ends, however it ends, and
// shows it to all containers of the host that have the data directory: that is how one tells whether another's process lives.

import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { AppError, messageOf, systemErrorCode } from '@varve/base';
import type { LockOwnerOptions, LockProcess } from '@varve/repository';
import { writeDurableFile } from './catalogue/durable-file.ts';
import { currentOwner } from './jobs/process-owner.ts';

const idPattern = /^[0-9a-f-]{36}$/;
const mostAttempts = 10;

async function readId(path: string): Promise<string | undefined> {
  try {
    const id = (await readFile(path, 'utf8')).trim();
    if (idPattern.test(id)) return id;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw unusable(path, messageOf(error), error);
  }
  throw unusable(path, 'it does not hold an id');
}

function unusable(path: string, reason: string, cause?: unknown): AppError {
  return new AppError('CATALOGUE_UNUSABLE', `The file ${path} cannot be used: ${reason}.`, {
    hint: 'Give this user the right to read and write there; if the file itself is damaged, remove it and a new one is made.',
    context: { path },
    cause,
  });
}

/** The id of the installation; made at the first call. Two processes that start at once end up with the same one. */
export async function loadInstallationId(path: string): Promise<string> {
  const known = await readId(path);
  if (known !== undefined) return known;
  try {
    await writeDurableFile(path, Buffer.from(`${randomUUID()}\n`), { exclusive: true });
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw unusable(path, messageOf(error), error);
  }
  return (await readId(path)) ?? Promise.reject(unusable(path, 'it vanished'));
}

/** Names a process among all of this and earlier runs of the host. */
function keyOf({ boot, pidSpace, pid, started }: LockProcess): string {
  return [boot, pidSpace.replaceAll(/\D/g, ''), pid, started].join('.');
}

/** An SQLite file is the lock: opened for writing alone, which every platform of Node can do. */
function holdFile(path: string): DatabaseSync {
  const file = new DatabaseSync(path, { timeout: 0 });
  try {
    // Nothing is written, so no journal is left beside it.
    file.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** Removes the file of a process that is dead; one that a living process holds stays. */
function removeUnheld(path: string): void {
  try {
    const file = holdFile(path);
    rmSync(path, { force: true });
    file.close();
  } catch {
    // Held by its process, or by somebody who looks; the next start looks again.
  }
}

/** Makes a file of a new name and holds it; whoever tidied up between the two has it made again. */
function holdNewFile(folder: string, key: string): { readonly path: string; readonly held: DatabaseSync } {
  for (let attempt = 1; ; attempt++) {
    const path = join(folder, `${key}-${randomBytes(4).toString('hex')}`);
    try {
      const held = holdFile(path);
      if (existsSync(path)) return { path, held };
      held.close();
    } catch (error) {
      if (attempt >= mostAttempts) throw unusable(path, messageOf(error), error);
    }
  }
}

/** What this process is known by to others of its installation. */
export class RunningProcess implements AsyncDisposable {
  readonly #folder: string;
  readonly #path: string;
  readonly #held: DatabaseSync;

  private constructor(folder: string, file: { readonly path: string; readonly held: DatabaseSync }) {
    this.#folder = folder;
    this.#path = file.path;
    this.#held = file.held;
  }

  /** Says that this process runs. Removes what dead ones left. */
  static async announce(folder: string): Promise<RunningProcess> {
    const { boot, namespace, pid, startedAt } = currentOwner();
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const name of await readdir(folder)) removeUnheld(join(folder, name));
    const key = keyOf({ boot, pidSpace: namespace, pid, started: startedAt });
    return new RunningProcess(folder, holdNewFile(folder, key));
  }

  /** Whether a process of this installation lives, in whatever container of this host. In doubt it does. */
  async isRunning(process: LockProcess): Promise<boolean> {
    const prefix = `${keyOf(process)}-`;
    const names = (await readdir(this.#folder)).filter((name) => name.startsWith(prefix));
    return names.some((name) => isHeld(join(this.#folder, name)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#held.close();
    await rm(this.#path, { force: true });
  }
}

function isHeld(path: string): boolean {
  if (!existsSync(path)) return false;
  try {
    holdFile(path).close();
    return false;
  } catch {
    // Held by its process, or it cannot be looked at, which counts as alive.
    return existsSync(path);
  }
}

/** How this installation signs its locks in repositories, and recognises those of its dead processes. */
export function lockOwnerOf(options: {
  readonly id: string;
  readonly hostName: string;
  readonly running: RunningProcess;
}): LockOwnerOptions {
  const { id, hostName, running } = options;
  return { ownerId: id, hostname: hostName, isRunning: (process) => running.isRunning(process) };
}
