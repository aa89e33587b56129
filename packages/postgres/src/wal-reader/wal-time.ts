// Times in the log: microseconds since 2000-01-01 00:00 UTC. Here they are microseconds since 1970, as whole numbers,
// because a Date would lose the last three digits, which decide what a recovery to a time contains.

const postgresEpochMicros = 946_684_800_000_000n;

/** Microseconds since 1970 of a timestamp as the server stores it. Exact up to the year 2255. */
export function unixMicrosOf(timestamp: bigint): number {
  return Number(timestamp + postgresEpochMicros);
}

/** `2026-11-25T00:47:59.123456Z` */
export function formatUnixMicros(unixMicros: number): string {
  const seconds = Math.floor(unixMicros / 1e6);
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return `${unixMicros} µs`;
  return `${date.toISOString().slice(0, -5)}.${String(unixMicros - seconds * 1e6).padStart(6, '0')}Z`;
}

const timeText = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:?\d\d)$/i;

/** Microseconds since 1970 of an RFC 3339 time with any number of digits behind the point; undefined when it is none. */
export function parseUnixMicros(text: string): number | undefined {
  const match = timeText.exec(text);
  if (!match) return undefined;
  const milliseconds = Date.parse(`${match[1]}${match[3]?.toUpperCase()}`);
  const micros = Number((match[2] ?? '').padEnd(6, '0').slice(0, 6));
  return Number.isNaN(milliseconds) ? undefined : milliseconds * 1000 + micros;
}
