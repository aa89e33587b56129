// Go's RFC 3339 times with nanoseconds: `2026-11-22T21:56:59.98199408+01:00`, trailing zeros trimmed, `Z` for UTC, years
// 0 to 9999. Nanoseconds since 1970 are bigints.

const pattern = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d))$/;
const second = 1_000_000_000n;
/** 0000-01-01 and 9999-12-31T23:59:59 in seconds since 1970. */
const firstSecond = -62_167_219_200;
const lastSecond = 253_402_300_799;

/** Nanoseconds since 1970; undefined when the text is not such a time. */
export function parseTime(text: string): bigint | undefined {
  const match = pattern.exec(text);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, seconds, fraction = '', sign, zoneHours = '0', zoneMinutes = '0'] = match;
  const date = new Date(0);
  date.setUTCFullYear(Number(year), Number(month) - 1, Number(day));
  date.setUTCHours(Number(hour), Number(minute), Number(seconds));
  const offset = (Number(zoneHours) * 60 + Number(zoneMinutes)) * 60 * (sign === '-' ? -1 : 1);
  return BigInt(date.getTime() / 1000 - offset) * second + BigInt(fraction.padEnd(9, '0'));
}

/** How many seconds a formatter keeps the texts of. */
const maxKept = 4096;

interface SecondText {
  readonly text: string;
  readonly zone: string;
}

/** Formats times in the local zone of this host, as restic does; keeps the texts of seconds that it has met. */
export class TimeFormatter {
  readonly #seconds = new Map<number, SecondText>();

  format(ns: bigint): string {
    let seconds = Number(ns / second);
    let fraction = Number(ns % second);
    if (fraction < 0) {
      seconds--;
      fraction += 1_000_000_000;
    }
    const { text, zone } = this.#seconds.get(seconds) ?? this.#keep(seconds);
    if (fraction === 0) return text + zone;
    let digits = fraction.toString().padStart(9, '0');
    let end = 9;
    while (digits.charCodeAt(end - 1) === 0x30) end--;
    digits = digits.slice(0, end);
    return `${text}.${digits}${zone}`;
  }

  #keep(seconds: number): SecondText {
    const made = textOfSecond(seconds);
    if (this.#seconds.size >= maxKept) this.#seconds.clear();
    this.#seconds.set(seconds, made);
    return made;
  }
}

function textOfSecond(seconds: number): SecondText {
  const clamped = Math.min(Math.max(seconds, firstSecond), lastSecond);
  let offset = -new Date(clamped * 1000).getTimezoneOffset();
  if (clamped + offset * 60 < firstSecond || clamped + offset * 60 > lastSecond) offset = 0;
  const iso = new Date((clamped + offset * 60) * 1000).toISOString();
  const minutes = Math.abs(offset);
  const zone = `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
  return { text: iso.slice(0, 19), zone: offset === 0 ? 'Z' : `${offset < 0 ? '-' : '+'}${zone}` };
}
