// The time of a backup as restic takes it.

import { AppError } from '@varve/base';

const pattern = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2}))?)?$/;

/** `2026-11-23 04:05:06`, in the zone of the machine; seconds, or the time of day, may be left out. Or RFC 3339. */
export function parseBackupTime(text: string): Date {
  const match = pattern.exec(text.trim());
  if (match) {
    const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
      .slice(1)
      .map((part) => Number(part ?? 0));
    const date = new Date(year, month - 1, day, hour, minute, second);
    if (date.getMonth() === month - 1 && date.getDate() === day && date.getHours() === hour) return date;
  } else if (/^\d{4}-\d{2}-\d{2}T.+(?:Z|[+-]\d{2}:\d{2})$/.test(text)) {
    const date = new Date(text);
    if (!Number.isNaN(date.getTime())) return date;
  }
  throw new AppError('USAGE_INVALID', `"${text}" is not a time.`, { hint: 'Give it like this: 2026-11-23 04:05:06' });
}
