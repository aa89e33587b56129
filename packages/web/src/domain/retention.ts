// What retention rules would keep, computed here so that a draft can be judged before it is saved. restic's rules
// (internal/restic/snapshot_policy.go): newest first, each rule keeps the newest snapshot of as many calendar buckets as it
// counts, and the oldest snapshot of all while a rule still has counts left. On top, as the server does: safety snapshots of
// restores stay for a day, and the only complete snapshot stays. What is run is the server's own preview.

import type { AppSnapshot, Retention } from '@varve/contract';

export type RetentionRule = keyof Retention;
export type KeepReason = RetentionRule | 'safety' | 'onlyComplete';

interface Kept {
  readonly snapshot: AppSnapshot;
  readonly reasons: readonly KeepReason[];
}

export interface RetentionOutcome {
  readonly keep: readonly Kept[];
  readonly remove: readonly AppSnapshot[];
}

export const retentionRules: readonly RetentionRule[] = [
  'keepLast',
  'keepHourly',
  'keepDaily',
  'keepWeekly',
  'keepMonthly',
  'keepYearly',
];

const dayMs = 86_400_000;

/** Applies the rules; calendar buckets are those of the zone in which each snapshot's time is written. */
export function applyRetention(snapshots: readonly AppSnapshot[], retention: Retention, now: number): RetentionOutcome {
  const newestFirst = snapshots.toSorted((a, b) => Date.parse(b.time) - Date.parse(a.time));
  const byRules = applyRules(newestFirst, retention);
  const keep = [...byRules.keep];
  const remove: AppSnapshot[] = [];
  for (const snapshot of byRules.remove) {
    const isFreshSafety = snapshot.kind === 'pre-restore' && now - Date.parse(snapshot.time) < dayMs;
    if (isFreshSafety) keep.push({ snapshot, reasons: ['safety'] });
    else remove.push(snapshot);
  }
  if (keep.every(({ snapshot }) => snapshot.partial)) {
    const position = remove.findIndex((snapshot) => !snapshot.partial);
    const [spared] = position === -1 ? [] : remove.splice(position, 1);
    if (spared !== undefined) keep.push({ snapshot: spared, reasons: ['onlyComplete'] });
  }
  return { keep, remove };
}

function applyRules(newestFirst: readonly AppSnapshot[], retention: Retention): RetentionOutcome {
  const left = { ...retention };
  const lastBucket = new Map<RetentionRule, string>();
  const keep: Kept[] = [];
  const remove: AppSnapshot[] = [];
  for (const [index, snapshot] of newestFirst.entries()) {
    const buckets = bucketsOf(snapshot, index);
    const isOldest = index === newestFirst.length - 1;
    const reasons: RetentionRule[] = [];
    for (const rule of retentionRules) {
      if (left[rule] <= 0) continue;
      if (buckets[rule] === lastBucket.get(rule) && !isOldest) continue;
      lastBucket.set(rule, buckets[rule]);
      left[rule]--;
      reasons.push(rule);
    }
    if (reasons.length > 0) keep.push({ snapshot, reasons });
    else remove.push(snapshot);
  }
  return { keep, remove };
}

function bucketsOf(snapshot: AppSnapshot, index: number): Record<RetentionRule, string> {
  const day = snapshot.time.slice(0, 10);
  return {
    keepLast: String(index),
    keepHourly: snapshot.time.slice(0, 13),
    keepDaily: day,
    keepWeekly: isoWeek(day),
    keepMonthly: day.slice(0, 7),
    keepYearly: day.slice(0, 4),
  };
}

/** ISO 8601 week of a day: the week of its Thursday. */
export function isoWeek(day: string): string {
  const date = new Date(`${day}T00:00:00Z`);
  const thursday = new Date(date.getTime() + (3 - ((date.getUTCDay() + 6) % 7)) * 86_400_000);
  const yearStart = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const week = 1 + Math.floor((thursday.getTime() - yearStart) / (7 * 86_400_000));
  return `${thursday.getUTCFullYear()}-W${week}`;
}
