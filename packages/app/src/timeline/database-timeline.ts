// The timeline of one database, a pure function of its blocks and base backups. Everything is decided by positions; times
// are looked up at the end. What lies on a branch that the database no longer has is told apart, not hidden.

import type { DatabaseTimeline, TimelineBranchKind, WalGapReason } from '@varve/contract';
import { formatLsn, parseLsn, type Lsn } from '@varve/postgres';
import type { BaseFacts } from './base-facts.ts';
import { withoutReplaced, type BlockFacts } from './block-facts.ts';
import { commitTimes, segmentAround } from './commit-times.ts';
import { clustersOf, Lineage, type Cluster, type WayStep } from './lineage.ts';
import { later, piecesAlong, type Piece } from './log-pieces.ts';
import { timeOf } from './micros.ts';
import { basesIn, divergence, reachableFrom } from './reachable-ranges.ts';

export interface DamagedBlock {
  readonly component: string;
  readonly snapshotId: string;
  readonly time: string;
  readonly message: string;
}

export interface DatabaseFacts {
  readonly component: string;
  readonly captured: boolean;
  readonly blocks: readonly BlockFacts[];
  readonly bases: readonly BaseFacts[];
  readonly damaged: readonly DamagedBlock[];
}

type Parts = Pick<DatabaseTimeline, 'ranges' | 'gaps' | 'unreachable'>;

/** One way of one cluster, looked at. */
export interface Walk {
  readonly cluster: Cluster;
  readonly timeline: number;
  readonly way: readonly WayStep[];
  readonly branch: TimelineBranchKind;
  /** Only what lies behind it is of this branch. */
  readonly low: Lsn | undefined;
  readonly pieces: readonly Piece[];
}

/** `nearest` is left null. */
export function databaseTimeline(facts: DatabaseFacts): DatabaseTimeline {
  const clusters = clustersOf(withoutReplaced(facts.blocks), facts.bases);
  const walks = clusters.flatMap((cluster) => walksOf(cluster, cluster === clusters.at(-1)));
  const parts = walks.map((walk) => partsOf(walk, facts.damaged.length > 0));
  const current = clusters.at(-1);
  const ranges = parts.flatMap((part) => part.ranges);
  return {
    component: facts.component,
    captured: facts.captured,
    systemId: current?.systemId ?? null,
    timeline: current?.currentTimeline ?? null,
    ranges,
    gaps: parts.flatMap(({ gaps }) => gaps),
    unreachable: parts.flatMap(({ unreachable }) => unreachable),
    points: walks.flatMap(pointsOf),
    restarts: walks.flatMap(restartsOf),
    branches: clusters.flatMap((cluster) => branchesOf(cluster, walks)),
    damaged: facts.damaged.map(({ snapshotId, time, message }) => ({ snapshotId, time, message })),
    nearest: null,
  };
}

/** The way to where the database is, and those to every timeline that it left. */
export function walksOf(cluster: Cluster, isNewest: boolean): Walk[] {
  const lineage = new Lineage(cluster);
  const currentWay = lineage.wayTo(cluster.currentTimeline);
  const others = cluster.timelines.filter((timeline) => timeline !== cluster.currentTimeline);
  const walk = (timeline: number, way: readonly WayStep[], rest: Pick<Walk, 'branch' | 'low'>): Walk => ({
    cluster,
    timeline,
    way,
    pieces: piecesAlong(way, cluster.blocks),
    ...rest,
  });
  return [
    walk(cluster.currentTimeline, currentWay, { branch: isNewest ? 'current' : 'earlier-cluster', low: undefined }),
    ...others.flatMap((timeline) => {
      const way = lineage.wayTo(timeline);
      const left = divergence(way, currentWay);
      return left === undefined ? [] : [walk(timeline, way, { branch: 'abandoned', low: left.lsn })];
    }),
  ];
}

function placeOf({ cluster, timeline, branch }: Walk) {
  return { systemId: cluster.systemId, timeline, branch };
}

function partsOf(walk: Walk, hasDamage: boolean): Parts {
  const parts: Parts = { ranges: [], gaps: [], unreachable: [] };
  for (const [index, piece] of walk.pieces.entries()) {
    if (walk.low !== undefined && piece.replayableLsn <= walk.low) continue;
    const [base] = basesIn(piece, walk.way, walk.cluster.bases);
    const range = base && rangeOf(walk, piece, base);
    const before = walk.pieces[index - 1];
    const isOwn = walk.low === undefined || piece.startLsn >= walk.low;
    if (before && isOwn && isToldAsGap(walk, before, piece))
      parts.gaps.push(gapOf(walk, { before, piece, hasDamage, healedAt: range?.fromAt ?? null }));
    // What an abandoned branch cannot reach, it can no longer gain.
    const isLast = index === walk.pieces.length - 1;
    if (walk.branch !== 'abandoned')
      parts.unreachable.push(...stretchOf(walk, piece, { base, isFirst: index === 0, isLast }));
    if (range) parts.ranges.push(range);
  }
  return parts;
}

/** What retention has left before the window is a rest of something, not something that is missing. */
function isToldAsGap({ way, cluster }: Walk, before: Piece, piece: Piece): boolean {
  return piece.gap !== null || basesIn(before, way, cluster.bases).length > 0;
}

