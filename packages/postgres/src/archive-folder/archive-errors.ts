// What is wrong with files in an archive folder, as errors that say what to do.

import { AppError } from '@varve/base';
import { formatLsn } from '../lsn.ts';
import { describePosition } from '../replication/wal-stream.ts';
import type { WalPosition } from '../wal/segments.ts';
import type { ArchivedFile } from './archive-files.ts';

/**
 * What a file of another cluster means: WAL_DIVERGED when the server is another one now, WAL_ARCHIVE_FAILED when the server itself
 * says that it is still the one whose log was captured.
 */
export function otherCluster(
  { name, path }: ArchivedFile,
  {
    systemId,
    captured,
    known,
  }: { readonly systemId: string; readonly captured: string; readonly known?: string | undefined },
): AppError {
  const message = `${name} in the archive folder is of the cluster ${systemId}; what was captured is of ${captured}.`;
  const context = { path, systemId };
  return known === captured
    ? new AppError('WAL_ARCHIVE_FAILED', message, {
        hint: 'Another server writes into the same folder: give it one of its own, and remove its files from this one.',
        context,
      })
    : new AppError('WAL_DIVERGED', message, {
        hint: 'Capturing begins anew when the cluster was made anew. Each server needs a folder of its own.',
        context,
      });
}

/** WAL_DIVERGED: a file has other bytes than what was captured under its name. */
export function archiveDiverged({ name, path }: ArchivedFile): AppError {
  return new AppError(
    'WAL_DIVERGED',
    `${name} in the archive folder is not what was captured under that name before.`,
    {
      hint: 'The server was set back (a restored volume or machine) without a new timeline, or another one writes into its folder.',
      context: { path },
    },
  );
}

/** WAL_DIVERGED: there are two histories of one timeline. */
export function otherHistory(timeline: number): AppError {
  return new AppError(
    'WAL_DIVERGED',
    `The archive folder has another history of timeline ${timeline} than was captured.`,
    {
      hint: 'Two servers were promoted from the same past. Give each of them a folder of its own.',
    },
  );
}

/** WAL_GAP: what lies between two places never came. */
export function missingSegment(
  name: string,
  { from, next }: { readonly from: WalPosition; readonly next: WalPosition },
): AppError {
  return new AppError(
    'WAL_GAP',
    `The segment ${name} never came into the archive folder: the log was captured up to ${describePosition(from)} and goes on at ${describePosition(next)}.`,
    {
      hint: 'It was removed by hand, or archiving was off for a while. A new base backup makes what comes from here on recoverable.',
      context: { timeline: from.timeline, lsn: formatLsn(from.lsn) },
    },
  );
}

/** WAL_ARCHIVE_FAILED: a file that is shorter than a segment, and does not grow. */
export function incompleteFile({ name, path, sizeBytes }: ArchivedFile, segmentBytes: number): AppError {
  return new AppError(
    'WAL_ARCHIVE_FAILED',
    `${name} in the archive folder has ${sizeBytes} of ${segmentBytes} bytes, and nobody has written to it for a while.`,
    {
      hint: 'Copying it was broken off. Let archive_command copy under another name and rename (varve wal settings), and remove this file: the server archives it again if it was not told that it succeeded.',
      context: { path },
    },
  );
}
