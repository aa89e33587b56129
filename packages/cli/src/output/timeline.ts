// What `varve timeline` prints: for each database a bar of characters, then ranges, gaps and what waits in the order of time,
// named points, and restarts. Times are those of the machine's zone.

import { formatDuration } from '@varve/base';
import type { DatabaseTimeline, Timeline, TimelineGap, UnreachableStretch } from '@varve/contract';
import type { TextOutput } from '../io.ts';
import { tableLines } from './table.ts';
import { counted, firstLines, printable, styled } from './text.ts';
import { absoluteTime, timeForPeople } from './time.ts';

const barCells = 72;
const mostLines = 20;

const gapReasons: Readonly<Record<TimelineGap['reason'], string>> = {
  'wal-removed': 'the server had removed the log before it was captured',
  'slot-missing': 'the replication slot was gone',
  'slot-lost': 'the server had given up the replication slot',
  diverged: 'the server was set back, and wrote another history',
  'spool-lost': 'the spool was lost before it was stored',
  'archive-missing': 'its archive_command did not bring it',
  'block-missing': 'it is no longer in the repository',
  'block-unreadable': 'it cannot be read from the repository',
};

const stretchReasons: Readonly<Record<UnreachableStretch['reason'], string>> = {
  'capture-began': 'captured before the first base backup ended',
  'behind-gap': 'captured behind a gap, before the next base backup ended',
};

export interface PrintOptions {
  readonly now: Date;
  readonly output: TextOutput;
}

export function timelineLines(timeline: Timeline, { now, output }: PrintOptions): string[] {
  const { databases, snapshots, readAt } = timeline;
  const newest = snapshots.at(-1);
  const lines = databases.flatMap((database) => [...databaseLines(database, output), '']);
  if (databases.length === 0)
    lines.push('No database of this app is captured: it can be brought back to its snapshots.', '');
  lines.push(
    newest === undefined
      ? 'No snapshot.'
      : `${counted(snapshots.length, 'snapshot')}, the newest ${timeForPeople(newest.time, now)}.`,
  );
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  return [...lines, `As the repository was at ${absoluteTime(readAt)}; times in ${zone}.`];
}

function databaseLines(database: DatabaseTimeline, output: TextOutput): string[] {
  const { component, captured, timeline, points, restarts, damaged, nearest } = database;
  const state = captured ? 'captured' : 'not captured now';
  const place = timeline === null ? 'nothing is in the repository yet' : `timeline ${timeline}`;
  const lines = [styled(output, 'bold', `${printable(component)}: ${state}, ${place}`)];
  if (nearest !== null) lines.push(...nearestLines(nearest));
  const bar = barLines(database, output);
  if (bar.length > 0) lines.push('', ...bar);
  if (timeline !== null) lines.push('', ...stretchLines(database));
  if (points.length > 0) lines.push('', ...pointLines(points));
  if (restarts.length > 0) {
    const times = restarts.map(({ at }) => absoluteTime(at)).toReversed();
    lines.push('', `Restarts of the server: ${firstLines(times, 5).join(', ')}`);
  }
  for (const { snapshotId, message } of damaged)
    lines.push('', `Cannot be read: ${snapshotId.slice(0, 8)}: ${printable(message)}`);
  return lines;
}

function nearestLines({ at, reachable, before, after }: NonNullable<DatabaseTimeline['nearest']>): string[] {
  if (reachable) return [`${absoluteTime(at)} can be reached.`];
  const around = [
    ...(before === null ? [] : [`before it ${absoluteTime(before)}`]),
    ...(after === null ? [] : [`behind it ${absoluteTime(after)}`]),
  ];
  const nearest = around.length === 0 ? 'nothing can be reached yet' : `the nearest are ${around.join(', ')}`;
  return [`${absoluteTime(at)} cannot be reached; ${nearest}.`];
}

interface Row {
  readonly from: string | null;
  readonly to: string | null;
  readonly what: string;
  readonly detail: string;
}

