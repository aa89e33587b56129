// What a row of segments holds, as plain data: from where to where it can be replayed, first and last commit, named points,
// settings, holes, where timelines begin. The building block of "what is recoverable".

import { throwIfAborted } from '@varve/base';
import type { Lsn } from '../lsn.ts';
import type { TimelineHistory } from '../wal/timeline-history.ts';
import type { WalIdentity } from './page-check.ts';
import type { WalEnd } from './wal-end.ts';
import type {
  Checkpoint,
  ParameterChange,
  RestorePoint,
  TablespaceCreated,
  TransactionEnd,
  WalEvent,
  WalParameters,
} from './wal-event.ts';
import { WalReader } from './wal-reader.ts';

/** A segment, or as much of one as there is. */
export interface WalSegmentBytes {
  /** That of its name. */
  readonly timeline: number;
  readonly startLsn: Lsn;
  readonly bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>;
}

/** Where a timeline left its parent. */
export interface TimelineBranch {
  /** The first record of the timeline. */
  readonly lsn: Lsn;
  readonly previousTimeline: number;
  readonly unixMicros: number;
}

/**
 * WAL of one timeline without a hole. Where a timeline begins its first segment repeats what its parent wrote before:
 * there the ranges of the two overlap, and both count it.
 */
export interface WalRange {
  readonly timeline: number;
  /** The first position that can be replayed, and the end of the last record that can. */
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  readonly segmentCount: number;
  readonly recordCount: number;
  readonly commitCount: number;
  readonly abortCount: number;
  /** In the order of the log, which is not always that of the clock. */
  readonly firstCommit: TransactionEnd | undefined;
  readonly lastCommit: TransactionEnd | undefined;
  /** The greatest time of a commit or abort: recovery to a later time finds nothing here to stop at. */
  readonly latestUnixMicros: number | undefined;
  readonly restorePoints: readonly RestorePoint[];
  readonly parameterChanges: readonly ParameterChange[];
  readonly tablespacesCreated: readonly TablespaceCreated[];
  readonly checkpointCount: number;
  readonly lastCheckpoint: Checkpoint | undefined;
  readonly branch: TimelineBranch | undefined;
  readonly end: WalEnd;
}

/** Positions that no range holds, between two of the same timeline or between a timeline and its parent. */
export interface WalGap {
  /** Of the WAL that is missing. */
  readonly timeline: number;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  /** Why the range before ended; `end-of-input` or undefined mean that segments are missing. */
  readonly end: WalEnd | undefined;
}

export interface WalSummary {
  /** Undefined when not one page header was valid. */
  readonly identity: Omit<WalIdentity, 'timeline'> | undefined;
  readonly ranges: readonly WalRange[];
  readonly gaps: readonly WalGap[];
  /**
   * Segments without a valid first page: new or recycled files that a server keeps for later. One that should hold something
   * shows as a gap as well, when there is WAL behind it.
   */
  readonly unusedSegments: readonly Pick<WalSegmentBytes, 'timeline' | 'startLsn'>[];
  /** What a recovering server needs at least, over all changes in the WAL; undefined when there are none. */
  readonly parameterMaxima: Omit<WalParameters, 'walLevel' | 'walLogHints' | 'trackCommitTimestamp'> | undefined;
}

/**
 * Reads segments, ordered by timeline and position, each once. Damage is no error: the range ends there, and the next
 * begins with the first whole record of the next segment. History files show gaps where a timeline begins. RangeError when the order is wrong; CANCELLED.
 */
export async function summarizeWal(
  segments: AsyncIterable<WalSegmentBytes> | Iterable<WalSegmentBytes>,
  options: { readonly histories?: readonly TimelineHistory[]; readonly signal?: AbortSignal } = {},
): Promise<WalSummary> {
  const ranges: WalRange[] = [];
  const unusedSegments: { timeline: number; startLsn: Lsn }[] = [];
  let identity: WalSummary['identity'];
  let collector: RangeCollector | undefined;
  const close = (): void => {
    const range = collector?.range();
    if (range && isUnused(range)) unusedSegments.push({ timeline: range.timeline, startLsn: range.startLsn });
    else if (range) ranges.push(range);
    collector = undefined;
  };
  for await (const segment of segments) {
    throwIfAborted(options.signal);
    if (collector && !collector.isContinuedBy(segment)) close();
    collector ??= new RangeCollector(segment, identity);
    collector.beginSegment();
    for await (const bytes of segment.bytes) {
      throwIfAborted(options.signal);
      collector.push(bytes);
      if (collector.isEnded) break;
    }
    identity ??= collector.identity;
  }
  close();
  const gaps = findGaps(ranges, options.histories ?? []);
  return { identity, ranges, gaps, unusedSegments, parameterMaxima: parameterMaxima(ranges) };
}

function isUnused({ startLsn, recordCount, end }: WalRange): boolean {
  const hasNoPage = end.reason === 'zeros' || end.reason === 'wrong-page-address';
  return recordCount === 0 && hasNoPage && end.faultLsn === startLsn;
}

class RangeCollector {
  readonly #timeline: number;
  readonly #reader: WalReader;
  #segmentCount = 0;
  #commitCount = 0;
  #abortCount = 0;
  #firstCommit: TransactionEnd | undefined;
  #lastCommit: TransactionEnd | undefined;
  #latestUnixMicros: number | undefined;
  readonly #restorePoints: RestorePoint[] = [];
  readonly #parameterChanges: ParameterChange[] = [];
  readonly #tablespacesCreated: TablespaceCreated[] = [];
  #checkpointCount = 0;
  #lastCheckpoint: Checkpoint | undefined;
  #branch: TimelineBranch | undefined;

