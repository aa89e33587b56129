// Which snapshots to keep: restic's `forget` rules, as a pure function. Counts are of buckets in each snapshot's own time zone,
// newest first; while a count is left, the oldest snapshot is kept as well; a snapshot stays if any rule keeps it.

import { AppError, systemClock } from '@varve/base';
import { parseGoTime, type GoTime } from '../store/go-time.ts';
import { hasAllTags } from './find-snapshot.ts';
import { sortSnapshots, type Snapshot } from './snapshot.ts';

/**
 * Counts: how many to keep; 0 or absent for none, -1 for all. Durations: like `2y5m7d3h` (years, months, days, hours), counted
 * back from the newest snapshot that is not in the future.
 */
export interface RetentionPolicy {
  readonly keepLast?: number | undefined;
  readonly keepHourly?: number | undefined;
  readonly keepDaily?: number | undefined;
  readonly keepWeekly?: number | undefined;
  readonly keepMonthly?: number | undefined;
  readonly keepYearly?: number | undefined;
  readonly keepWithin?: string | undefined;
  readonly keepWithinHourly?: string | undefined;
  readonly keepWithinDaily?: string | undefined;
  readonly keepWithinWeekly?: string | undefined;
  readonly keepWithinMonthly?: string | undefined;
  readonly keepWithinYearly?: string | undefined;
  /** A snapshot with all tags of one of these lists is kept. */
  readonly keepTags?: readonly (readonly string[])[] | undefined;
}

export interface KeptSnapshot {
  readonly snapshot: Snapshot;
  /** Each rule that keeps it, such as `daily snapshot` or `within 7d`. */
  readonly reasons: readonly string[];
}

export interface RetentionPlan {
  /** Newest first. */
  readonly keep: readonly KeptSnapshot[];
  /** Newest first. */
  readonly remove: readonly Snapshot[];
}

type Bucketer = (local: Date, position: number) => number;

interface Rule {
  readonly reason: string;
  readonly bucket: Bucketer;
  /** How many are left to keep; -1 for all. */
  left: number;
  /** Only snapshots after this moment count; null for all. */
  readonly afterNs: bigint | null;
  last: number | null;
}

const buckets = {
  all: (_local, position) => position,
  hour: (local) => day(local) * 100 + local.getUTCHours(),
  day,
  week: isoWeek,
  month: (local) => local.getUTCFullYear() * 100 + local.getUTCMonth(),
  year: (local) => local.getUTCFullYear(),
} as const satisfies Record<string, Bucketer>;

/**
 * Splits the snapshots of one group (one app, or one host and its paths) into those to keep and those to remove. A policy
 * without any rule keeps everything. USAGE_INVALID for a count or duration that is none.
 */
export function planRetention(
  snapshots: readonly Snapshot[],
  policy: RetentionPolicy,
  options: { readonly now?: Date | undefined } = {},
): RetentionPlan {
  const newestFirst = sortSnapshots(snapshots).reverse();
  const times = newestFirst.map(timeOf);
  const now = BigInt((options.now ?? systemClock.now()).getTime()) * 1_000_000n;
  const latest = times.find(({ epochNs }) => epochNs < now);
  const rules = rulesOf(policy, latest);
  const tagLists = policy.keepTags ?? [];
  const isEmpty = rules.length === 0 && tagLists.length === 0;
  const keep: KeptSnapshot[] = [];
  const remove: Snapshot[] = [];
  for (const [position, snapshot] of newestFirst.entries()) {
    const reasons = tagLists
      .filter((tags) => hasAllTags(snapshot, tags))
      .map((tags) => `has tags [${tags.join(', ')}]`);
    const isOldest = position === newestFirst.length - 1;
    for (const rule of rules) {
      const reason = applyRule(rule, times[position] as GoTime, { position, isOldest });
      if (reason !== null) reasons.push(reason);
    }
    if (isEmpty) reasons.push('no rule');
    if (reasons.length > 0) keep.push({ snapshot, reasons });
    else remove.push(snapshot);
  }
  return { keep, remove };
}

