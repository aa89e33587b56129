// Whether the files of a cluster can take the place of a data folder of this host.

import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AppError } from '@varve/base';
import type { DatabaseComponent, SavedDatabase } from '@varve/contract';
import { isThere } from '../code/checkout.ts';
import { binDirectoryOf, majorOf } from './host-database.ts';

interface BaseTarget {
  readonly saved: SavedDatabase;
  readonly component: DatabaseComponent;
}

/** RESTORE_TARGET_INVALID when the backup cannot take the place of the data folder. Changes nothing. */
export async function checkBaseTarget({ saved, component }: BaseTarget): Promise<string> {
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
  return binDirectoryOf(component, dataDirectory, savedMajor);
}

function invalid(message: string, hint: string): AppError {
  return new AppError('RESTORE_TARGET_INVALID', message, { hint });
}
