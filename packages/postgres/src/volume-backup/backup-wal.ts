// The WAL that makes a base backup consistent, in the server's own `pg_wal`: which files, and the proof that what was read of
// them is right. Segments are given new names and overwritten when the server does not need them any more, so the proof
// comes after the reading: whoever then still finds the right pages under the right name has read them as well.

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, isAppError, systemErrorCode } from '@varve/base';
import { formatLsn, lsnFromBigInt, type Lsn } from '../lsn.ts';
import { checkSegmentFile } from '../wal/segment-file.ts';
import { segmentNameAt } from '../wal/segments.ts';
import { parseTimelineHistory } from '../wal/timeline-history.ts';

/** Which WAL a backup needs. */
export interface BackupWal {
  readonly startLsn: Lsn;
  /** First position that is not needed. */
  readonly endLsn: Lsn;
  readonly timeline: number;
  readonly segmentBytes: number;
  readonly systemId: string;
}

/** A file of `pg_wal`. */
export interface WalFile {
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
}

const walPageBytes = 8192;
const historyName = /^[0-9A-F]{8}\.history$/;

/** Names of the segments that a backup needs, in order. */
export function backupWalNames(wal: BackupWal): string[] {
  const { timeline, segmentBytes } = wal;
  return Array.from(segmentStarts(wal), (lsn) => segmentNameAt({ timeline, lsn }, segmentBytes));
}

/**
 * The segments from start to end, in order, and every history file. WAL_GAP when one is not there (any more).
 * @param folder `pg_wal`, with links followed
 * @param elsewhere names of segments that are taken from another place
 */
export async function findBackupWal(
  folder: string,
  wal: BackupWal,
  elsewhere: ReadonlySet<string> = new Set(),
): Promise<WalFile[]> {
  const files: WalFile[] = [];
  for (const name of backupWalNames(wal)) {
    if (elsewhere.has(name)) continue;
    const path = join(folder, name);
    try {
      files.push({ name, path, sizeBytes: (await stat(path)).size });
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      throw missing(name, wal);
    }
  }
  for (const name of await readdir(folder)) {
    if (!historyName.test(name)) continue;
    const path = join(folder, name);
    parseTimelineHistory(await readFile(path), Number.parseInt(name, 16));
    files.push({ name, path, sizeBytes: (await stat(path)).size });
  }
  return files;
}

/** Proves, after they were read, that all segments but those from elsewhere were what they should be. WAL_GAP when one is gone by now, WAL_INVALID. */
export async function proveBackupWal(
  folder: string,
  wal: BackupWal,
  elsewhere: ReadonlySet<string> = new Set(),
): Promise<void> {
  for (const start of segmentStarts(wal)) {
    const { timeline, segmentBytes, systemId } = wal;
    const name = segmentNameAt({ timeline, lsn: start }, segmentBytes);
    if (elsewhere.has(name)) continue;
    try {
      await checkSegmentFile(join(folder, name), { timeline, start, segmentBytes, pageBytes: walPageBytes, systemId });
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') throw missing(name, wal);
      // A segment that is being overwritten holds pages of an older one.
      if (isAppError(error, 'WAL_INVALID')) {
        throw new AppError('WAL_INVALID', error.message, {
          hint: 'The base backup was not kept. Try again; if it happens again, check disk and memory of this machine.',
          context: error.context,
          cause: error,
        });
      }
      throw error;
    }
  }
}

function* segmentStarts({ startLsn, endLsn, segmentBytes }: BackupWal): Generator<Lsn> {
  const size = BigInt(segmentBytes);
  for (let start = startLsn - (startLsn % size); start < endLsn; start += size) yield lsnFromBigInt(start);
}

function missing(name: string, { startLsn, endLsn }: BackupWal): AppError {
  return new AppError(
    'WAL_GAP',
    `The server has removed the WAL segment ${name}, which the base backup needs (${formatLsn(startLsn)} to ${formatLsn(endLsn)}).`,
    {
      hint: 'Set wal_keep_size (or max_slot_wal_keep_size, when it is set) larger than what is written during a backup, and leave a replication slot free (max_replication_slots). Then try again.',
      context: { segment: name },
      retry: true,
    },
  );
}
