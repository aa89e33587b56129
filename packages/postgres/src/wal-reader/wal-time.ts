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
