// Builds the WAL blocks and base backups of an imagined cluster, for tests of what is computed from them.

import type { WalBlock } from '@varve/contract';
import { formatLsn, parseLsn, segmentNameAt, type Lsn } from '@varve/postgres';
import { baseFacts, type BaseFacts } from '../src/timeline/base-facts.ts';
import { blockFacts, type BlockFacts } from '../src/timeline/block-facts.ts';

export const segmentBytes = 1024 * 1024;
export const systemId = '7000000000000000001';

/** Position of the start of a segment, by its number, and some bytes into it. */
export function at(segment: number, offset = 0): string {
  return formatLsn((BigInt(segment) * BigInt(segmentBytes) + BigInt(offset)) as Lsn);
}

/** `10:05` or `10:05:30` of 20 November 2026, UTC. */
export function clock(time: string): string {
  return `2026-11-20T${time.length === 5 ? `${time}:00` : time}.000000Z`;
}

interface SegmentTimes {
  readonly commits?: number;
  readonly first?: string;
  readonly last?: string;
  readonly latest?: string;
  /** Less than a segment: only for the last one. */
  readonly bytes?: number;
}

interface BlockShape extends Partial<WalBlock> {
  /** Number of the first segment. */
  readonly from: number;
  /** Times of each; a pair is first and last commit, null a segment without any. */
  readonly times: readonly (readonly [string, string] | null | SegmentTimes)[];
}

export function walBlock({ from, times, ...change }: BlockShape): WalBlock {
  const timeline = change.timeline ?? 1;
  const segments = times.map((given, index): WalBlock['segments'][number] => {
    const shape: SegmentTimes =
      given === null ? {} : 'length' in given ? { commits: 2, first: given[0], last: given[1] } : given;
    const lsn = parseLsn(at(from + index));
    const last = shape.last === undefined ? null : clock(shape.last);
    return {
      name: segmentNameAt({ timeline, lsn }, segmentBytes),
      bytes: shape.bytes ?? segmentBytes,
      commits: shape.commits ?? (shape.last === undefined ? 0 : 2),
      firstCommitAt: shape.first === undefined ? last : clock(shape.first),
      lastCommitAt: last,
      latestAt: shape.latest === undefined ? last : clock(shape.latest),
    };
  });
  const lastBytes = segments.at(-1)?.bytes ?? 0;
  const endLsn = at(from + segments.length - 1, lastBytes);
  const lastTime = segments.findLast(({ lastCommitAt }) => lastCommitAt !== null)?.lastCommitAt ?? clock('10:00');
  return {
    format: 'varve-wal-block',
    formatVersion: 1,
    varveVersion: '0.0.0',
    appId: 'shop',
    component: 'db',
    systemId,
    serverVersion: '17.2',
    segmentBytes,
    timeline,
    startLsn: at(from),
    endLsn,
    replayableLsn: endLsn,
    sealed: true,
    startedAt: lastTime,
    updatedAt: lastTime,
    gap: null,
    segments,
    restorePoints: [],
    parameterChanges: [],
    restarts: [],
    tablespacesCreated: [],
    histories: timeline === 1 ? [] : [timeline],
    ...change,
  };
}

let made = 0;

/** A block as it is in the repository; `history` is the content of its timeline's history file. */
export function storedBlock(shape: BlockShape & { readonly history?: string }): BlockFacts {
  const { history = null, ...block } = shape;
  made += 1;
  return blockFacts(made.toString(16).padStart(64, '0'), walBlock(block), history);
}

/** A base backup whose end lies in a segment, and when its snapshot ended. */
export function base(end: readonly [number, number], finished: string, change: Partial<BaseFacts> = {}): BaseFacts {
  made += 1;
  return {
    ...baseFacts(made.toString(16).padStart(64, 'b'), {
      component: 'db',
      systemId,
      timeline: 1,
      serverVersion: '17.2',
      walLsn: at(end[0], 40),
      walEndLsn: at(end[0], end[1]),
      finishedAt: finished.includes('T') ? finished : clock(finished),
    }),
    ...change,
  };
}

export function gapBefore(reason: NonNullable<WalBlock['gap']>['reason'], fromLsn: string): WalBlock['gap'] {
  return { reason, timeline: 1, fromLsn, detectedAt: clock('11:00'), message: 'The server had removed it.' };
}
