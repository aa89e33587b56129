// Can a database be brought back to a time, and if not, to which times around it.

import type { DatabaseTimeline, NearestReachable } from '@varve/contract';
import { formatUnixMicros } from '@varve/postgres';
import { microsOf } from './micros.ts';

/** By what the database has now and had in earlier clusters; abandoned branches must be asked for by name. */
export function nearestReachable({ ranges }: Pick<DatabaseTimeline, 'ranges'>, at: string): NearestReachable {
  const wanted = microsOf(at);
  const spans = ranges
    .filter(({ branch }) => branch !== 'abandoned')
    .map(({ fromAt, toAt }) => ({ from: microsOf(fromAt), to: microsOf(toAt) }));
  const reachable = spans.some(({ from, to }) => from <= wanted && wanted <= to);
  const before = Math.max(...spans.filter(({ to }) => to < wanted).map(({ to }) => to));
  const after = Math.min(...spans.filter(({ from }) => from > wanted).map(({ from }) => from));
  const time = (micros: number): string | null => (Number.isFinite(micros) ? formatUnixMicros(micros) : null);
  return {
    at: formatUnixMicros(wanted),
    reachable,
    before: reachable ? formatUnixMicros(wanted) : time(before),
    after: reachable ? formatUnixMicros(wanted) : time(after),
  };
}
