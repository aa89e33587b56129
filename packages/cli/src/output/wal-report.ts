// What `varve wal inspect` prints. Positions are PostgreSQL's text for them, times have microseconds, in UTC.

import { formatBytes } from '@varve/base';
import {
  formatLsn,
  formatUnixMicros,
  type TimelineHistory,
  type WalEndReason,
  type WalRange,
  type WalSummary,
} from '@varve/postgres';
import { factLines, tableLines } from './table.ts';
import { counted } from './text.ts';

export interface WalReport extends WalSummary {
  readonly histories: readonly TimelineHistory[];
  /** Names of files that were not read. */
  readonly leftOut: readonly string[];
}

/** How the WAL of a running or crashed server ends. */
const normalEnds: ReadonlySet<WalEndReason> = new Set([
  'end-of-input',
  'zeros',
  'wrong-page-address',
  'wrong-previous',
]);

export function hasDamage({ gaps, ranges }: WalReport): boolean {
  return gaps.length > 0 || ranges.some((range) => !normalEnds.has(range.end.reason));
}

/** With LSNs as text and times as ISO 8601. */
export function walReportJson(report: WalReport): unknown {
  return {
    cluster: report.identity ?? null,
    ranges: report.ranges.map(rangeJson),
    gaps: report.gaps.map((gap) => plain(gap)),
    unusedSegments: report.unusedSegments.map((segment) => plain(segment)),
    parameterMaxima: report.parameterMaxima ?? null,
    histories: report.histories.map((history) => plain(history)),
    leftOut: report.leftOut,
  };
}

function rangeJson(range: WalRange): unknown {
  const { latestUnixMicros, ...rest } = range;
  return {
    ...(plain(rest) as object),
    latestTime: latestUnixMicros === undefined ? null : formatUnixMicros(latestUnixMicros),
  };
}

/** Bigints other than transaction numbers are positions; undefined becomes null; `unixMicros` becomes `time`. */
function plain(value: unknown, name?: string): unknown {
  if (value === undefined) return null;
  if (typeof value === 'bigint') return name === 'nextXid' ? value : formatLsn(value as WalRange['endLsn']);
  if (Array.isArray(value)) return value.map((part) => plain(part));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]: [string, unknown]) =>
      key === 'unixMicros' ? ['time', formatUnixMicros(Number(part))] : [key, plain(part, key)],
    ),
  );
}

export function walReportLines(report: WalReport): string[] {
  const { identity, ranges, gaps, unusedSegments, histories, leftOut } = report;
  const blocks = [
    identity ? [clusterLine(identity)] : [],
    ...ranges.map(rangeLines),
    tableOf(
      'Restore points:',
      ranges,
      (range) => range.restorePoints,
      (point) => point.name,
    ),
    tableOf(
      'Tablespaces created:',
      ranges,
      (range) => range.tablespacesCreated,
      (event) => event.path,
    ),
    tableOf(
      'Settings changed:',
      ranges,
      (range) => range.parameterChanges,
      ({ parameters }) =>
        `max_connections ${parameters.maxConnections}, max_worker_processes ${parameters.maxWorkerProcesses}, ` +
        `max_wal_senders ${parameters.maxWalSenders}, max_prepared_transactions ${parameters.maxPreparedTransactions}, ` +
        `max_locks_per_transaction ${parameters.maxLocksPerTransaction}, wal_level ${parameters.walLevel}`,
    ),
    gaps.map(
      (gap) =>
        `Gap: ${formatLsn(gap.startLsn)} to ${formatLsn(gap.endLsn)} of timeline ${gap.timeline} ` +
        `(${formatBytes(Number(gap.endLsn - gap.startLsn))}): ${gap.end?.detail ?? 'segments are missing'}`,
    ),
    unusedSegments.length === 0 ? [] : [`Without content yet: ${counted(unusedSegments.length, 'segment')}`],
    histories.map(historyLine),
    leftOut.map((name) => `Not read: ${name}, because the whole segment is there too`),
  ];
  const filled = blocks.filter((lines) => lines.length > 0);
  return filled.flatMap((lines, index) => lines.concat(index === filled.length - 1 ? [] : ['']));
}

function clusterLine({ systemId, major, segmentSizeBytes }: NonNullable<WalSummary['identity']>): string {
  return `PostgreSQL ${major}, cluster ${systemId}, segments of ${formatBytes(segmentSizeBytes)}`;
}

function rangeLines(range: WalRange): string[] {
  const commit = (event: WalRange['firstCommit']): string =>
    event ? `${formatUnixMicros(event.unixMicros)} at ${formatLsn(event.lsn)}, transaction ${event.xid}` : '-';
  const { branch, lastCheckpoint } = range;
  return factLines([
    ['Timeline', String(range.timeline)],
    ['Range', `${formatLsn(range.startLsn)} to ${formatLsn(range.endLsn)}`],
    ['Holds', `${counted(range.segmentCount, 'segment')}, ${counted(range.recordCount, 'record')}`],
    ['Transactions', `${counted(range.commitCount, 'commit')}, ${counted(range.abortCount, 'abort')}`],
    ['First commit', commit(range.firstCommit)],
    ['Last commit', commit(range.lastCommit)],
    [
      'Checkpoints',
      lastCheckpoint
        ? `${range.checkpointCount}, the last at ${formatLsn(lastCheckpoint.lsn)} with redo from ${formatLsn(lastCheckpoint.redoLsn)}`
        : '0',
    ],
    ...(branch ? ([['Begins', `at ${formatLsn(branch.lsn)}, from timeline ${branch.previousTimeline}`]] as const) : []),
    ['Ends', `${formatLsn(range.endLsn)}: ${range.end.detail}`],
  ]);
}

function tableOf<Event extends { readonly lsn: WalRange['endLsn']; readonly unixMicros?: number }>(
  title: string,
  ranges: readonly WalRange[],
  eventsOf: (range: WalRange) => readonly Event[],
  describe: (event: Event) => string,
): string[] {
  const rows = ranges.flatMap((range) =>
    eventsOf(range).map((event) => [
      String(range.timeline),
      formatLsn(event.lsn),
      event.unixMicros === undefined ? '-' : formatUnixMicros(event.unixMicros),
      describe(event),
    ]),
  );
  if (rows.length === 0) return [];
  const columns = [{ title: 'TIMELINE' }, { title: 'POSITION' }, { title: 'TIME' }, { title: 'WHAT' }];
  return [title, ...tableLines(columns, rows).map((line) => `  ${line}`)];
}

function historyLine({ timeline, ancestors }: TimelineHistory): string {
  const path = ancestors.map((ancestor) => {
    const reason = ancestor.reason === '' ? '' : ` (${ancestor.reason})`;
    return `${ancestor.timeline} up to ${formatLsn(ancestor.switchLsn)}${reason}`;
  });
  return `Timeline ${timeline} comes from ${path.join(', then ')}`;
}
