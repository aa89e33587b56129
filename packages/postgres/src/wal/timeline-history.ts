// History files: which timelines a timeline comes from, and where each of them was left. With them: can a position be
// reached from a base backup, and over which timelines. Source: src/backend/access/transam/timeline.c (the format),
// manual "Timelines" (continuous-archiving, backup-timelines).

import { AppError } from '@varve/base';
import { formatLsn, parseLsn, type Lsn } from '../lsn.ts';
import type { WalPosition } from './segments.ts';

/** An ancestor, and the position at which its child left it. */
export interface TimelineAncestor {
  readonly timeline: number;
  /** End of what the child took over: the child's own first record begins here. */
  readonly switchLsn: Lsn;
  /** Free text of the server (`no recovery target specified`). */
  readonly reason: string;
}

/** A timeline and its ancestors, the oldest first; those of timeline 1, which has no history file, are none. */
export interface TimelineHistory {
  readonly timeline: number;
  readonly ancestors: readonly TimelineAncestor[];
}

/** A part of the way of a recovery: the WAL of [startLsn, endLsn) as `timeline` has it. */
export interface RecoveryStep {
  readonly timeline: number;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
}

export type RecoveryPath =
  | { readonly isReachable: true; readonly steps: readonly RecoveryStep[] }
  | { readonly isReachable: false; readonly reason: string };

const line = /^\s*(\d+)\s+([0-9A-Fa-f]{1,8}\/[0-9A-Fa-f]{1,8})(?:\s+(.*))?$/;

/**
 * Reads the content of the history file of `timeline`, as text or as the server sent it: reasons may be in any encoding,
 * what matters is ASCII. WAL_INVALID when it is not one, or not one of this timeline.
 */
export function parseTimelineHistory(content: string | Uint8Array, timeline: number): TimelineHistory {
  const text =
    typeof content === 'string'
      ? content
      : Buffer.from(content.buffer, content.byteOffset, content.byteLength).toString('latin1');
  const ancestors: TimelineAncestor[] = [];
  for (const [index, written] of text.split('\n').entries()) {
    if (/^\s*(#|$)/.test(written)) continue;
    const match = line.exec(written);
    if (!match) throw invalid(timeline, `line ${index + 1} is not “timeline, position, reason”`);
    const ancestor = {
      timeline: Number(match[1]),
      switchLsn: parseLsn(match[2] ?? ''),
      reason: match[3]?.trim() ?? '',
    };
    assertInOrder(ancestor, ancestors.at(-1), timeline);
    ancestors.push(ancestor);
  }
  if (ancestors.length === 0) throw invalid(timeline, 'it names no timeline to come from');
  return { timeline, ancestors };
}

/** The content of a history file, as the server writes it. */
export function formatTimelineHistory(history: TimelineHistory): string {
  return history.ancestors
    .map(({ timeline, switchLsn, reason }) => `${timeline}\t${formatLsn(switchLsn)}\t${reason}\n`)
    .join('\n');
}

/** The timeline on which the byte at `lsn` was written, seen from `history`. */
export function timelineAt(history: TimelineHistory, lsn: Lsn): number {
  return history.ancestors.find(({ switchLsn }) => lsn < switchLsn)?.timeline ?? history.timeline;
}

/**
 * How recovery gets from a base backup (its timeline and the end position that makes it consistent) to a target. The
 * history is that of the target's timeline. A target that lies before the point where its timeline began is reached over
 * the ancestors. Where two steps meet within a segment, the server reads that segment from the later timeline's file.
 */
export function recoveryPath(options: {
  backup: WalPosition;
  target: WalPosition;
  history: TimelineHistory;
}): RecoveryPath {
  const { backup, target, history } = options;
  if (history.timeline !== target.timeline) {
    throw new RangeError(`The history is that of timeline ${history.timeline}, not of ${target.timeline}.`);
  }
  const left = history.ancestors.find(({ timeline }) => timeline === backup.timeline);
  if (left === undefined && backup.timeline !== target.timeline) {
    return no(
      `Timeline ${target.timeline} does not come from timeline ${backup.timeline}, on which the backup was made.`,
    );
  }
  if (left !== undefined && backup.lsn > left.switchLsn) {
    return no(
      `Timeline ${target.timeline} left timeline ${backup.timeline} at ${formatLsn(left.switchLsn)}, before the backup ` +
        `ended at ${formatLsn(backup.lsn)}.`,
    );
  }
  if (target.lsn < backup.lsn) {
    return no(`The target ${formatLsn(target.lsn)} lies before the end of the backup at ${formatLsn(backup.lsn)}.`);
  }
  return { isReachable: true, steps: stepsBetween(backup, target.lsn, history) };
}

function stepsBetween(backup: WalPosition, endLsn: Lsn, history: TimelineHistory): RecoveryStep[] {
  const path = [...history.ancestors, { timeline: history.timeline, switchLsn: endLsn }];
  const steps: RecoveryStep[] = [];
  let startLsn = backup.lsn;
  for (const { timeline, switchLsn } of path.slice(path.findIndex((part) => part.timeline === backup.timeline))) {
    const stepEnd = switchLsn < endLsn ? switchLsn : endLsn;
    if (stepEnd > startLsn) steps.push({ timeline, startLsn, endLsn: stepEnd });
    startLsn = stepEnd;
  }
  return steps;
}

function assertInOrder(next: TimelineAncestor, before: TimelineAncestor | undefined, timeline: number): void {
  if (next.timeline === 0 || next.timeline >= timeline) {
    throw invalid(timeline, `it names timeline ${next.timeline}, which cannot be an ancestor`);
  }
  if (before === undefined) return;
  if (next.timeline <= before.timeline) {
    throw invalid(timeline, `timeline ${next.timeline} stands after ${before.timeline}`);
  }
  if (next.switchLsn < before.switchLsn) {
    throw invalid(timeline, `timeline ${next.timeline} was left before its parent, at ${formatLsn(next.switchLsn)}`);
  }
}

function invalid(timeline: number, what: string): AppError {
  return new AppError('WAL_INVALID', `The history file of timeline ${timeline} is not valid: ${what}.`, {
    hint: 'Fetch it again from the server or the archive: without it the timeline cannot be restored.',
  });
}

function no(reason: string): RecoveryPath {
  return { isReachable: false, reason };
}
