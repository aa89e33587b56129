// Where the folder that a server's archive_command fills is seen from here, and how full it is.

import { statfs } from 'node:fs/promises';
import { posix } from 'node:path';
import { AppError } from '@varve/base';
import type { WalArchive } from '@varve/contract';
import { listArchive } from '@varve/postgres';
import type { DatabaseAccess } from '../components/database/database-access.ts';
import { pathHere } from '../components/database/locate-data-folder.ts';

/** Throws WAL_ARCHIVE_FAILED when no mount of the container that can be read here holds the folder. */
export async function archivePlace(
  { directory, readFrom }: WalArchive,
  access: () => Promise<Pick<DatabaseAccess, 'container' | 'docker'>>,
  signal: AbortSignal,
): Promise<string> {
  if (readFrom !== undefined) return readFrom;
  const { container, docker } = await access();
  const place = await pathHere({ container, docker, signal }, posix.normalize(directory));
  if (place !== undefined) return place;
  throw new AppError(
    'WAL_ARCHIVE_FAILED',
    `No mount of the container ${container?.name ?? ''} that can be read from here holds ${directory}.`,
    {
      hint: `Mount a folder of this host or a volume at ${directory}, owned by the user that the server runs as; or say with --archive-read-from where Varve finds it.`,
      context: { directory },
    },
  );
}

export interface ArchiveSpace {
  readonly waitingFiles: number;
  readonly waitingBytes: number;
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** Throws WAL_ARCHIVE_FAILED when the folder cannot be read. */
export async function archiveSpace(place: string, segmentBytes: number): Promise<ArchiveSpace> {
  const { segments } = await listArchive(place);
  const disk = await statfs(place);
  return {
    waitingFiles: segments.length,
    waitingBytes: segments.length * segmentBytes,
    freeBytes: disk.bavail * disk.bsize,
    totalBytes: disk.blocks * disk.bsize,
  };
}