function stretchLines({ ranges, gaps, unreachable }: DatabaseTimeline): string[] {
  const branchText = { current: '', abandoned: ', left behind', 'earlier-cluster': ', earlier cluster' } as const;
  const rows: Row[] = [
    ...ranges.map(({ fromAt, toAt, branch, timeline, commits, clockSteps }) => ({
      from: fromAt,
      to: toAt,
      what: `any moment${branchText[branch]}`,
      detail: [
        counted(commits, 'commit'),
        ...(branch === 'abandoned' ? [`timeline ${timeline}`] : []),
        ...(clockSteps.length > 0 ? [`clock set back ${counted(clockSteps.length, 'time')}`] : []),
      ].join(', '),
    })),
    ...gaps.map(({ fromAt, toAt, reason }) => ({ from: fromAt, to: toAt, what: 'gap', detail: gapReasons[reason] })),
    ...unreachable.map(({ fromAt, toAt, reason, hasEnded }) => ({
      from: fromAt,
      to: toAt,
      what: 'not reachable',
      detail: hasEnded ? stretchReasons[reason] : 'a base backup is still to come',
    })),
  ].toSorted((a, b) => (a.from ?? a.to ?? '').localeCompare(b.from ?? b.to ?? ''));
  return tableLines(
    [{ title: 'FROM' }, { title: 'TO' }, { title: 'LENGTH', align: 'right' }, { title: '' }, { title: '' }],
    rows.map(({ from, to, what, detail }) => [
      from === null ? '-' : absoluteTime(from),
      to === null ? '-' : absoluteTime(to),
      from === null || to === null ? '' : formatDuration(Math.max(0, Date.parse(to) - Date.parse(from))),
      what,
      detail,
    ]),
  );
}

function pointLines(points: DatabaseTimeline['points']): string[] {
  const rows = points.toReversed().map(({ name, at, lsn, branch, reachable }) => {
    const state = reachable ? '' : 'not reachable';
    return [name, absoluteTime(at), lsn, branch === 'abandoned' ? `left behind${state && `, ${state}`}` : state];
  });
  const lines = tableLines([{ title: 'POINT' }, { title: 'TIME' }, { title: 'POSITION' }, { title: '' }], rows);
  return firstLines(lines, mostLines + 1);
}

const marks = { reachable: '█', partly: '▓', waiting: '░', gap: '×', nothing: ' ' } as const;

/** One cell for each part of the time; a gap shows however short it is. */
function barLines({ ranges, gaps, unreachable }: DatabaseTimeline, output: TextOutput): string[] {
  const spans = (items: readonly { readonly fromAt: string | null; readonly toAt: string | null }[]) =>
    items.flatMap(({ fromAt, toAt }) =>
      fromAt === null || toAt === null ? [] : [{ from: Date.parse(fromAt), to: Date.parse(toAt) }],
    );
  const reachable = spans(ranges.filter(({ branch }) => branch !== 'abandoned'));
  const missing = spans(gaps.map(({ fromAt, toAt, healedAt }) => ({ fromAt, toAt: healedAt ?? toAt })));
  const waiting = spans(unreachable);
  const all = [...reachable, ...missing, ...waiting];
  const start = Math.min(...all.map(({ from }) => from));
  const end = Math.max(...all.map(({ to }) => to));
  if (all.length === 0 || end <= start) return [];
  const cells = Math.min(barCells, output.columns - 4);
  const cellMs = (end - start) / cells;
  const bar = Array.from({ length: cells }, (_, index) => {
    const from = start + index * cellMs;
    const to = from + cellMs;
    const share = (list: typeof all): number =>
      list.reduce((sum, span) => sum + Math.max(0, Math.min(to, span.to) - Math.max(from, span.from)), 0) / cellMs;
    if (share(missing) > 0) return styled(output, 'red', marks.gap);
    const covered = share(reachable);
    if (covered > 0.99) return styled(output, 'green', marks.reachable);
    if (covered > 0) return styled(output, 'green', marks.partly);
    return share(waiting) > 0 ? styled(output, 'yellow', marks.waiting) : marks.nothing;
  }).join('');
  const [left, right] = [absoluteTime(new Date(start)).slice(0, 16), absoluteTime(new Date(end)).slice(0, 16)];
  return [`  ${bar}`, `  ${left}${right.padStart(Math.max(0, cells - left.length))}`];
}
