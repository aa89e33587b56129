// Where the log in an archive folder goes on: the next segment of the same timeline, the first of a later one, or a place behind
// segments that are missing. Pure.

import type { Lsn } from '../lsn.ts';
import { parseWalFileName, segmentNameAt, segmentStart, type WalPosition } from '../wal/segments.ts';
import type { TimelineHistory } from '../wal/timeline-history.ts';

export interface ArchiveStand {
  /** Start of the segment that is wanted. */
  readonly wanted: WalPosition;
  readonly segmentBytes: number;
  /** Names of the whole segments that are there, in order. */
  readonly segments: readonly string[];
  /** Those that are known, whatever their order. */
  readonly histories: readonly TimelineHistory[];
}

export type ArchiveStep =
  /** The wanted segment is there. */
  | { readonly kind: 'segment'; readonly name: string }
  /** The timeline was left at `lsn` for another one, whose first segment is there. */
  | { readonly kind: 'timeline'; readonly next: WalPosition }
  /** It is not there, but later ones are. */
  | { readonly kind: 'missing'; readonly name: string; readonly next: WalPosition }
  /** Nothing has come that was not there before. */
  | { readonly kind: 'wait' };

export function nextStep(stand: ArchiveStand): ArchiveStep {
  const { wanted, segmentBytes, segments } = stand;
  const name = segmentNameAt(wanted, segmentBytes);
  const next = leftFor(stand);
  const isThere = segments.includes(name);
  // What the old timeline wrote behind the switch is no past of the new one; up to there it is whole in the segments before.
  if (next && (!isThere || segmentStart(next.lsn, segmentBytes) === wanted.lsn)) return { kind: 'timeline', next };
  if (isThere) return { kind: 'segment', name };
  const later = segments.find((other) => other > name);
  const position = later === undefined ? undefined : positionOf(later, segmentBytes);
  return position === undefined ? { kind: 'wait' } : { kind: 'missing', name, next: position };
}

/** Segments that lie before the wanted one: taken before, or never wanted. */
export function segmentsBehind({ wanted, segmentBytes, segments }: ArchiveStand): readonly string[] {
  const name = segmentNameAt(wanted, segmentBytes);
  return segments.filter((other) => other < name);
}

/** The timeline that left the wanted one at or before the end of the wanted segment, when its first segment is there. */
function leftFor({ wanted, segmentBytes, segments, histories }: ArchiveStand): WalPosition | undefined {
  const newestFirst = histories.toSorted((a, b) => b.timeline - a.timeline);
  for (const { timeline, ancestors } of newestFirst) {
    const index = ancestors.findIndex((ancestor) => ancestor.timeline === wanted.timeline);
    const left = ancestors[index];
    if (!left || segmentStart(left.switchLsn, segmentBytes) > wanted.lsn) continue;
    const next = { timeline: ancestors[index + 1]?.timeline ?? timeline, lsn: left.switchLsn };
    const first = segmentNameAt({ ...next, lsn: segmentStart(next.lsn, segmentBytes) }, segmentBytes);
    if (segments.includes(first)) return next;
  }
  return undefined;
}

function positionOf(name: string, segmentBytes: number): WalPosition | undefined {
  const file = parseWalFileName(name, segmentBytes);
  const lsn: Lsn | undefined = file?.kind === 'segment' ? file.startLsn : undefined;
  return file && lsn !== undefined ? { timeline: file.timeline, lsn } : undefined;
}
