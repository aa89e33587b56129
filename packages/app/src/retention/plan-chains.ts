// Which base backups and WAL blocks the point-in-time window needs, and which blocks can go. A moment is reached from a base
// backup along the log without a hole: of every chain whose end lies in the window, the newest base backup that reaches
// back to the window's beginning stays, with all log from its start on. All others need no block: they carry their own log.

import type { Lsn } from '@varve/postgres';
import type { BaseFacts } from '../timeline/base-facts.ts';
import { withoutReplaced, type BlockFacts } from '../timeline/block-facts.ts';
import { commitTimes } from '../timeline/commit-times.ts';
import { walksOf, type Walk } from '../timeline/database-timeline.ts';
import { clustersOf, Lineage, type Cluster } from '../timeline/lineage.ts';
import { pieceOf, type Piece } from '../timeline/log-pieces.ts';
import { basesIn, reachableFrom } from '../timeline/reachable-ranges.ts';

const dayMs = 86_400_000;

export interface ChainInput {
  /** Of one app; its databases are told apart by their components. */
  readonly blocks: readonly BlockFacts[];
  readonly bases: readonly BaseFacts[];
  readonly windowDays: number;
  readonly now: Date;
}

export interface ChainPlan {
  /** Snapshots that stay for the window. */
  readonly neededSnapshots: ReadonlySet<string>;
  /** Sealed, needed by nothing, and older than the window; in the order of the log. */
  readonly removableBlocks: readonly BlockFacts[];
}

/** Pure; removes nothing. */
export function planChains({ blocks, bases, windowDays, now }: ChainInput): ChainPlan {
  const cutoffMs = now.getTime() - windowDays * dayMs;
  const neededSnapshots = new Set<string>();
  const removableBlocks: BlockFacts[] = [];
  for (const component of new Set(blocks.map((block) => block.component))) {
    const own = blocks.filter((block) => block.component === component);
    const current = withoutReplaced(own);
    const clusters = clustersOf(
      current,
      bases.filter((base) => base.component === component),
    );
    for (const cluster of clusters) {
      const needed = neededOf(cluster, { isNewest: cluster === clusters.at(-1), cutoffMs });
      for (const { snapshotId } of needed.bases) neededSnapshots.add(snapshotId);
      const candidates = cluster.blocks.filter((block) => isOver(block, cutoffMs) && !needed.blocks.has(block));
      removableBlocks.push(...withLeftovers(sparingHistories(cluster, candidates), own));
    }
  }
  return { neededSnapshots, removableBlocks };
}

interface Needed {
  readonly bases: Set<BaseFacts>;
  readonly blocks: Set<BlockFacts>;
}

function neededOf(cluster: Cluster, { isNewest, cutoffMs }: { isNewest: boolean; cutoffMs: number }): Needed {
  const needed: Needed = { bases: new Set(), blocks: new Set() };
  for (const walk of walksOf(cluster, isNewest)) {
    for (const piece of walk.pieces) {
      if (walk.low !== undefined && piece.replayableLsn <= walk.low) continue;
      const isLatest = walk.branch === 'current' && piece === walk.pieces.at(-1);
      const base = baseFor(walk, piece, cutoffMs);
      if (base === undefined || (!isLatest && endMs(piece) < cutoffMs)) continue;
      needed.bases.add(base);
      for (const block of blocksBehind(piece, base.startLsn)) needed.blocks.add(block);
    }
  }
  return needed;
}

/** The newest that reaches back to the beginning of the window, or of the branch when that is later; else the oldest. */
function baseFor(walk: Walk, piece: Piece, cutoffMs: number): BaseFacts | undefined {
  const bases = basesIn(piece, walk.way, walk.cluster.bases);
  // By the host's clock first: it costs nothing to ask, and an older base backup than needed loses nothing.
  const reaches = (base: BaseFacts): boolean =>
    (walk.low !== undefined && base.endLsn <= walk.low) ||
    (base.finishedAtMs <= cutoffMs && reachableFrom(piece, base) <= cutoffMs * 1000);
  return bases.findLast(reaches) ?? bases[0];
}

function blocksBehind(piece: Piece, lsn: Lsn): BlockFacts[] {
  return piece.parts.filter(({ block }) => block.endLsn > lsn).map(({ block }) => block);
}

/** By the later of both clocks, Varve's and the server's. */
function endMs(piece: Piece): number {
  const greatest = commitTimes(piece).greatest / 1000;
  const updated = piece.parts.at(-1)?.block.updatedAtMs ?? 0;
  return Number.isNaN(greatest) ? updated : Math.max(updated, greatest);
}

/** Older than the window. An open block is still written, whatever its age. */
function isOver(block: BlockFacts, cutoffMs: number): boolean {
  return block.sealed && endMs(pieceOf(block)) < cutoffMs;
}

/** The last block with the history file of a timeline stays while something of that timeline or of a later one does. */
function sparingHistories(cluster: Cluster, candidates: readonly BlockFacts[]): BlockFacts[] {
  const removed = new Set(candidates);
  const kept = cluster.blocks.filter((block) => !removed.has(block));
  const lineage = new Lineage(cluster);
  const wanted = new Set(
    [...kept, ...cluster.bases].flatMap(({ timeline }) => lineage.wayTo(timeline).map((step) => step.timeline)),
  );
  for (const timeline of wanted) {
    if (kept.some(({ histories }) => histories.includes(timeline))) continue;
    const last = candidates.findLast(({ histories }) => histories.includes(timeline));
    if (last) removed.delete(last);
  }
  return candidates.filter((block) => removed.has(block));
}

/** What a crash left beside a block that goes, goes with it. */
function withLeftovers(blocks: readonly BlockFacts[], all: readonly BlockFacts[]): BlockFacts[] {
  const key = ({ systemId, timeline, startLsn, startedAtMs }: BlockFacts): string =>
    `${systemId} ${timeline} ${startLsn} ${startedAtMs}`;
  const keys = new Set(blocks.map(key));
  return all.filter((block) => keys.has(key(block)));
}