/** Why the rule keeps a snapshot, or null. Must be called for every snapshot, newest first. */
function applyRule(
  rule: Rule,
  time: GoTime,
  at: { readonly position: number; readonly isOldest: boolean },
): string | null {
  if (rule.left === 0 || (rule.afterNs !== null && time.epochNs <= rule.afterNs)) return null;
  const local = new Date(Number(time.epochNs / 1_000_000n) + time.offsetMinutes * 60_000);
  const bucket = rule.bucket(local, at.position);
  const isNew = bucket !== rule.last;
  if (!isNew && !at.isOldest) return null;
  rule.last = bucket;
  if (rule.left > 0) rule.left--;
  return isNew ? rule.reason : `oldest ${rule.reason}`;
}

function rulesOf(policy: RetentionPolicy, latest: GoTime | undefined): Rule[] {
  const counted = [
    ['last snapshot', buckets.all, policy.keepLast],
    ['hourly snapshot', buckets.hour, policy.keepHourly],
    ['daily snapshot', buckets.day, policy.keepDaily],
    ['weekly snapshot', buckets.week, policy.keepWeekly],
    ['monthly snapshot', buckets.month, policy.keepMonthly],
    ['yearly snapshot', buckets.year, policy.keepYearly],
  ] as const;
  const timed = [
    ['within', buckets.all, policy.keepWithin],
    ['hourly within', buckets.hour, policy.keepWithinHourly],
    ['daily within', buckets.day, policy.keepWithinDaily],
    ['weekly within', buckets.week, policy.keepWithinWeekly],
    ['monthly within', buckets.month, policy.keepWithinMonthly],
    ['yearly within', buckets.year, policy.keepWithinYearly],
  ] as const;
  const rules: Rule[] = [];
  for (const [reason, bucket, count = 0] of counted) {
    if (!Number.isInteger(count) || count < -1)
      throw invalid(`${count} is not a number of snapshots to keep (-1 for all).`);
    if (count !== 0) rules.push({ reason, bucket, left: count, afterNs: null, last: null });
  }
  for (const [reason, bucket, duration = ''] of timed) {
    if (duration === '') continue;
    // Without a snapshot in the past there is nothing to count back from: keep all.
    const afterNs = latest ? before(latest, duration) : null;
    const rule = { reason: `${reason} ${duration}`, bucket, left: -1, afterNs, last: null };
    // restic names the reasons in this order.
    if (reason === 'within') rules.unshift(rule);
    else rules.push(rule);
  }
  return rules;
}

const durationPattern = /^(?:(\d+)y)?(?:(\d+)m)?(?:(\d+)d)?(?:(\d+)h)?$/;

/** `duration` before `time`, in its zone, by the calendar: a day that a month does not have becomes one of the next month. */
function before(time: GoTime, duration: string): bigint {
  const match = durationPattern.exec(duration);
  if (!match) throw invalid(`“${duration}” is not a duration like 2y5m7d3h.`);
  const [years, months, days, hours] = match.slice(1).map((digits) => Number(digits ?? 0)) as [
    number,
    number,
    number,
    number,
  ];
  const zoneMs = time.offsetMinutes * 60_000;
  const local = new Date(Number(time.epochNs / 1_000_000n) + zoneMs);
  local.setUTCFullYear(local.getUTCFullYear() - years, local.getUTCMonth() - months, local.getUTCDate() - days);
  return BigInt(local.getTime() - zoneMs - hours * 3_600_000) * 1_000_000n + (time.epochNs % 1_000_000n);
}

function day(local: Date): number {
  return (local.getUTCFullYear() * 100 + local.getUTCMonth()) * 100 + local.getUTCDate();
}

/** ISO 8601: a week belongs to the year that its Thursday is in. */
function isoWeek(local: Date): number {
  const thursday = new Date(Date.UTC(local.getUTCFullYear(), local.getUTCMonth(), local.getUTCDate()));
  thursday.setUTCDate(thursday.getUTCDate() + 3 - ((thursday.getUTCDay() + 6) % 7));
  const year = thursday.getUTCFullYear();
  return year * 100 + Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * 86_400_000));
}

function timeOf(snapshot: Snapshot): GoTime {
  const time = parseGoTime(snapshot.time);
  if (!time) throw invalid(`“${snapshot.time}” is not the time of a snapshot.`);
  return time;
}

function invalid(message: string): AppError {
  return new AppError('USAGE_INVALID', message);
}