  constructor({ timeline, startLsn }: WalSegmentBytes, known: WalSummary['identity']) {
    this.#timeline = timeline;
    this.#reader = new WalReader({ lsn: startLsn, maximumTimeline: timeline, ...(known && { known }) });
  }

  get identity(): WalSummary['identity'] {
    const { identity } = this.#reader;
    if (!identity) return undefined;
    const { timeline: _, ...cluster } = identity;
    return cluster;
  }

  isContinuedBy({ timeline, startLsn }: WalSegmentBytes): boolean {
    const { inputLsn, end } = this.#reader;
    const isBefore = timeline < this.#timeline || (timeline === this.#timeline && startLsn < inputLsn);
    if (isBefore) throw new RangeError('Segments must be in the order of their timelines and positions.');
    return timeline === this.#timeline && startLsn === inputLsn && end === undefined;
  }

  /** Nothing more will come of this reader. */
  get isEnded(): boolean {
    return this.#reader.end !== undefined;
  }

  beginSegment(): void {
    this.#segmentCount++;
  }

  push(bytes: Uint8Array): void {
    for (const event of this.#reader.push(bytes)) this.#collect(event);
  }

  range(): WalRange {
    const reader = this.#reader;
    return {
      timeline: this.#timeline,
      startLsn: reader.startLsn,
      endLsn: reader.nextLsn,
      segmentCount: this.#segmentCount,
      recordCount: reader.recordCount,
      commitCount: this.#commitCount,
      abortCount: this.#abortCount,
      firstCommit: this.#firstCommit,
      lastCommit: this.#lastCommit,
      latestUnixMicros: this.#latestUnixMicros,
      restorePoints: this.#restorePoints,
      parameterChanges: this.#parameterChanges,
      tablespacesCreated: this.#tablespacesCreated,
      checkpointCount: this.#checkpointCount,
      lastCheckpoint: this.#lastCheckpoint,
      branch: this.#branch,
      end: reader.finish(),
    };
  }

  #collect(event: WalEvent): void {
    switch (event.type) {
      case 'commit':
        this.#commitCount++;
        this.#firstCommit ??= event;
        this.#lastCommit = event;
        this.#latestUnixMicros = Math.max(this.#latestUnixMicros ?? event.unixMicros, event.unixMicros);
        return;
      case 'abort':
        this.#abortCount++;
        this.#latestUnixMicros = Math.max(this.#latestUnixMicros ?? event.unixMicros, event.unixMicros);
        return;
      case 'restore-point':
        this.#restorePoints.push(event);
        return;
      case 'parameter-change':
        this.#parameterChanges.push(event);
        return;
      case 'tablespace-create':
        this.#tablespacesCreated.push(event);
        return;
      case 'checkpoint':
        this.#checkpointCount++;
        this.#lastCheckpoint = event;
        this.#noteBranch(event);
        return;
      case 'end-of-recovery':
        this.#noteBranch(event);
        return;
      default:
        return;
    }
  }

  /** The last one counts: the range of a grandchild may begin with the segment where its parent began. */
  #noteBranch({ lsn, timeline, previousTimeline, unixMicros }: TimelineBranch & { readonly timeline: number }): void {
    if (timeline !== previousTimeline && timeline === this.#timeline) {
      this.#branch = { lsn, previousTimeline, unixMicros };
    }
  }
}

function findGaps(ranges: readonly WalRange[], histories: readonly TimelineHistory[]): WalGap[] {
  const gaps: WalGap[] = [];
  const note = (timeline: number, startLsn: Lsn, endLsn: Lsn, end: WalEnd | undefined): void => {
    if (startLsn < endLsn) gaps.push({ timeline, startLsn, endLsn, end });
  };
  for (const [index, range] of ranges.entries()) {
    const earlier = ranges.slice(0, index);
    const before = earlier.findLast(({ timeline }) => timeline === range.timeline);
    if (before) {
      note(range.timeline, before.endLsn, range.startLsn, before.end);
      continue;
    }
    const origin = originOf(range, histories);
    if (!origin) continue;
    const { timeline: parentTimeline, switchLsn } = origin;
    const parent = earlier.findLast(({ timeline }) => timeline === parentTimeline);
    const neededLsn = switchLsn < range.startLsn ? switchLsn : range.startLsn;
    if (parent) note(parentTimeline, parent.endLsn, neededLsn, parent.end);
    note(range.timeline, switchLsn, range.startLsn, undefined);
  }
  return gaps;
}

/** Where a timeline left which: from its first record, or from its history file when that record is missing. */
function originOf(
  { timeline, branch }: WalRange,
  histories: readonly TimelineHistory[],
): { readonly timeline: number; readonly switchLsn: Lsn } | undefined {
  if (branch) return { timeline: branch.previousTimeline, switchLsn: branch.lsn };
  return histories.find((history) => history.timeline === timeline)?.ancestors.at(-1);
}

function parameterMaxima(ranges: readonly WalRange[]): WalSummary['parameterMaxima'] {
  const all = ranges.flatMap((range) => range.parameterChanges.map(({ parameters }) => parameters));
  if (all.length === 0) return undefined;
  const greatest = (field: keyof NonNullable<WalSummary['parameterMaxima']>): number =>
    Math.max(...all.map((parameters) => parameters[field]));
  return {
    maxConnections: greatest('maxConnections'),
    maxWorkerProcesses: greatest('maxWorkerProcesses'),
    maxWalSenders: greatest('maxWalSenders'),
    maxPreparedTransactions: greatest('maxPreparedTransactions'),
    maxLocksPerTransaction: greatest('maxLocksPerTransaction'),
  };
}
