// To which moments a database can be brought back, as the page shows it: which range, or which gap, a moment lies in, what is
// nearest, and where everything is drawn. Pure; times are milliseconds since 1970.

import type { DatabaseTimeline, TimelineSnapshot } from '@varve/contract';

export interface Span {
  readonly from: number;
  readonly to: number;
}

export type Judgement =
  | { readonly state: 'reachable'; readonly at: number }
  | {
      readonly state: 'gap' | 'waiting' | 'before' | 'after' | 'nothing';
      /** Why the log is missing, for a gap. */
      readonly reason: DatabaseTimeline['gaps'][number]['reason'] | null;
      readonly before: number | null;
      readonly after: number | null;
    };

/** A history that the database left at a recovery, and what of it can still be reached. */
export interface LeftBehind extends Span {
  readonly timeline: number;
}

/** Of the cluster that is there now, the newest first. */
export function leftBehind({ ranges, systemId }: Pick<DatabaseTimeline, 'ranges' | 'systemId'>): LeftBehind[] {
  const found = new Map<number, LeftBehind>();
  for (const { branch, timeline, fromAt, toAt, systemId: cluster } of ranges) {
    if (branch !== 'abandoned' || cluster !== systemId) continue;
    const known = found.get(timeline);
    const from = Math.min(known?.from ?? Number.POSITIVE_INFINITY, Date.parse(fromAt));
    found.set(timeline, { timeline, from, to: Math.max(known?.to ?? 0, Date.parse(toAt)) });
  }
  return [...found.values()].toSorted((a, b) => b.to - a.to);
}

/** What the database left on a timeline as if it were all there is: only that can be chosen then. */
export function onLeftTimeline(database: DatabaseTimeline, timeline: number): DatabaseTimeline {
  const chosen = <T extends { readonly branch: string; readonly timeline: number; readonly systemId: string }>(
    items: readonly T[],
  ) =>
    items
      .filter((one) => one.branch === 'abandoned' && one.timeline === timeline && one.systemId === database.systemId)
      .map((one) => Object.assign({}, one, { branch: 'current' as const }));
  const { ranges, points } = database;
  return { ...database, ranges: chosen(ranges), points: chosen(points), gaps: [], unreachable: [], restarts: [] };
}

/** What the database has now or had in earlier clusters; what it left behind is looked at on its own, by `onLeftTimeline`. */
export function reachableSpans({ ranges }: Pick<DatabaseTimeline, 'ranges'>): Span[] {
  return ranges
    .filter(({ branch }) => branch !== 'abandoned')
    .map(({ fromAt, toAt }) => ({ from: Date.parse(fromAt), to: Date.parse(toAt) }))
    .toSorted((a, b) => a.from - b.from);
}

/** Whether a moment can be reached; else why not, and the nearest ones that can. */
export function judge(database: DatabaseTimeline, at: number): Judgement {
  const spans = reachableSpans(database);
  // The last millisecond of a range holds its last commit, whose microseconds a page does not have.
  if (spans.some(({ from, to }) => from <= at && at <= to + 1)) return { state: 'reachable', at };
  const before = greatest(spans.filter(({ to }) => to < at).map(({ to }) => to));
  const after = least(spans.filter(({ from }) => from > at).map(({ from }) => from));
  if (spans.length === 0) return { state: 'nothing', reason: null, before, after };
  const gap = database.gaps.find((one) => {
    const end = one.toAt ?? one.healedAt;
    return one.fromAt !== null && Date.parse(one.fromAt) <= at && (end === null || at <= Date.parse(end));
  });
  if (gap) return { state: 'gap', reason: gap.reason, before, after };
  if (isWaiting(database, at)) return { state: 'waiting', reason: null, before, after };
  if (before === null) return { state: 'before', reason: null, before, after };
  return { state: after === null ? 'after' : 'gap', reason: null, before, after };
}

function isWaiting({ unreachable }: DatabaseTimeline, at: number): boolean {
  return unreachable.some(({ fromAt, toAt, hasEnded }) => {
    const end = hasEnded && toAt !== null ? Date.parse(toAt) : Number.POSITIVE_INFINITY;
    return fromAt !== null && Date.parse(fromAt) <= at && at <= end;
  });
}

/** The last moment of what the database has now; null when there is none. */
export function latestReachable(database: Pick<DatabaseTimeline, 'ranges'>): number | null {
  return greatest(reachableSpans(database).map(({ to }) => to));
}

export function oldestReachable(database: Pick<DatabaseTimeline, 'ranges'>): number | null {
  return least(reachableSpans(database).map(({ from }) => from));
}

