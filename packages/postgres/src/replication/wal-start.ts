// Where streaming starts, and whether the server is still the one whose WAL was captured: same cluster, same history. Decided
// from what the server says about itself, never from the text of its errors, which are translated.

import { AppError } from '@varve/base';
import type { PgConnection } from '../connection/connection.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import { segmentStart, type WalPosition } from '../wal/segments.ts';
import { parseTimelineHistory, timelineAt } from '../wal/timeline-history.ts';
import { readTimelineHistory, type WalSource } from './cluster.ts';
import type { SpoolState } from './spool/spool-folder.ts';
import { describePosition } from './wal-stream.ts';

/** Throws WAL_DIVERGED when a spool holds WAL of another cluster. */
export function assertSameCluster(state: SpoolState, source: WalSource, address: string): void {
  if (state.systemId !== source.systemId) {
    throw diverged(
      `PostgreSQL at ${address} is the cluster ${source.systemId}; the spool holds WAL of the cluster ${state.systemId}.`,
    );
  }
  if (state.segmentBytes === source.segmentBytes && state.pageBytes === source.pageBytes) return;
  throw diverged(
    `PostgreSQL at ${address} has WAL segments of ${source.segmentBytes} bytes now; the spool holds segments of ${state.segmentBytes} bytes.`,
  );
}

/**
 * Throws WAL_DIVERGED when what was captured up to `end` is not part of the server's past, DATABASE_UNREACHABLE (worth a
 * retry) when a standby has not got there yet.
 */
export async function assertSameHistory(connection: PgConnection, source: WalSource, end: WalPosition): Promise<void> {
  const { address } = connection.server;
  const here = describePosition(end);
  const there = describePosition({ timeline: source.timeline, lsn: source.flushLsn });
  const isAhead = end.timeline > source.timeline || (end.timeline === source.timeline && end.lsn > source.flushLsn);
  if (isAhead) {
    if (source.isInRecovery) {
      throw new AppError(
        'DATABASE_UNREACHABLE',
        `The standby at ${address} is at ${there}; WAL was captured up to ${here}.`,
        {
          hint: 'It has to receive that WAL first. Capture from the primary if this lasts.',
          retry: true,
        },
      );
    }
    throw diverged(`PostgreSQL at ${address} is at ${there}; WAL was captured up to ${here}: the server was set back.`);
  }
  if (end.timeline === source.timeline) return;
  const history = parseTimelineHistory(await readTimelineHistory(connection, source.timeline), source.timeline);
  const left = history.ancestors.find((ancestor) => ancestor.timeline === end.timeline);
  if (!left) {
    throw diverged(
      `Timeline ${end.timeline}, on which WAL was captured, is not in the past of timeline ${source.timeline}.`,
    );
  }
  // Within the segment of the switch it starts anew on the next timeline, and the old tail stays. Beyond, whole segments are of a past that is not this server's.
  if (segmentStart(end.lsn, source.segmentBytes) <= left.switchLsn) return;
  throw diverged(
    `PostgreSQL at ${address} left timeline ${end.timeline} at ${formatLsn(left.switchLsn)}; WAL was captured on it up to ${formatLsn(end.lsn)}.`,
  );
}

/** Where a spool without WAL begins: at what the slot keeps, or else at what the server writes now. */
export async function firstPosition(
  connection: PgConnection,
  source: WalSource,
  slotRestart: Lsn | undefined,
): Promise<WalPosition> {
  const lsn = slotRestart ?? source.flushLsn;
  if (source.timeline === 1) return { timeline: 1, lsn };
  const history = parseTimelineHistory(await readTimelineHistory(connection, source.timeline), source.timeline);
  return { timeline: timelineAt(history, lsn), lsn };
}

function diverged(message: string): AppError {
  return new AppError('WAL_DIVERGED', message, {
    hint: 'Check that this is the right server. If it is, capture into a new spool folder and make a new base backup.',
  });
}
