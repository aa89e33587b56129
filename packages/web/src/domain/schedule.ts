// Cron expressions in words, and their next runs. The words cover what people set; anything else is shown as it is.

import { Cron } from 'croner';
import type { Format } from '../i18n/format.ts';
import type { MessageKey, Translate } from '../i18n/messages.ts';

export type Schedule =
  | { readonly type: 'minutes'; readonly every: number }
  | { readonly type: 'hours'; readonly every: number; readonly minute: number }
  | { readonly type: 'daily'; readonly hour: number; readonly minute: number }
  | { readonly type: 'weekly'; readonly days: readonly number[]; readonly hour: number; readonly minute: number }
  | { readonly type: 'monthly'; readonly day: number; readonly hour: number; readonly minute: number }
  | { readonly type: 'custom' };

/** Recognises the common shapes of a cron expression with five fields. */
export function parseSchedule(cron: string): Schedule {
  const fields = cron.trim().split(/\s+/);
  const [minuteField, hourField, dayField, monthField, weekField] = fields;
  const custom: Schedule = { type: 'custom' };
  if (fields.length !== 5 || monthField !== '*') return custom;
  const everyDay = dayField === '*' && weekField === '*';
  const everyMinutes = stepOf(minuteField);
  if (everyDay && hourField === '*' && everyMinutes !== undefined) return { type: 'minutes', every: everyMinutes };
  const minute = wholeNumber(minuteField, 59);
  if (minute === undefined) return custom;
  const everyHours = hourField === '*' ? 1 : stepOf(hourField);
  if (everyDay && everyHours !== undefined) return { type: 'hours', every: everyHours, minute };
  const hour = wholeNumber(hourField, 23);
  if (hour === undefined) return custom;
  if (everyDay) return { type: 'daily', hour, minute };
  const days = daysOf(weekField);
  if (dayField === '*' && days !== undefined) return { type: 'weekly', days, hour, minute };
  const day = wholeNumber(dayField, 31);
  if (weekField === '*' && day !== undefined && day > 0) return { type: 'monthly', day, hour, minute };
  return custom;
}

function wholeNumber(field: string | undefined, maximum: number): number | undefined {
  if (field === undefined || !/^\d{1,2}$/.test(field)) return undefined;
  const value = Number(field);
  return value <= maximum ? value : undefined;
}

function stepOf(field: string | undefined): number | undefined {
  const match = /^\*\/([1-9]\d?)$/.exec(field ?? '');
  return match ? Number(match[1]) : undefined;
}

/** Sunday is 0, as in cron; Monday to Friday as `1-5` or a list. */
function daysOf(field: string | undefined): number[] | undefined {
  const range = /^([0-7])-([0-7])$/.exec(field ?? '');
  const items = range
    ? Array.from(
        { length: Math.max(0, Number(range[2]) - Number(range[1]) + 1) },
        (_, index) => Number(range[1]) + index,
      )
    : (field ?? '').split(',').map((item) => (/^[0-7]$/.test(item) ? Number(item) : Number.NaN));
  if (items.length === 0 || items.some((item) => Number.isNaN(item))) return undefined;
  return [...new Set(items.map((item) => item % 7))].toSorted((a, b) => a - b);
}

const dayKeys: readonly MessageKey[] = [
  'weekday.0',
  'weekday.1',
  'weekday.2',
  'weekday.3',
  'weekday.4',
  'weekday.5',
  'weekday.6',
];

/** `Every 4 hours, on the hour`, `Every day at 02:30`; a custom expression as it is. */
export function scheduleWords(cron: string, t: Translate, format: Format): string {
  const schedule = parseSchedule(cron);
  switch (schedule.type) {
    case 'minutes':
      return t('schedule.minutes', { count: schedule.every });
    case 'hours':
      return schedule.minute === 0
        ? t('schedule.hours', { count: schedule.every })
        : t('schedule.hoursPast', { count: schedule.every, minute: schedule.minute });
    case 'daily':
      return t('schedule.daily', { time: clockText(schedule) });
    case 'weekly': {
      if (schedule.days.join() === '1,2,3,4,5') return t('schedule.workdays', { time: clockText(schedule) });
      const names = schedule.days.map((day) => t(dayKeys[day] as 'weekday.0'));
      return t('schedule.weekly', { days: format.list(names), time: clockText(schedule) });
    }
    case 'monthly':
      return t('schedule.monthly', { day: schedule.day, time: clockText(schedule) });
    case 'custom':
      return t('schedule.custom', { cron: cron.trim() });
  }
}

function clockText({ hour, minute }: { readonly hour: number; readonly minute: number }): string {
  return `${String(hour).padStart(2, '0')}:${String(minute).padStart(2, '0')}`;
}

/** The next runs, soonest first; empty when the expression or the time zone is not valid. */
export function nextRuns(options: { cron: string; timeZone: string; now: number; count: number }): Date[] {
  try {
    const cron = new Cron(options.cron.trim(), { timezone: options.timeZone, mode: '5-part' });
    return cron.nextRuns(options.count, new Date(options.now));
  } catch {
    return [];
  }
}

/** What people choose from; anything else is typed as cron. */
export const schedulePresets: readonly string[] = [
  '0 * * * *',
  '0 */4 * * *',
  '0 */6 * * *',
  '0 */12 * * *',
  '0 2 * * *',
  '0 2 * * 0',
];
