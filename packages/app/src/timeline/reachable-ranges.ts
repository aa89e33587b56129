// The ranges that can be reached along one way: in each piece of the log, from the end of its oldest base backup on.

import type { Lsn } from '@varve/postgres';
import type { BaseFacts } from './base-facts.ts';
import { commitTimes, firstCommitBehind } from './commit-times.ts';
import type { WayStep } from './lineage.ts';
import type { Piece } from './log-pieces.ts';

/** Base backups on the way whose end lies in the piece, so that recovery from them can go on to its end; by position. */
export function basesIn(piece: Piece, way: readonly WayStep[], bases: readonly BaseFacts[]): BaseFacts[] {
  const rewoundAtMs = piece.gap?.reason === 'diverged' ? (piece.parts[0]?.block.startedAtMs ?? 0) : 0;
  return bases
    .filter(({ timeline, endLsn, finishedAtMs }) => {
      // Made before the server was set back: its positions are those of another history.
      if (finishedAtMs < rewoundAtMs) return false;
      const step = way.find((one) => one.timeline === timeline);
      const isOnWay = step !== undefined && (step.until === undefined || endLsn <= step.until);
      return isOnWay && endLsn >= piece.startLsn && endLsn <= piece.replayableLsn;
    })
    .toSorted((a, b) => (a.endLsn < b.endLsn ? -1 : Number(a.endLsn > b.endLsn)));
}

/**
 * From when on a base backup reaches every moment, in microseconds of the server's clock. Its end has no time of its own there:
 * it lies behind every commit of the segments before it and before every commit of those behind it, and the host's clock
 * says the rest.
 */
export function reachableFrom(piece: Piece, { endLsn, finishedAtMs }: BaseFacts): number {
  const behind = firstCommitBehind(piece, endLsn);
  const before = commitTimes(piece, { to: endLsn }).greatest;
  const latest = Number.isNaN(behind) ? finishedAtMs * 1000 : Math.min(finishedAtMs * 1000, behind);
  return Number.isNaN(before) ? latest : Math.max(latest, before);
}

/** Where a way leaves what the database has now; undefined when it never does. */
export function divergence(
  way: readonly WayStep[],
  current: readonly WayStep[],
): { readonly lsn: Lsn | undefined } | undefined {
  const own = way.at(-1);
  if (!own) return undefined;
  const shared = current.find(({ timeline }) => timeline === own.timeline);
  if (shared) return shared.until === undefined ? undefined : { lsn: shared.until };
  return { lsn: way.at(-2)?.until };
}