/** A moment that has a name: a restore point, a snapshot with a base backup of this database, a restart. */
export interface Landmark {
  readonly kind: 'point' | 'snapshot' | 'restart';
  readonly at: number;
  readonly name: string | null;
  readonly snapshot: TimelineSnapshot | null;
}

/** Oldest first. */
export function landmarksOf(database: DatabaseTimeline, snapshots: readonly TimelineSnapshot[]): Landmark[] {
  const current = <T extends { readonly branch: string }>(items: readonly T[]): T[] =>
    items.filter(({ branch }) => branch !== 'abandoned');
  return [
    ...current(database.points).map(({ at, name }) => ({
      kind: 'point' as const,
      at: Date.parse(at),
      name,
      snapshot: null,
    })),
    ...current(database.restarts).map(({ at }) => ({
      kind: 'restart' as const,
      at: Date.parse(at),
      name: null,
      snapshot: null,
    })),
    ...snapshots.map((snapshot) => ({
      kind: 'snapshot' as const,
      at: Date.parse(snapshot.time),
      name: snapshot.name,
      snapshot,
    })),
  ].toSorted((a, b) => a.at - b.at);
}

/** The moment that is meant by a place on the strip: a landmark close by, else the nearest reachable moment. */
export function snapTo(
  database: DatabaseTimeline,
  { at, landmarks, within }: { readonly at: number; readonly landmarks: readonly Landmark[]; readonly within: number },
): number {
  const close = landmarks
    .filter((mark) => Math.abs(mark.at - at) <= within && judge(database, mark.at).state === 'reachable')
    .toSorted((a, b) => Math.abs(a.at - at) - Math.abs(b.at - at))[0];
  if (close) return close.at;
  return nearestTo(database, at) ?? at;
}

/** The moment itself when it can be reached, else the closer end of a range; null when nothing can be reached. */
export function nearestTo(database: DatabaseTimeline, at: number): number | null {
  const judged = judge(database, at);
  if (judged.state === 'reachable') return at;
  const { before, after } = judged;
  if (before === null || after === null) return before ?? after;
  return at - before <= after - at ? before : after;
}

/** From time to pixels. */
export interface Scale extends Span {
  readonly width: number;
}

export function xOf({ from, to, width }: Scale, at: number): number {
  return ((at - from) / (to - from)) * width;
}

export function timeAt({ from, to, width }: Scale, x: number): number {
  return Math.round(from + (Math.min(width, Math.max(0, x)) / width) * (to - from));
}

export interface Stretch {
  readonly x: number;
  readonly width: number;
}

/** What of a span is in sight, at least `least` pixels wide, so that nothing short is lost. */
export function stretchOf(scale: Scale, { from, to }: Span, leastPx = 0): Stretch | undefined {
  if (to < scale.from || from > scale.to) return undefined;
  const left = xOf(scale, Math.max(scale.from, from));
  const right = xOf(scale, Math.min(scale.to, to));
  const width = Math.max(leastPx, right - left);
  return { x: Math.min(left, scale.width - width), width };
}

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const steps = [
  5 * minuteMs,
  15 * minuteMs,
  hourMs,
  2 * hourMs,
  4 * hourMs,
  6 * hourMs,
  12 * hourMs,
  dayMs,
  2 * dayMs,
  7 * dayMs,
];

/** Round times of the reader's zone, so far apart that their labels have room. */
export function ticksOf(scale: Scale, leastPx: number): { readonly at: number; readonly isDay: boolean }[] {
  const wanted = ((scale.to - scale.from) / scale.width) * leastPx;
  const step = steps.find((one) => one >= wanted) ?? 14 * dayMs;
  const ticks: { at: number; isDay: boolean }[] = [];
  const day = new Date(scale.from);
  day.setHours(0, 0, 0, 0);
  const stepDays = step / dayMs;
  for (let index = 0; day.getTime() <= scale.to; day.setDate(day.getDate() + Math.max(1, stepDays)), index++) {
    const next = new Date(day);
    next.setDate(day.getDate() + Math.max(1, stepDays));
    const within = stepDays >= 1 ? [day.getTime()] : times(day.getTime(), next.getTime(), step);
    for (const at of within) {
      if (at >= scale.from && at <= scale.to) ticks.push({ at, isDay: at === day.getTime() });
    }
  }
  return ticks;
}

/** Days on which the clock is changed are an hour longer or shorter: their last step is cut off. */
function times(from: number, to: number, step: number): number[] {
  return Array.from({ length: Math.floor((to - from - 1) / step) + 1 }, (_, index) => from + index * step);
}

function greatest(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.max(...values);
}

function least(values: readonly number[]): number | null {
  return values.length === 0 ? null : Math.min(...values);
}
