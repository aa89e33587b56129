// Cron expressions with a time zone: checked, the next run, and a small delay per app so that not all apps start at the
// same second. Daylight saving is croner's: a fixed time in the gap runs right after it, one that occurs twice runs once.

import { createHash } from 'node:crypto';
import { AppError, messageOf } from '@varve/base';
import { Cron } from 'croner';

export interface CronRule {
  readonly cron: string;
  readonly timeZone: string;
}

const maxJitterMs = 60_000;

function assertTimeZone(timeZone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone }).format(0);
  } catch (error) {
    throw new AppError('SETTINGS_INVALID', `"${timeZone}" is not a time zone.`, {
      hint: 'Give a name of the IANA database, such as Europe/Madrid, America/Bogota or UTC.',
      context: { timeZone },
      cause: error,
    });
  }
}

function parse(rule: CronRule): Cron {
  try {
    return new Cron(rule.cron, {
      timezone: rule.timeZone,
      mode: '5-part',
      fixedTimeRule: 'no-wildcard',
      paused: true,
    });
  } catch (error) {
    throw new AppError('SETTINGS_INVALID', `"${rule.cron}" is not a schedule: ${messageOf(error)}`, {
      hint: 'Give five fields: minute, hour, day of the month, month, day of the week. "0 */4 * * *" is every 4 hours.',
      context: { cron: rule.cron },
      cause: error,
    });
  }
}

/** The first run after `after`, without jitter. SETTINGS_INVALID when the rule is no rule or never matches. */
export function nextRun(rule: CronRule, after: Date): Date {
  assertTimeZone(rule.timeZone);
  const next = parse(rule).nextRun(after);
  if (next !== null) return next;
  throw new AppError('SETTINGS_INVALID', `The schedule "${rule.cron}" never comes: there is no such date.`, {
    hint: 'Look at the day and the month.',
    context: { cron: rule.cron },
  });
}

/** SETTINGS_INVALID when the rule cannot be used. */
export function assertCronRule(rule: CronRule, now: Date): void {
  nextRun(rule, now);
}

/** Time between the next two runs after `now`. */
export function intervalMs(rule: CronRule, now: Date): number {
  const first = nextRun(rule, now);
  return nextRun(rule, first).getTime() - first.getTime();
}

/** An app's own delay: always the same, less than a minute, and less than a tenth of the time between runs. */
export function jitterMs(appId: string, interval: number): number {
  const fraction = createHash('sha256').update(appId).digest().readUInt32BE(0) / 2 ** 32;
  return Math.floor(fraction * Math.min(maxJitterMs, interval / 10));
}

/** The next run of an app after `after`, with its own delay. A run that is due within the delay is not skipped. */
export function nextRunOfApp(rule: CronRule, appId: string, after: Date): Date {
  const delay = jitterMs(appId, intervalMs(rule, after));
  return new Date(nextRun(rule, new Date(after.getTime() - delay)).getTime() + delay);
}
