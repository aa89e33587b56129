// How captures stand, for people.

import { formatBytes } from '@varve/base';
import type { WalCapture } from '@varve/contract';
import { printable } from './text.ts';
import { tableLines } from './table.ts';
import { absoluteTime, relativeTime, timeForPeople } from './time.ts';

/** A table, and below it what is wrong and what could become so. */
export function walCaptureLines(captures: readonly WalCapture[], now: Date): string[] {
  if (captures.length === 0) return ['No database is captured. Turn it on: varve wal on APP'];
  const rows = captures.map((capture) => [
    `${capture.appId}/${capture.component}`,
    capture.state,
    capture.completeAt === null ? '-' : relativeTime(capture.completeAt, now),
    capture.committedLsn ?? '-',
    capture.capturedLsn ?? '-',
    capture.serverLsn ?? '-',
    formatBytes(capture.spoolBytes),
    capture.slotFacts?.retainedBytes === null || capture.slotFacts === null
      ? '-'
      : formatBytes(capture.slotFacts.retainedBytes),
  ]);
  const table = tableLines(
    [
      { title: 'DATABASE' },
      { title: 'CAPTURE' },
      { title: 'COMPLETE' },
      { title: 'REPOSITORY' },
      { title: 'SPOOL' },
      { title: 'SERVER' },
      { title: 'SPOOLED', align: 'right' },
      { title: 'SERVER KEEPS', align: 'right' },
    ],
    rows,
  );
  return [...table, ...captures.flatMap((capture) => remarks(capture, now).map((line) => printable(line)))];
}

function remarks(capture: WalCapture, now: Date): string[] {
  const { problem, commitProblem, gap, hasBaseBackup, slotFacts, state, since } = capture;
  const lines: string[] = [];
  if (state === 'off') lines.push(`no server captures it since ${absoluteTime(since)}: start varve server`);
  for (const one of [problem, commitProblem]) if (one) lines.push([one.message, one.hint].filter(Boolean).join(' '));
  if (gap) lines.push(`gap found ${timeForPeople(gap.detectedAt, now)}: ${gap.message}`);
  if (hasBaseBackup === false)
    lines.push('there is no base backup in what was captured: nothing of it can be recovered yet');
  if (slotFacts && slotFacts.keepLimitBytes === null) {
    lines.push('max_slot_wal_keep_size is unlimited: while nothing is captured, log fills the disk of the server');
  }
  if (slotFacts?.status === 'lost' || slotFacts?.status === 'unreserved') {
    lines.push(`the slot is ${slotFacts.status}: the server removes log that is not captured yet`);
  }
  return lines.map((line) => `${capture.appId}/${capture.component}: ${line}`);
}
