// Numbers, sizes, durations and times for people, in the reader's language and time zone. Pure: the locale, the zone and
// "now" come in. A number and its unit are held together by a no-break space.

import type { Translate } from './messages.ts';

const minute = 60_000;
const hour = 60 * minute;
const day = 24 * hour;

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export interface FormatOptions {
  readonly locale: string;
  /** IANA name; the browser's own when absent. */
  readonly timeZone?: string | undefined;
  readonly t: Translate;
}

export interface Format {
  /** `1,234` */
  number(value: number): string;
  /** `1.5 GiB` */
  bytes(value: number): string;
  /** `12.3 MiB/s` */
  speed(bytesPerSecond: number): string;
  /** `1 h 5 min`; at most two units. */
  duration(milliseconds: number): string;
  /** `12 minutes ago`, `in 3 hours`. */
  relative(time: string | number, now: number): string;
  /** `23 Nov 2026, 16:00` */
  dateTime(time: string | number): string;
  /** `23 Nov 2026, 16:00:05` */
  moment(time: string | number): string;
  /** With seconds and the time zone, for a title. */
  exact(time: string | number): string;
  /** `16:00:05`, for logs. */
  clock(time: string | number): string;
  /** `16:00`, for an axis. */
  hourMinute(time: string | number): string;
  /** `23 Nov` */
  dayShort(time: string | number): string;
  /** `Monday 23 November` */
  dayLong(time: string | number): string;
  /** `16:00` today, `tomorrow 04:00`, else the date: for what is about to happen. */
  when(time: string | number, now: number): string;
  percent(fraction: number): string;
  list(items: readonly string[]): string;
}

export function createFormat({ locale, timeZone, t }: FormatOptions): Format {
  const zone = timeZone === undefined ? {} : { timeZone };
  const numbers = new Intl.NumberFormat(locale, { maximumFractionDigits: 1 });
  const wholes = new Intl.NumberFormat(locale, { maximumFractionDigits: 0 });
  const percents = new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: 0 });
  const relatives = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
  const times = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', ...zone });
  const clocks = new Intl.DateTimeFormat(locale, { timeStyle: 'medium', ...zone });
  const dateTimes = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short', ...zone });
  const moments = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium', ...zone });
  const exacts = new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeStyle: 'long', ...zone });
  const shortDays = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', ...zone });
  const longDays = new Intl.DateTimeFormat(locale, { weekday: 'long', day: 'numeric', month: 'long', ...zone });
  const dayKeys = new Intl.DateTimeFormat('en-CA', { dateStyle: 'short', ...zone });
  const lists = new Intl.ListFormat(locale, { type: 'conjunction' });

  const bytes = (value: number): string => {
    const { amount, unit } = inByteUnits(value);
    return `${unit === 'B' || amount >= 100 ? wholes.format(amount) : numbers.format(amount)}\u00a0${unit}`;
  };

  const when = (time: string | number, now: number): string => {
    const at = new Date(time);
    if (dayKeys.format(at) === dayKeys.format(now)) return times.format(at);
    if (dayKeys.format(at) === dayKeys.format(now + day)) return t('time.tomorrowAt', { time: times.format(at) });
    return dateTimes.format(at);
  };

  return {
    number: (value) => wholes.format(value),
    bytes,
    speed: (value) => `${bytes(value)}/s`,
    duration: (milliseconds) => durationText(milliseconds, numbers),
    relative: (time, now) => relativeText(new Date(time).getTime() - now, relatives, t),
    dateTime: (time) => dateTimes.format(new Date(time)),
    moment: (time) => moments.format(new Date(time)),
    exact: (time) => exacts.format(new Date(time)),
    clock: (time) => clocks.format(new Date(time)),
    hourMinute: (time) => times.format(new Date(time)),
    dayShort: (time) => shortDays.format(new Date(time)),
    dayLong: (time) => longDays.format(new Date(time)),
    when,
    percent: (fraction) => percents.format(fraction),
    list: (items) => lists.format(items),
  };
}

function inByteUnits(value: number): { amount: number; unit: string } {
  let amount = value;
  let index = 0;
  while (amount >= 1024 && index < byteUnits.length - 1) {
    amount /= 1024;
    index++;
  }
  return { amount, unit: byteUnits[index] ?? 'B' };
}

function durationText(milliseconds: number, numbers: Intl.NumberFormat): string {
  const seconds = milliseconds / 1000;
  if (seconds < 10) return `${numbers.format(Math.round(seconds * 10) / 10)}\u00a0s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}\u00a0s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return joinUnits(minutes, 'min', whole % 60, 's');
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return joinUnits(hours, 'h', minutes % 60, 'min');
  return joinUnits(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

function joinUnits(major: number, majorUnit: string, minor: number, minorUnit: string): string {
  const text = `${major}\u00a0${majorUnit}`;
  return minor === 0 ? text : `${text} ${minor}\u00a0${minorUnit}`;
}

function relativeText(difference: number, relatives: Intl.RelativeTimeFormat, t: Translate): string {
  const distance = Math.abs(difference);
  if (distance < 45_000) return difference > 0 ? t('time.inAMoment') : t('time.justNow');
  if (distance < 55 * minute) return relatives.format(nearest(difference, minute), 'minute');
  if (distance < 36 * hour) return relatives.format(nearest(difference, hour), 'hour');
  if (distance < 14 * day) return relatives.format(nearest(difference, day), 'day');
  if (distance < 60 * day) return relatives.format(nearest(difference, 7 * day), 'week');
  if (distance < 700 * day) return relatives.format(nearest(difference, 30.44 * day), 'month');
  return relatives.format(nearest(difference, 365.25 * day), 'year');
}

/** Whole units, never zero: "this hour" is not what a reader wants to know. */
function nearest(difference: number, unit: number): number {
  return Math.sign(difference) * Math.max(1, Math.round(Math.abs(difference) / unit));
}
