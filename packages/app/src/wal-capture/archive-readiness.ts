// Whether log comes, or can come, through a folder: what the server says of its archiving, and whether the folder can be used here.

import { access, constants, stat } from 'node:fs/promises';
import { posix } from 'node:path';
import { isAppError, messageOf, type AppError } from '@varve/base';
import type { WalArchive, WalSettings } from '@varve/contract';
import {
  archiveFailure,
  archiveObstacles,
  archiveSettings,
  readArchiveFacts,
  readServerFacts,
  type ArchiveFacts,
} from '@varve/postgres';
import { openDatabase } from '../components/database/database-location.ts';
import { archivePlace } from './archive-place.ts';
import { captureAccess, type CaptureLocationInput } from './capture-location.ts';

export type ArchiveObstacle = WalSettings['obstacles'][number];

export interface ArchiveReadiness {
  /** Undefined when the server could not be asked. */
  readonly facts: ArchiveFacts | undefined;
  /** Why it could not. */
  readonly error: AppError | undefined;
  /** Where the folder is seen from here; undefined when it is not. */
  readonly place: string | undefined;
  /** What is missing or dangerous, what blocks first. */
  readonly obstacles: readonly ArchiveObstacle[];
}

/** Never throws for a server or a folder that cannot be used: that is what is told. */
export async function readArchiveReadiness(
  input: CaptureLocationInput,
  archive: WalArchive,
): Promise<ArchiveReadiness> {
  const { signal } = input;
  const obstacles: ArchiveObstacle[] = [];
  let facts: ArchiveFacts | undefined;
  let error: AppError | undefined;
  try {
    await using connection = await openDatabase(await captureAccess(input), { signal });
    facts = await readArchiveFacts(connection, { signal });
    obstacles.push(...archiveObstacles(facts, archive.directory));
    const { dataDirectory } = await readServerFacts(connection, { signal });
    if (dataDirectory !== undefined && isInside(archive.directory, dataDirectory)) {
      obstacles.push({
        severity: 'blocks',
        message: `${archive.directory} lies in the data folder of the server`,
        hint: 'Every base backup would have it in it, and a recovery would replace it: use another folder.',
      });
    }
  } catch (failure) {
    if (!isAppError(failure)) throw failure;
    error = failure;
  }
  let place: string | undefined;
  try {
    place = await usablePlace(input, archive);
  } catch (failure) {
    if (!isAppError(failure)) throw failure;
    obstacles.push({ severity: 'blocks', message: messageOf(failure).replace(/\.$/, ''), hint: failure.hint ?? '' });
  }
  const blocking = obstacles.filter(({ severity }) => severity === 'blocks');
  return { facts, error, place, obstacles: [...blocking, ...obstacles.filter((one) => !blocking.includes(one))] };
}

/** What a server needs so that log comes into a folder, and what of it is missing. */
export async function walSettings(input: CaptureLocationInput, archive: WalArchive): Promise<WalSettings> {
  const { facts, obstacles } = await readArchiveReadiness(input, archive);
  return {
    component: input.component.name,
    directory: archive.directory,
    lines: [...archiveSettings(archive.directory)],
    needsRestart: facts === undefined ? null : facts.mode === 'off',
    obstacles: [...obstacles],
  };
}

/** Throws WAL_ARCHIVE_FAILED when the folder is not there, or files in it cannot be read and removed. */
async function usablePlace(input: CaptureLocationInput, archive: WalArchive): Promise<string> {
  const place = await archivePlace(archive, () => captureAccess(input), input.signal);
  try {
    await access(place, constants.R_OK | constants.W_OK | constants.X_OK);
    const facts = await stat(place);
    if (!facts.isDirectory()) throw Object.assign(new Error(`${place} is no folder`), { code: 'ENOTDIR' });
    return place;
  } catch (error) {
    throw archiveFailure(error, place);
  }
}

function isInside(path: string, folder: string): boolean {
  const relative = posix.relative(folder, posix.normalize(path));
  return relative === '' || (!relative.startsWith('..') && !posix.isAbsolute(relative));
}
