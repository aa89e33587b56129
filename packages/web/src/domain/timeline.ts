// The days behind an app: what each deposited, and which are missing. Pure: lays out facts, draws nothing.

import type { AppSnapshot, Job } from '@varve/contract';

/**
 * saved: at least one snapshot of that day is there. issue: so, but a run failed or files are missing. failed: runs, but none
 * ended well. missed: a schedule, but no run at all. thinned: was saved, retention has removed it since. waiting: today,
 * nothing yet. before: the app was not there yet. unknown: older than what the job list tells.
 */
export type DayState = 'saved' | 'issue' | 'failed' | 'missed' | 'thinned' | 'waiting' | 'before' | 'unknown';

export interface TimelineDay {
  /** `2026-11-23` in the reader's time zone. */
  readonly key: string;
  /** Noon of that day in UTC: only for writing the date, with `timeZone: 'UTC'`. */
  readonly noon: number;
  readonly state: DayState;
  /** Oldest first. */
  readonly snapshots: readonly AppSnapshot[];
  readonly failures: number;
}

export interface TimelineInput {
  readonly snapshots: readonly AppSnapshot[];
  /** Newest jobs of the app, any type. */
  readonly jobs: readonly Job[];
  /** Whether `jobs` reaches back to the app's beginning; else days before the oldest job are unknown. */
  readonly jobsComplete: boolean;
  readonly scheduled: boolean;
  readonly appCreatedAt: string;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly days: number;
  readonly timeZone?: string | undefined;
}

const dayMs = 86_400_000;

/** One entry per day, oldest first, today last. */
export function layoutTimeline(input: TimelineInput): TimelineDay[] {
  const keyOf = dayKeyFunction(input.timeZone);
  const snapshots = Map.groupBy(
    input.snapshots.toSorted((a, b) => Date.parse(a.time) - Date.parse(b.time)),
    (snapshot) => keyOf(Date.parse(snapshot.time)),
  );
  const runs = input.jobs.filter((job) => job.type === 'snapshot' && job.finishedAt !== null);
  const runsByDay = Map.groupBy(runs, (job) => keyOf(Date.parse(job.finishedAt ?? job.createdAt)));
  const todayKey = keyOf(input.now);
  const known = {
    todayKey,
    createdKey: keyOf(Date.parse(input.appCreatedAt)),
    oldestRunKey: input.jobsComplete ? '' : oldestKey(runsByDay.keys(), todayKey),
    scheduled: input.scheduled,
  };
  const todayNoon = Date.parse(`${todayKey}T12:00:00Z`);
  return Array.from({ length: input.days }, (_, index) => {
    const noon = todayNoon - (input.days - 1 - index) * dayMs;
    const key = new Date(noon).toISOString().slice(0, 10);
    const saved = snapshots.get(key) ?? [];
    const dayRuns = runsByDay.get(key) ?? [];
    const failures = dayRuns.filter((job) => job.state === 'failed').length;
    const successes = dayRuns.filter((job) => job.state === 'succeeded' || job.state === 'partial').length;
    return { key, noon, snapshots: saved, failures, state: stateOf({ key, saved, failures, successes, ...known }) };
  });
}

interface DayFacts {
  readonly key: string;
  readonly saved: readonly AppSnapshot[];
  readonly failures: number;
  readonly successes: number;
  readonly todayKey: string;
  readonly createdKey: string;
  readonly oldestRunKey: string;
  readonly scheduled: boolean;
}

function stateOf(day: DayFacts): DayState {
  if (day.saved.length > 0) {
    return day.failures > 0 || day.saved.some((snapshot) => snapshot.partial) ? 'issue' : 'saved';
  }
  if (day.successes > 0) return 'thinned';
  if (day.failures > 0) return 'failed';
  if (day.key < day.createdKey) return 'before';
  if (day.key === day.todayKey || day.key === day.createdKey) return 'waiting';
  if (day.key < day.oldestRunKey) return 'unknown';
  return day.scheduled ? 'missed' : 'unknown';
}

function oldestKey(keys: Iterable<string>, otherwise: string): string {
  return [...keys].toSorted()[0] ?? otherwise;
}

/** The day in which a moment lies, as `2026-11-23`. */
function dayKeyFunction(timeZone?: string): (time: number) => string {
  const parts = new Intl.DateTimeFormat('en-CA', {
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    ...(timeZone === undefined ? {} : { timeZone }),
  });
  return (time) => parts.format(time);
}
