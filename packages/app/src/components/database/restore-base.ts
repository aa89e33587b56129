// Puts a cluster's files back: into a folder beside the data folder, then a swap by renames. The old data folder is kept
// until the server has started on the new one, and goes back when it does not.

import { randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AppError, isAppError, messageOf, type OnProgress } from '@varve/base';
import type { DatabaseComponent, SavedDatabase } from '@varve/contract';
import { startServer, stopServer, swapDataDirectory, type DataDirectorySwap } from '@varve/postgres';
import { findNode, restoreTree, type Repository } from '@varve/repository';
import type { Problem, RunContext, StoppedRecord } from '../../use-case.ts';
import { isThere } from '../code/checkout.ts';
import { binDirectoryOf, majorOf, startHostDatabase, stopHostDatabase } from './host-database.ts';
import { tablespacesPath } from './save-base.ts';

interface BaseTarget {
  readonly saved: SavedDatabase;
  readonly component: DatabaseComponent;
  readonly repository: Repository;
  readonly treeId: string;
  readonly signal: AbortSignal;
}

/** RESTORE_TARGET_INVALID when the backup cannot take the place of the data folder. Changes nothing. */
export async function checkBaseTarget({ saved, component, repository, treeId, signal }: BaseTarget): Promise<string> {
  const { dataDirectory } = component;
  if (component.source.type === 'container') {
    throw invalid(
      `The database "${saved.name}" was saved by its files alone, and files are not put back into a container in place.`,
      'Restore the app to a point in time: that recovers the files with the image of the container. Save it with the method "both" to have dumps as well.',
    );
  }
  if (dataDirectory === undefined)
    throw invalid(
      `The data folder of the database "${saved.name}" is not known.`,
      'Add the app again with the data folder of its database.',
    );
  const savedMajor = String(Number.parseInt(saved.serverVersion, 10));
  const major = await majorOf(dataDirectory);
  if (major !== null && major !== savedMajor) {
    throw invalid(
      `The database "${saved.name}" was saved from PostgreSQL ${saved.serverVersion}, and ${dataDirectory} is of PostgreSQL ${major}.`,
      'The files of a cluster fit only their own major version.',
    );
  }
  const parent = dirname(dataDirectory);
  if (!(await isThere(parent)))
    throw invalid(`The folder ${parent} is not there.`, 'Make it, owned by the user of the server.');
  if ((await isThere(dataDirectory)) && (await stat(dataDirectory)).dev !== (await stat(parent)).dev) {
    throw invalid(
      `${dataDirectory} is a mount point, and cannot be swapped with a folder beside it.`,
      'Use a folder below the mount point as data folder.',
    );
  }
  if (await hasTablespaces(repository, treeId, saved.name, signal)) {
    throw invalid(
      `The cluster "${saved.name}" has tablespaces outside of its data folder, which are saved but not put back in place.`,
      `Restore ${saved.path} and ${tablespacesPath(saved.name)} into folders of their own, then start the server there.`,
    );
  }
  return binDirectoryOf(component, dataDirectory, savedMajor);
}

async function hasTablespaces(
  repository: Repository,
  treeId: string,
  name: string,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await findNode(repository, { treeId, path: tablespacesPath(name), signal });
    return true;
  } catch (error) {
    if (isAppError(error, 'PATH_NOT_FOUND')) return false;
    throw error;
  }
}

export interface RestoreBaseInput extends BaseTarget {
  readonly context: Pick<RunContext, 'stopped' | 'log' | 'signal'>;
  /** The record of the server is added while it is stopped. */
  readonly stopped: StoppedRecord[];
  readonly onProgress?: OnProgress | undefined;
  readonly onDone?: ((what: string) => void) | undefined;
}

/** DATABASE_RESTORE_FAILED when the server does not start on the restored files; the old ones are back then. */
export async function restoreBase(input: RestoreBaseInput): Promise<readonly Problem[]> {
  const { component, context, saved, signal, stopped } = input;
  const binDirectory = await checkBaseTarget(input);
  const dataDirectory = component.dataDirectory ?? '';
  const record = await stopHostDatabase(context, component);
  if (record !== null) stopped.push(record);
  const known = stopped.find(({ thing }) => thing.kind === 'host-database' && thing.dataDirectory === dataDirectory);
  const serverOptions = known?.thing.kind === 'host-database' ? known.thing.serverOptions : null;
  const beside = `${dataDirectory}.varve-new-${randomBytes(4).toString('hex')}`;
  try {
    const result = await writeBeside(input, beside, dataDirectory);
    const swap = await swapDataDirectory({ dataDirectory, restored: beside, signal });
    await startOrRollBack(swap, { dataDirectory, binDirectory, serverOptions, name: saved.name });
    input.onDone?.(dataDirectory);
    if (known !== undefined) {
      stopped.splice(stopped.indexOf(known), 1);
      await context.stopped.clear(known.id);
    } else {
      context.log('info', `The server of ${dataDirectory} did not run before: it is stopped again.`);
      await stopServer({ dataDirectory, binDir: binDirectory });
    }
    await swap.commit();
    return result;
  } finally {
    await rm(beside, { recursive: true, force: true });
  }
}

async function writeBeside(
  input: RestoreBaseInput,
  beside: string,
  dataDirectory: string,
): Promise<readonly Problem[]> {
  const { repository, treeId, saved, signal, onProgress } = input;
  await mkdir(beside, { mode: 0o700 });
  const { problems } = await restoreTree(repository, { treeId, path: saved.path, target: beside, signal, onProgress });
  if (problems.length > 0) {
    throw new AppError(
      'DATABASE_RESTORE_FAILED',
      `The files of the database "${saved.name}" could not all be written: ${problems[0]?.path}: ${problems[0]?.message}`,
      {
        hint: 'The data folder was not touched. Run Varve as root, or as the user of the server.',
      },
    );
  }
  const like = await stat((await isThere(dataDirectory)) ? dataDirectory : join(beside, 'PG_VERSION'));
  await chmod(beside, 0o700);
  if (process.getuid?.() === 0) await chown(beside, like.uid, like.gid);
  return problems;
}

interface StartInput {
  readonly dataDirectory: string;
  readonly binDirectory: string;
  readonly serverOptions: string | null;
  readonly name: string;
}

async function startOrRollBack(
  swap: DataDirectorySwap,
  { dataDirectory, binDirectory, serverOptions, name }: StartInput,
): Promise<void> {
  const server = { dataDirectory, binDir: binDirectory };
  try {
    await startServer({ ...server, ...(serverOptions === null ? {} : { options: serverOptions }) });
  } catch (error) {
    await stopServer({ ...server, mode: 'immediate' });
    await swap.rollback();
    if (swap.asideDirectory !== undefined) await startHostDatabase({ dataDirectory, binDirectory, serverOptions });
    throw new AppError(
      'DATABASE_RESTORE_FAILED',
      `The server did not start on the restored files of "${name}": ${messageOf(error)}`,
      {
        hint: 'The files that were there are back in place, and the server runs on them.',
        cause: error,
      },
    );
  }
}

function invalid(message: string, hint: string): AppError {
  return new AppError('RESTORE_TARGET_INVALID', message, { hint });
}
