// Whether the files of a cluster can take the place of a data folder of this host.

import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError, isAppError } from '@varve/base';
import type { DatabaseComponent, SavedDatabase } from '@varve/contract';
import { findNode, type Repository } from '@varve/repository';
import { isThere } from '../code/checkout.ts';
import { binDirectoryOf, majorOf } from './host-database.ts';
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

/** Whether the base backup has tablespaces outside of its data folder. */
export async function hasTablespaces(
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

function invalid(message: string, hint: string): AppError {
  return new AppError('RESTORE_TARGET_INVALID', message, { hint });
}
