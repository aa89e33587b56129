// The timelines of apps: facts of the repository, computed once for each state of it, and cut to what was asked for.

import type { App, DatabaseTimeline, Timeline, TimelineQuery } from '@varve/contract';
import type { Repository } from '@varve/repository';
import type { SnapshotStore } from '../apps/snapshot-store.ts';
import type { TimelineRequest } from '../facade.ts';
import { databaseTimeline } from './database-timeline.ts';
import { microsOf } from './micros.ts';
import { nearestReachable } from './nearest-reachable.ts';
import type { AppFacts, TimelineFacts } from './timeline-facts.ts';

interface Computed {
  readonly version: number;
  /** Which databases are captured: part of the answer that the repository does not know. */
  readonly captured: string;
  readonly databases: readonly DatabaseTimeline[];
  readonly basesOf: ReadonlyMap<string, readonly string[]>;
}

export class AppTimelines {
  readonly #facts: TimelineFacts;
  readonly #snapshots: SnapshotStore;
  readonly #computed = new Map<string, Computed>();

  constructor(options: { readonly facts: TimelineFacts; readonly snapshots: SnapshotStore }) {
    this.#facts = options.facts;
    this.#snapshots = options.snapshots;
  }

  async read(app: App, repository: Repository, request: TimelineRequest = {}): Promise<Timeline> {
    const { from, to, at, fresh, signal } = request;
    const facts = await this.#facts.read({ repository, appId: app.id, fresh, signal });
    const { databases, basesOf } = this.#compute(app, facts);
    const window = windowOf({ from, to });
    const snapshots = await this.#snapshots.between(app.id, { from, to });
    return {
      appId: app.id,
      readAt: new Date(facts.readAtMs).toISOString(),
      databases: databases.map((database) =>
        answerOf(database, { window, nearest: at === undefined ? null : nearestReachable(database, at) }),
      ),
      snapshots: snapshots.map((mark) => Object.assign(mark, { bases: [...(basesOf.get(mark.id) ?? [])] })),
    };
  }

  #compute(app: App, facts: AppFacts): Computed {
    const capturedNames = app.components.flatMap((component) =>
      component.kind === 'database' && component.wal === true ? [component.name] : [],
    );
    const captured = capturedNames.join(' ');
    const known = this.#computed.get(app.id);
    if (known?.version === facts.version && known.captured === captured) return known;
    const names = new Set([
      ...capturedNames,
      ...[...facts.blocks, ...facts.bases, ...facts.damaged].map(({ component }) => component),
    ]);
    const computed: Computed = {
      version: facts.version,
      captured,
      databases: [...names]
        .toSorted()
        .map((component) => databaseOf(facts, component, capturedNames.includes(component))),
      basesOf: componentsBySnapshot(facts),
    };
    this.#computed.set(app.id, computed);
    return computed;
  }
}

function databaseOf(facts: AppFacts, component: string, captured: boolean): DatabaseTimeline {
  const own = <T extends { readonly component: string }>(items: readonly T[]): T[] =>
    items.filter((item) => item.component === component);
  return databaseTimeline({
    component,
    captured,
    blocks: own(facts.blocks),
    bases: own(facts.bases),
    damaged: own(facts.damaged),
  });
}

function componentsBySnapshot({ bases }: AppFacts): Map<string, readonly string[]> {
  const bySnapshot = Map.groupBy(bases, ({ snapshotId }) => snapshotId);
  return new Map([...bySnapshot].map(([id, own]) => [id, own.map(({ component }) => component)]));
}

/** Microseconds. */
interface Window {
  readonly from: number;
  readonly to: number;
}

function windowOf({ from, to }: Pick<TimelineQuery, 'from' | 'to'>): Window {
  return {
    from: from === undefined ? Number.NEGATIVE_INFINITY : microsOf(from),
    to: to === undefined ? Number.POSITIVE_INFINITY : microsOf(to),
  };
}

/** What has no time is shown in every window. */
function answerOf(
  database: DatabaseTimeline,
  { window, nearest }: { readonly window: Window; readonly nearest: DatabaseTimeline['nearest'] },
): DatabaseTimeline {
  const { from, to } = window;
  if (from === Number.NEGATIVE_INFINITY && to === Number.POSITIVE_INFINITY) return { ...database, nearest };
  const overlaps = (begin: string | null, end: string | null): boolean =>
    (begin === null || microsOf(begin) <= to) && (end === null || microsOf(end) >= from);
  return {
    ...database,
    nearest,
    ranges: database.ranges.filter(({ fromAt, toAt }) => overlaps(fromAt, toAt)),
    gaps: database.gaps.filter(({ fromAt, toAt, healedAt }) => overlaps(fromAt, healedAt ?? toAt)),
    unreachable: database.unreachable.filter(({ fromAt, toAt }) => overlaps(fromAt, toAt)),
    points: database.points.filter(({ at }) => overlaps(at, at)),
    restarts: database.restarts.filter(({ at }) => overlaps(at, at)),
  };
}
