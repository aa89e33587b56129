// What is said when a target cannot be reached: why, and the nearest points before and after it that can.

import { AppError } from '@varve/base';
import { formatLsn, formatUnixMicros, type Lsn, type RecoveryWay } from '@varve/postgres';
import type { RecoveryLog } from './recovery-log.ts';

/** What one base backup reaches. */
export interface ReachableRange {
  readonly systemId: string;
  readonly snapshotId: string;
  readonly startLsn: Lsn;
  readonly startMicros: number;
  readonly endLsn: Lsn;
  /** Of the last transaction; undefined when none is known behind the backup. */
  readonly endMicros: number | undefined;
  readonly end: RecoveryWay['end'];
}

interface Refused {
  /** The wanted time, or position. */
  readonly at?: number | undefined;
  readonly lsn?: Lsn | undefined;
  readonly text?: string | undefined;
  readonly ranges: readonly ReachableRange[];
}

/** RECOVERY_UNREACHABLE; `context.before` and `context.after` hold the nearest points, as times or positions. */
export function unreachable(log: RecoveryLog, refused: Refused): AppError {
  const { ranges } = refused;
  const what = nameOf(log, refused);
  if (ranges.length === 0) {
    return new AppError('RECOVERY_UNREACHABLE', `${what} cannot be reached: no base backup leads to that timeline.`, {
      hint: 'Give another timeline with --timeline; varve timeline shows them.',
      context: { component: log.component },
    });
  }
  const before = latestBefore(refused);
  const after = earliestAfter(refused);
  const points = [
    ...(before === undefined ? [] : [`the nearest before it is ${before.text}`]),
    ...(after === undefined ? [] : [`the nearest after it is ${after.text}`]),
  ].join(', ');
  const reason = before === undefined ? reasonBefore(after) : reasonBehind(before.range, after);
  return new AppError(
    'RECOVERY_UNREACHABLE',
    `${what} cannot be reached${reason}${points === '' ? '.' : `: ${points}.`}`,
    {
      hint:
        after === undefined
          ? 'Give that point, or recover to the end of what there is with --latest.'
          : 'Choose one of these points.',
      context: {
        component: log.component,
        before: before?.point ?? null,
        after: after?.point ?? null,
        missing: before?.range.end.reason === 'segment-missing' ? before.range.end.nextName : null,
      },
    },
  );
}

function nameOf({ component }: RecoveryLog, { at, lsn, text }: Refused): string {
  if (text !== undefined && at === undefined) return text;
  if (at !== undefined) return `${text ?? formatUnixMicros(at)} of the database "${component}"`;
  return lsn === undefined
    ? `The database "${component}"`
    : `The position ${formatLsn(lsn)} of the database "${component}"`;
}

interface Point {
  readonly range: ReachableRange;
  /** As it is given on the command line. */
  readonly point: string;
  readonly text: string;
}

function latestBefore({ at, lsn, ranges }: Refused): Point | undefined {
  const byTime = at !== undefined;
  const fitting = ranges.filter((range) =>
    byTime ? (range.endMicros ?? range.startMicros) <= at : lsn === undefined || range.endLsn <= lsn,
  );
  const range = fitting.toSorted((a, b) => compare(b, a, byTime, 'end'))[0];
  if (range === undefined) return undefined;
  if (!byTime || range.endMicros === undefined) return { range, ...position(range.endLsn) };
  const time = formatUnixMicros(range.endMicros);
  return { range, point: time, text: `${time} (the last transaction that is known)` };
}

function earliestAfter({ at, lsn, ranges }: Refused): Point | undefined {
  const byTime = at !== undefined;
  const fitting = ranges.filter((range) =>
    byTime ? range.startMicros >= at : lsn === undefined ? false : range.startLsn > lsn,
  );
  const range = fitting.toSorted((a, b) => compare(a, b, byTime, 'start'))[0];
  if (range === undefined) return undefined;
  const time = formatUnixMicros(range.startMicros);
  const { text } = position(range.startLsn);
  return byTime
    ? { range, point: time, text: `${time} (the end of the base backup ${range.snapshotId.slice(0, 8)})` }
    : { range, point: formatLsn(range.startLsn), text };
}

function compare(a: ReachableRange, b: ReachableRange, byTime: boolean, side: 'start' | 'end'): number {
  if (byTime) {
    const timeOf = (range: ReachableRange): number =>
      side === 'start' ? range.startMicros : (range.endMicros ?? range.startMicros);
    return timeOf(a) - timeOf(b);
  }
  const [left, right] = side === 'start' ? [a.startLsn, b.startLsn] : [a.endLsn, b.endLsn];
  return left < right ? -1 : Number(left > right);
}

function position(lsn: Lsn): { point: string; text: string } {
  return { point: formatLsn(lsn), text: `the position ${formatLsn(lsn)}` };
}

function reasonBefore(after: Point | undefined): string {
  return after === undefined ? '' : ', because it lies before the end of the oldest base backup';
}

function reasonBehind({ end }: ReachableRange, after: Point | undefined): string {
  if (end.reason === 'segment-missing') return `, because the segment ${end.nextName} is missing`;
  if (end.reason === 'minimal-level')
    return `, because the log was written with wal_level minimal from ${formatLsn(end.lsn)} on`;
  return after === undefined ? ', because no transaction is known behind it' : '';
}
