// What the timeline needs of a WAL block, small enough that those of a year stay in memory: positions as numbers of their
// own type, and four columns of numbers in place of an object per segment.

import type { WalBlock } from '@varve/contract';
import { parseLsn, parseTimelineHistory, type Lsn, type TimelineHistory } from '@varve/postgres';
import { microsOf } from './micros.ts';

/** Numbers of a segment, one after the other: commits, first commit, last commit, greatest time (microseconds; NaN for none). */
export const columnsPerSegment = 4;

export interface BlockFacts {
  readonly snapshotId: string;
  readonly component: string;
  readonly systemId: string;
  readonly serverVersion: string;
  readonly segmentBytes: number;
  readonly timeline: number;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  readonly replayableLsn: Lsn;
  readonly sealed: boolean;
  /** Milliseconds, by the clock of Varve's host. */
  readonly startedAtMs: number;
  readonly updatedAtMs: number;
  readonly gap: WalBlock['gap'];
  readonly restorePoints: WalBlock['restorePoints'];
  readonly restarts: WalBlock['restarts'];
  /** Timelines whose history files it has. */
  readonly histories: readonly number[];
  /** Of its own timeline; null for the first one, and when it cannot be read. */
  readonly history: TimelineHistory | null;
  readonly segments: Float64Array;
}

/** What {@link encodeBlock} yields and the catalogue keeps. */
export interface EncodedBlock {
  readonly json: string;
  readonly segments: Uint8Array;
}

type StoredFacts = Omit<
  WalBlock,
  'segments' | 'format' | 'formatVersion' | 'parameterChanges' | 'tablespacesCreated'
> & { readonly historyText: string | null };

/** `historyText` is the content of `/wal/<timeline>.history`; null when there is none. */
export function encodeBlock(block: WalBlock, historyText: string | null): EncodedBlock {
  const { segments, format: _, formatVersion: _version, parameterChanges: _p, tablespacesCreated: _t, ...rest } = block;
  const stored: StoredFacts = { ...rest, historyText };
  const columns = new Float64Array(segments.length * columnsPerSegment);
  for (const [index, segment] of segments.entries()) {
    columns.set(
      [
        segment.commits,
        optionalMicros(segment.firstCommitAt),
        optionalMicros(segment.lastCommitAt),
        optionalMicros(segment.latestAt),
      ],
      index * columnsPerSegment,
    );
  }
  return { json: JSON.stringify(stored), segments: new Uint8Array(columns.buffer) };
}

export function decodeBlock(snapshotId: string, { json, segments }: EncodedBlock): BlockFacts {
  const stored = JSON.parse(json) as StoredFacts;
  return {
    snapshotId,
    component: stored.component,
    systemId: stored.systemId,
    serverVersion: stored.serverVersion,
    segmentBytes: stored.segmentBytes,
    timeline: stored.timeline,
    startLsn: parseLsn(stored.startLsn),
    endLsn: parseLsn(stored.endLsn),
    replayableLsn: parseLsn(stored.replayableLsn),
    sealed: stored.sealed,
    startedAtMs: Date.parse(stored.startedAt),
    updatedAtMs: Date.parse(stored.updatedAt),
    gap: stored.gap,
    restorePoints: stored.restorePoints,
    restarts: stored.restarts,
    histories: stored.histories,
    history: parsedHistory(stored),
    // Copied, because the bytes of a row need not begin where an array of doubles may.
    segments: new Float64Array(Uint8Array.from(segments).buffer),
  };
}

/** The facts of a block without the way over the catalogue. */
export function blockFacts(snapshotId: string, block: WalBlock, historyText: string | null = null): BlockFacts {
  return decodeBlock(snapshotId, encodeBlock(block, historyText));
}

/** In the order of the log, without those that a crash left beside the longer version that replaced them. */
export function withoutReplaced(blocks: readonly BlockFacts[]): BlockFacts[] {
  const byStart = new Map<string, BlockFacts>();
  for (const block of blocks) {
    const key = `${block.systemId} ${block.timeline} ${block.startLsn} ${block.startedAtMs}`;
    const other = byStart.get(key);
    if (other === undefined || isLonger(block, other)) byStart.set(key, block);
  }
  return [...byStart.values()];
}

function isLonger(block: BlockFacts, other: BlockFacts): boolean {
  return block.endLsn === other.endLsn ? block.sealed && !other.sealed : block.endLsn > other.endLsn;
}

function optionalMicros(time: string | null): number {
  return time === null ? Number.NaN : microsOf(time);
}

/** A history file that cannot be understood leaves its timeline without parents. */
function parsedHistory({ timeline, historyText }: StoredFacts): TimelineHistory | null {
  if (historyText === null) return null;
  try {
    return parseTimelineHistory(historyText, timeline);
  } catch {
    return null;
  }
}
