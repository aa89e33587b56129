// Times of the log as whole microseconds since 1970: the last three digits decide what a recovery to a time contains.

import { formatUnixMicros } from '@varve/postgres';

/** Of an RFC 3339 time; digits behind the sixth of a second are left away. */
export function microsOf(time: string): number {
  const fraction = /\.(\d+)/.exec(time)?.[1] ?? '';
  const seconds = Date.parse(fraction === '' ? time : time.replace(`.${fraction}`, '')) / 1000;
  return seconds * 1_000_000 + Number(fraction.slice(0, 6).padEnd(6, '0'));
}

/** `2026-11-25T00:47:59.123456Z`; null for NaN. */
export function timeOf(micros: number): string | null {
  return Number.isFinite(micros) ? formatUnixMicros(micros) : null;
}
