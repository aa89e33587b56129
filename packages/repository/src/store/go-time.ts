// Times as Go writes them in JSON: RFC 3339 with up to nine digits of a second, in the zone of the host that wrote them.

/** A moment with its zone. */
export interface GoTime {
  /** Nanoseconds since 1970, exact. */
  readonly epochNs: bigint;
  /** Minutes east of UTC of the clock that was read. */
  readonly offsetMinutes: number;
}

const pattern = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/;

/** Null for anything that is not such a time. */
export function parseGoTime(text: string): GoTime | null {
  const match = pattern.exec(text);
  if (!match) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const offset = match[8] === undefined ? 0 : Number(match[9]) * 60 + Number(match[10]);
  const offsetMinutes = match[8] === '-' ? -offset : offset;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second);
  if (date.getUTCMonth() !== month - 1 || hour > 23 || minute > 59 || second > 59) return null;
  const seconds = BigInt(date.getTime()) / 1000n - BigInt(offsetMinutes) * 60n;
  return { epochNs: seconds * 1_000_000_000n + BigInt((match[7] ?? '').padEnd(9, '0')), offsetMinutes };
}

/** A time in a zone (that of this process when none is given), with the zeros at the end of the fraction left out. */
export function formatGoTime(date: Date, offsetMinutes = -date.getTimezoneOffset()): string {
  const local = new Date(date.getTime() + offsetMinutes * 60_000).toISOString();
  const fraction = local.slice(20, 23).replace(/0+$/, '');
  const zone = Math.abs(offsetMinutes);
  const sign = offsetMinutes < 0 ? '-' : '+';
  const digits = (value: number): string => String(Math.trunc(value)).padStart(2, '0');
  const suffix = zone === 0 ? 'Z' : `${sign}${digits(zone / 60)}:${digits(zone % 60)}`;
  return `${local.slice(0, 19)}${fraction === '' ? '' : `.${fraction}`}${suffix}`;
}
