// Go's RFC 3339 times with nanoseconds: `2026-11-22T21:56:59.98199408+01:00`, trailing zeros trimmed, `Z` for UTC, years
// 0 to 9999. Nanoseconds since 1970 are bigints.

const shape = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;
const second = 1_000_000_000n;
/** 0000-01-01 and 9999-12-31T23:59:59 in seconds since 1970. */
const firstSecond = -62_167_219_200;
const lastSecond = 253_402_300_799;
/** Where the parts of the text are. */
const fractionAt = 19;

/** Whether the text is a time that {@link parseTime} understands. */
export function isTime(text: string): boolean {
  return shape.test(text);
}

/** Nanoseconds since 1970; undefined when the text is not such a time. */
export function parseTime(text: string): bigint | undefined {
  if (!isTime(text)) return undefined;
  const number = (from: number, to: number): number => Number(text.slice(from, to));
  const date = new Date(0);
  date.setUTCFullYear(number(0, 4), number(5, 7) - 1, number(8, 10));
  date.setUTCHours(number(11, 13), number(14, 16), number(17, 19));
  const isUtc = text.endsWith('Z');
  const zoneAt = isUtc ? text.length - 1 : text.length - 6;
  const zoneMinutes = isUtc ? 0 : number(zoneAt + 1, zoneAt + 3) * 60 + number(zoneAt + 4, zoneAt + 6);
  const offset = zoneMinutes * 60 * (text[zoneAt] === '-' ? -1 : 1);
  const fraction = text.slice(fractionAt + 1, zoneAt).padEnd(9, '0');
  return BigInt(date.getTime() / 1000 - offset) * second + BigInt(Number(fraction));
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
