// Which timelines a cluster has, where each came from, and which one the database is on. With that every timeline has a way:
// its ancestors up to where each was left, and itself. Along a way positions only grow.

import type { Lsn, TimelineHistory } from '@varve/postgres';
import type { BaseFacts } from './base-facts.ts';
import type { BlockFacts } from './block-facts.ts';

/** A part of a way: what `timeline` wrote before `until`; undefined for its end, wherever that is. */
export interface WayStep {
  readonly timeline: number;
  readonly until: Lsn | undefined;
}

export interface Cluster {
  readonly systemId: string;
  /** Of the newest version, by what was captured or saved last. */
  readonly serverVersion: string;
  readonly blocks: readonly BlockFacts[];
  readonly bases: readonly BaseFacts[];
  /** The timeline that was captured last. */
  readonly currentTimeline: number;
  readonly timelines: readonly number[];
  /** When something of it was last captured or saved. */
  readonly lastSeenMs: number;
}

/** Clusters of a database, the one seen last at the end. */
export function clustersOf(blocks: readonly BlockFacts[], bases: readonly BaseFacts[]): Cluster[] {
  const ids = new Set([...blocks, ...bases].map(({ systemId }) => systemId));
  const clusters = [...ids].map((systemId) =>
    clusterOf(
      systemId,
      blocks.filter((block) => block.systemId === systemId),
      bases.filter((base) => base.systemId === systemId),
    ),
  );
  return clusters.toSorted((a, b) => a.lastSeenMs - b.lastSeenMs);
}

function clusterOf(systemId: string, blocks: readonly BlockFacts[], bases: readonly BaseFacts[]): Cluster {
  const seen = [
    ...blocks.map(({ timeline, serverVersion, updatedAtMs }) => ({ timeline, serverVersion, atMs: updatedAtMs })),
    // A base is saved from the same server that is captured: it says something only where nothing is captured.
    ...(blocks.length > 0 ? [] : bases).map(({ timeline, serverVersion, finishedAtMs }) => ({
      timeline,
      serverVersion,
      atMs: finishedAtMs,
    })),
  ];
  const last = seen.reduce((a, b) => (b.atMs > a.atMs || (b.atMs === a.atMs && b.timeline > a.timeline) ? b : a));
  const timelines = [...new Set([...blocks, ...bases].map(({ timeline }) => timeline))].toSorted((a, b) => a - b);
  return {
    systemId,
    serverVersion: last.serverVersion,
    blocks,
    bases,
    currentTimeline: last.timeline,
    timelines,
    lastSeenMs: last.atMs,
  };
}

/** Where timelines come from, by what the history files say. */
export class Lineage {
  readonly #histories = new Map<number, TimelineHistory['ancestors']>();

  constructor(cluster: Pick<Cluster, 'blocks'>) {
    for (const { history } of cluster.blocks) {
      if (history === null) continue;
      this.#histories.set(history.timeline, history.ancestors);
      // An ancestor whose own file was not read comes from where its descendant says.
      for (const [index, { timeline }] of history.ancestors.entries()) {
        if (!this.#histories.has(timeline)) this.#histories.set(timeline, history.ancestors.slice(0, index));
      }
    }
  }

  parentOf(timeline: number): { readonly timeline: number; readonly lsn: Lsn } | null {
    const parent = this.#histories.get(timeline)?.at(-1);
    return parent ? { timeline: parent.timeline, lsn: parent.switchLsn } : null;
  }

  wayTo(timeline: number): WayStep[] {
    const ancestors = this.#histories.get(timeline) ?? [];
    return [
      ...ancestors.map((ancestor) => ({ timeline: ancestor.timeline, until: ancestor.switchLsn })),
      { timeline, until: undefined },
    ];
  }
}
