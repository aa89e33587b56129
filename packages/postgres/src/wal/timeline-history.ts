// Timeline history files: the ancestors of a timeline, and where each was left. Lines of "timeline LSN reason", the oldest
// first; `#` starts a comment. Source: timeline.c, readTimeLineHistory; manual: "Timelines" (continuous-archiving).

import { AppError } from '@varve/base';
import { parseLsn, type Lsn } from '../lsn.ts';

/** A timeline that came to its end, and the position at which the next one goes on. */
export interface TimelineEnd {
  readonly timeline: number;
  readonly lsn: Lsn;
}

/** Reads the bytes of a history file. Throws DATABASE_PROTOCOL for lines that are none, or out of order. */
export function parseTimelineHistory(bytes: Uint8Array): TimelineEnd[] {
  const ends: TimelineEnd[] = [];
  // Reasons may be in any encoding; what is read here is ASCII.
  for (const line of Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1').split('\n')) {
    const text = line.trim();
    if (text === '' || text.startsWith('#')) continue;
    const match = /^(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)(?:\s|$)/.exec(text);
    if (!match) throw new AppError('DATABASE_PROTOCOL', 'A timeline history file has a line that is not understood.');
    const timeline = Number(match[1]);
    if (timeline <= (ends.at(-1)?.timeline ?? 0)) {
      throw new AppError('DATABASE_PROTOCOL', 'A timeline history file does not list its timelines in order.');
    }
    ends.push({ timeline, lsn: parseLsn(match[2] ?? '') });
  }
  return ends;
}

/** The timeline that a position is on, in the history of `current`: the first that ends after it. */
export function timelineAt(
  lsn: Lsn,
  options: { readonly history: readonly TimelineEnd[]; readonly current: number },
): number {
  return options.history.find((end) => lsn < end.lsn)?.timeline ?? options.current;
}
