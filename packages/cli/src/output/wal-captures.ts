// How captures stand, for people.

import { formatBytes } from '@varve/base';
import type { WalCapture } from '@varve/contract';
import { printable } from './text.ts';
import { tableLines } from './table.ts';
import { absoluteTime, relativeTime, timeForPeople } from './time.ts';

/** Of a file system with an archive folder. */
const leastFreeShare = 0.05;

/** A table, and below it what is wrong and what could become so. */
export function walCaptureLines(captures: readonly WalCapture[], now: Date): string[] {
  if (captures.length === 0) return ['No database is captured. Turn it on: varve wal on APP'];
  const rows = captures.map((capture) => [
    `${capture.appId}/${capture.component}`,
    capture.way === 'archive' ? `${capture.state} (archive)` : capture.state,
    capture.completeAt === null ? '-' : relativeTime(capture.completeAt, now),
    capture.committedLsn ?? '-',
    capture.capturedLsn ?? '-',
    capture.serverLsn ?? '-',
    formatBytes(capture.spoolBytes),
    keptBytes(capture),
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

/** What waits where the server left it: kept for the slot, or in the archive folder. */
function keptBytes({ archive, slotFacts }: WalCapture): string {
  if (archive) return formatBytes(archive.waitingBytes);
  const retained = slotFacts?.retainedBytes ?? null;
  return retained === null ? '-' : formatBytes(retained);
}

function archiveRemarks({ archive }: WalCapture): string[] {
  if (!archive) return [];
  const { directory, readFrom, server, freeBytes, totalBytes } = archive;
  const seen = readFrom === null || readFrom === directory ? '' : `, here ${readFrom}`;
  const lag =
    server === null
      ? ''
      : server.timeoutSeconds === 0
        ? '; archive_timeout is 0: log of a quiet database leaves the server only when a segment is full'
        : `; at most about ${server.timeoutSeconds} s behind (archive_timeout)`;
  const lines = [`log comes by archive_command through ${directory}${seen}${lag}`];
  if (freeBytes !== null && totalBytes !== null && freeBytes < totalBytes * leastFreeShare) {
    lines.push(`only ${formatBytes(freeBytes)} are free there: when it is full, the server keeps the log in pg_wal`);
  }
  return lines;
}

function remarks(capture: WalCapture, now: Date): string[] {
  const { problem, commitProblem, gap, hasBaseBackup, slotFacts, state, since } = capture;
  const lines: string[] = [];
  if (state === 'off') lines.push(`no server captures it since ${absoluteTime(since)}: start varve server`);
  for (const one of [problem, commitProblem]) if (one) lines.push([one.message, one.hint].filter(Boolean).join(' '));
  if (gap) lines.push(`gap found ${timeForPeople(gap.detectedAt, now)}: ${gap.message}`);
  if (hasBaseBackup === false)
    lines.push('there is no base backup in what was captured: nothing of it can be recovered yet');
  lines.push(...archiveRemarks(capture));
  if (slotFacts && slotFacts.keepLimitBytes === null) {
    lines.push('max_slot_wal_keep_size is unlimited: while nothing is captured, log fills the disk of the server');
  }
  if (slotFacts?.status === 'lost' || slotFacts?.status === 'unreserved') {
    lines.push(`the slot is ${slotFacts.status}: the server removes log that is not captured yet`);
  }
  return lines.map((line) => `${capture.appId}/${capture.component}: ${line}`);
}
