// Puts a restored data directory in the place of another by renames, and keeps the old one until the caller is sure.

import { randomBytes } from 'node:crypto';
import { lstat, open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError, messageOf, systemErrorCode, throwIfAborted } from '@varve/base';
import { serverStatus } from './host-server.ts';
import { readPgControl, type PgControl } from './pg-control.ts';

export interface SwapOptions {
  /** The place; what is there now is kept aside. It may be missing. */
  readonly dataDirectory: string;
  /** The restored folder, complete, on the same file system. */
  readonly restored: string;
  readonly signal?: AbortSignal | undefined;
}

/** A swap that was made. Call exactly one of the two, with the server stopped. */
export interface DataDirectorySwap {
  /** Where the old data directory is until `commit`; undefined when there was none. */
  readonly asideDirectory: string | undefined;
  /** Cluster identifiers of both: they differ when another cluster's backup took the place. */
  readonly control: { readonly restored: PgControl; readonly previous: PgControl | undefined };
  /** Deletes the old data directory. */
  commit(): Promise<void>;
  /** Puts the old one back, and the restored one where it was. */
  rollback(): Promise<void>;
}

/** PostgreSQL refuses any other mode. Source: src/backend/utils/init/miscinit.c, checkDataDir. */
const acceptedModes = new Set([0o700, 0o750]);

/**
 * Checks both folders and swaps them. Throws RESTORE_TARGET_INVALID (nothing changed) when a server runs on either, the
 * restored one is no whole data directory, has another major version or owner, or a mode that PostgreSQL refuses, or when
 * the place cannot be renamed (a mount point).
 */
export async function swapDataDirectory(options: SwapOptions): Promise<DataDirectorySwap> {
  throwIfAborted(options.signal);
  const { dataDirectory, restored } = options;
  const next = await inspect(restored);
  if (!next) throw invalid(`The restored folder ${restored} does not exist.`, 'Restore it first.');
  if (!acceptedModes.has(next.mode)) {
    throw invalid(
      `${restored} has the mode ${next.mode.toString(8)}; PostgreSQL accepts 700 or 750.`,
      `chmod 700 ${restored}`,
    );
  }
  await assertStopped(restored);
  const current = await inspect(dataDirectory);
  if (current) {
    await assertStopped(dataDirectory);
    assertAlike({ path: restored, ...next }, { path: dataDirectory, ...current });
  }
  const asideDirectory = current && `${dataDirectory}.varve-old-${randomBytes(4).toString('hex')}`;
  await rm(join(restored, 'postmaster.pid'), { force: true });
  if (asideDirectory !== undefined) await move(dataDirectory, asideDirectory);
  try {
    await move(restored, dataDirectory);
  } catch (error) {
    if (asideDirectory !== undefined) await move(asideDirectory, dataDirectory);
    throw error;
  }
  return {
    asideDirectory,
    control: { restored: next.control, previous: current?.control },
    commit: async () => {
      if (asideDirectory !== undefined) await rm(asideDirectory, { recursive: true, force: true });
    },
    rollback: async () => {
      await assertStopped(dataDirectory);
      await move(dataDirectory, restored);
      if (asideDirectory !== undefined) await move(asideDirectory, dataDirectory);
    },
  };
}

interface Inspection {
  readonly major: string;
  readonly control: PgControl;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

async function inspect(folder: string): Promise<Inspection | undefined> {
  const facts = await lstat(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!facts) return undefined;
  if (!facts.isDirectory())
    throw invalid(`${folder} is not a folder.`, 'Name the data directory itself, not a link to it.');
  const control = await readPgControl(folder);
  const version = await readFile(join(folder, 'PG_VERSION'), 'utf8').catch((cause: unknown) => {
    throw invalid(
      `${folder} is not a PostgreSQL data directory: PG_VERSION is missing (${messageOf(cause)}).`,
      'Restore it again.',
    );
  });
  return { major: version.trim(), control, uid: facts.uid, gid: facts.gid, mode: facts.mode & 0o777 };
}

function assertAlike(
  next: Inspection & { readonly path: string },
  current: Inspection & { readonly path: string },
): void {
  if (next.major !== current.major) {
    throw invalid(
      `${next.path} is of PostgreSQL ${next.major}, ${current.path} of ${current.major}.`,
      'A data directory fits only its own major version: restore a dump, or install that version.',
    );
  }
  if (next.uid !== current.uid) {
    throw invalid(
      `${next.path} belongs to user ${next.uid}, ${current.path} to user ${current.uid}.`,
      `Give it to the server's user: chown -R ${current.uid}:${current.gid} ${next.path}`,
    );
  }
}

async function assertStopped(folder: string): Promise<void> {
  const status = await serverStatus({ dataDirectory: folder });
  if (status.isRunning)
    throw invalid(`A PostgreSQL server (process ${status.pid}) runs on ${folder}.`, 'Stop it first.');
}

/** Renames and makes that durable. */
async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (cause) {
    const code = systemErrorCode(cause);
    const hint =
      code === 'EXDEV' || code === 'EBUSY'
        ? 'Both must be folders of one file system, and neither a mount point: restore beside the data directory.'
        : 'Check the permissions of the parent folder.';
    throw new AppError('RESTORE_TARGET_INVALID', `${basename(from)} cannot be moved to ${to}: ${messageOf(cause)}.`, {
      hint,
      cause,
    });
  }
  for (const parent of new Set([dirname(from), dirname(to)])) {
    await using folder = await open(parent, 'r');
    await folder.sync();
  }
}

function invalid(message: string, hint: string): AppError {
  return new AppError('RESTORE_TARGET_INVALID', message, { hint });
}
