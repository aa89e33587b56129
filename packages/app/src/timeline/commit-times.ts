// Times of the commits in a piece of the log, as exactly as whole segments tell. All times are microseconds, NaN for none.

import type { Lsn } from '@varve/postgres';
import { columnsPerSegment, type BlockFacts } from './block-facts.ts';
import { segmentStartOf, type Piece } from './log-pieces.ts';

/** Commits of concurrent sessions stand in the log a little out of the order of their times. */
const clockToleranceMicros = 5_000_000;

export interface CommitTimes {
  readonly commits: number;
  /** In the order of the log. */
  readonly first: number;
  readonly last: number;
  /** Greatest time of a commit. */
  readonly greatest: number;
  readonly clockSteps: readonly { readonly lsn: Lsn; readonly from: number; readonly to: number }[];
}

/** Of the segments that begin at or behind `from` and end at or before `to`; of all when absent. */
export function commitTimes(piece: Piece, bounds: { readonly from?: Lsn; readonly to?: Lsn } = {}): CommitTimes {
  let commits = 0;
  let first = Number.NaN;
  let last = Number.NaN;
  let greatest = Number.NEGATIVE_INFINITY;
  const clockSteps: { lsn: Lsn; from: number; to: number }[] = [];
  for (const { block, firstIndex, endIndex } of piece.parts) {
    const columns = block.segments;
    const begin = Math.max(firstIndex, bounds.from === undefined ? 0 : Math.ceil(indexAt(block, bounds.from)));
    const end = bounds.to === undefined ? endIndex : Math.min(endIndex, Math.floor(indexAt(block, bounds.to)));
    for (let index = begin; index < end; index++) {
      const at = index * columnsPerSegment;
      const commitCount = columns[at] ?? 0;
      if (commitCount === 0) continue;
      const [firstHere = 0, lastHere = 0, latestHere = 0] = [columns[at + 1], columns[at + 2], columns[at + 3]];
      if (last - firstHere > clockToleranceMicros)
        clockSteps.push({ lsn: segmentStartOf(block, index), from: last, to: firstHere });
      if (latestHere - lastHere > clockToleranceMicros)
        clockSteps.push({ lsn: segmentStartOf(block, index), from: latestHere, to: lastHere });
      commits += commitCount;
      if (Number.isNaN(first)) first = firstHere;
      last = lastHere;
      greatest = Math.max(greatest, firstHere, lastHere);
    }
  }
  return { commits, first, last, greatest: commits === 0 ? Number.NaN : greatest, clockSteps };
}

/** Of the first commit that is certainly behind a position. */
export function firstCommitBehind(piece: Piece, lsn: Lsn): number {
  for (const { block, firstIndex, endIndex } of piece.parts) {
    for (let index = Math.max(firstIndex, Math.ceil(indexAt(block, lsn))); index < endIndex; index++) {
      const at = index * columnsPerSegment;
      if ((block.segments[at] ?? 0) > 0) return block.segments[at + 1] ?? Number.NaN;
    }
  }
  return Number.NaN;
}

/** Start of the segment of the piece that a position lies in. */
export function segmentAround(piece: Piece, lsn: Lsn): Lsn {
  const part = piece.parts.findLast(({ block }) => block.startLsn <= lsn);
  return part ? segmentStartOf(part.block, Math.floor(indexAt(part.block, lsn))) : piece.startLsn;
}

/** Where a position lies in a block, in segments; below 0 before it. */
function indexAt({ startLsn, segmentBytes }: BlockFacts, lsn: Lsn): number {
  return Number(lsn - startLsn) / segmentBytes;
}