function rangeOf(walk: Walk, piece: Piece, base: BaseFacts): DatabaseTimeline['ranges'][number] | undefined {
  const fromLsn = walk.low === undefined ? base.endLsn : later(base.endLsn, walk.low);
  if (fromLsn > piece.replayableLsn) return undefined;
  const around = segmentAround(piece, fromLsn);
  const times = commitTimes(piece, { from: around });
  const known = commitTimes(piece, { from: fromLsn });
  const atBase = reachableFrom(piece, base);
  // Behind a branching point: from the last commit before it.
  const start = fromLsn === base.endLsn ? atBase : commitTimes(piece, { to: fromLsn }).last;
  const earliest = Number.isNaN(start) ? atBase : start;
  // Nothing was committed since: every later moment is the state of the last commit, and that is what can be claimed.
  const toAt = Number.isNaN(times.greatest) ? earliest : times.greatest;
  return {
    ...placeOf(walk),
    baseSnapshotId: base.snapshotId,
    fromLsn: formatLsn(fromLsn),
    toLsn: formatLsn(piece.replayableLsn),
    fromAt: timeOf(Math.min(earliest, toAt)) ?? '',
    toAt: timeOf(toAt) ?? '',
    firstCommitAt: timeOf(known.first),
    lastCommitAt: timeOf(times.last),
    commits: times.commits,
    clockSteps: times.clockSteps.map(({ lsn, from, to }) => ({
      lsn: formatLsn(lsn),
      fromAt: timeOf(from) ?? '',
      toAt: timeOf(to) ?? '',
    })),
  };
}

function gapOf(
  walk: Walk,
  about: {
    readonly before: Piece;
    readonly piece: Piece;
    readonly hasDamage: boolean;
    readonly healedAt: string | null;
  },
): DatabaseTimeline['gaps'][number] {
  const { before, piece, hasDamage, healedAt } = about;
  const reason: WalGapReason | undefined = piece.gap?.reason;
  return {
    ...placeOf(walk),
    reason: reason ?? (hasDamage ? 'block-unreadable' : 'block-missing'),
    message: piece.gap?.message ?? null,
    fromLsn: formatLsn(before.endLsn),
    toLsn: formatLsn(piece.startLsn),
    fromAt: timeOf(commitTimes(before).last),
    toAt: timeOf(commitTimes(piece).first),
    detectedAt: piece.gap?.detectedAt ?? null,
    healedAt,
  };
}

/** What lies before the first base backup of a piece; none when nothing was committed there. */
function stretchOf(
  walk: Walk,
  piece: Piece,
  about: { readonly base: BaseFacts | undefined; readonly isFirst: boolean; readonly isLast: boolean },
): DatabaseTimeline['unreachable'] {
  const { base, isFirst, isLast } = about;
  const times = commitTimes(piece, base ? { to: base.endLsn } : {});
  const hasEnded = base !== undefined || !isLast;
  // How it was before anything could be reached is of no interest any more; behind a gap it says what is lost.
  if (hasEnded && (isFirst || times.commits === 0)) return [];
  return [
    {
      ...placeOf(walk),
      reason: isFirst ? 'capture-began' : 'behind-gap',
      hasEnded,
      fromLsn: formatLsn(piece.startLsn),
      toLsn: formatLsn(base?.endLsn ?? piece.replayableLsn),
      fromAt: timeOf(times.first),
      toAt: timeOf(times.last),
    },
  ];
}

/** What blocks of the way name, each position once, and only what is of this branch. */
function namedOf<T extends { readonly lsn: string }>(
  walk: Walk,
  pick: (block: BlockFacts) => readonly T[],
): { readonly item: T; readonly lsn: Lsn }[] {
  const found = new Map<Lsn, T>();
  const limits = new Map(walk.way.map(({ timeline, until }) => [timeline, until]));
  for (const block of walk.cluster.blocks) {
    if (!limits.has(block.timeline)) continue;
    const until = limits.get(block.timeline);
    for (const item of pick(block)) {
      const lsn = parseLsn(item.lsn);
      const isOnWay = until === undefined || lsn < until;
      if (isOnWay && (walk.low === undefined || lsn >= walk.low)) found.set(lsn, item);
    }
  }
  return [...found].map(([lsn, item]) => ({ item, lsn })).toSorted((a, b) => (a.lsn < b.lsn ? -1 : 1));
}

function pointsOf(walk: Walk): DatabaseTimeline['points'] {
  const reachable = walk.pieces.flatMap((piece) => {
    const [base] = basesIn(piece, walk.way, walk.cluster.bases);
    return base ? [{ from: base.endLsn, to: piece.replayableLsn }] : [];
  });
  const { systemId, timeline, branch } = placeOf(walk);
  return namedOf(walk, ({ restorePoints }) => restorePoints).map(({ item, lsn }) => ({
    systemId,
    timeline,
    branch,
    name: item.name,
    lsn: item.lsn,
    at: item.at,
    reachable: reachable.some(({ from, to }) => from <= lsn && lsn < to),
  }));
}

function restartsOf(walk: Walk): DatabaseTimeline['restarts'] {
  const { systemId, timeline, branch } = placeOf(walk);
  return namedOf(walk, ({ restarts }) => restarts).map(({ item }) => ({
    systemId,
    timeline,
    branch,
    lsn: item.lsn,
    at: item.at,
  }));
}

function branchesOf(cluster: Cluster, walks: readonly Walk[]): DatabaseTimeline['branches'] {
  const lineage = new Lineage(cluster);
  const current = new Set(lineage.wayTo(cluster.currentTimeline).map(({ timeline }) => timeline));
  const kind = walks.find((walk) => walk.cluster === cluster && walk.branch !== 'abandoned')?.branch ?? 'current';
  return cluster.timelines.map((timeline) => {
    const parent = lineage.parentOf(timeline);
    return {
      systemId: cluster.systemId,
      timeline,
      branch: current.has(timeline) ? kind : 'abandoned',
      parent: parent && { timeline: parent.timeline, lsn: formatLsn(parent.lsn) },
      serverVersion: cluster.serverVersion,
    };
  });
}
