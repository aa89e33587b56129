// The write-ahead log that a recovery replays: from a base backup over the timelines that lead to a target, one segment after
// the other, as far as there is no hole. Pure. Source: src/backend/access/transam/xlogrecovery.c, XLogFileReadAnyTLI: where
// timelines meet within a segment the server takes the file of the latest one.

import { lsnFromBigInt, type Lsn } from '../lsn.ts';
import { segmentNameAt, segmentStart } from '../wal/segments.ts';
import { recoveryPath, type RecoveryStep, type TimelineHistory } from '../wal/timeline-history.ts';

/** A segment as far as it is archived. */
export interface AvailableSegment {
  readonly name: string;
  readonly timeline: number;
  /** From its start. */
  readonly bytes: number;
  /** What is known of its transactions; undefined: it has to be read. */
  readonly facts: SegmentTimes | undefined;
}

export interface SegmentTimes {
  readonly commits: number;
  readonly lastCommitUnixMicros: number | undefined;
  /** The greatest time of a commit or an abort in it. */
  readonly latestUnixMicros: number | undefined;
}

export interface WaySegment extends AvailableSegment {
  readonly startLsn: Lsn;
  /** Behind what is here of it. */
  readonly endLsn: Lsn;
}

/** From where to where a base backup reaches on its own. */
export interface BaseRange {
  readonly timeline: number;
  readonly startLsn: Lsn;
  /** Where it becomes consistent: nothing before can be reached with it. */
  readonly endLsn: Lsn;
}

export interface RecoveryWay {
  /** Contiguous; the first holds the end of the base backup. None when even that is missing. */
  readonly segments: readonly WaySegment[];
  /** Those in front, from the start of the base backup on, as far as they are archived without a hole. */
  readonly leading: readonly WaySegment[];
  /** Where the way ends, and why. */
  readonly end: {
    readonly lsn: Lsn;
    readonly timeline: number;
    readonly reason: 'archive-end' | 'segment-missing' | 'minimal-level';
    /** The segment that would be next. */
    readonly nextName: string;
  };
  readonly steps: readonly RecoveryStep[];
}

export interface WayOptions {
  readonly base: BaseRange;
  /** Of the timeline on which the target lies. */
  readonly history: TimelineHistory;
  readonly segments: ReadonlyMap<string, AvailableSegment>;
  readonly segmentBytes: number;
  /** Where WAL with too little in it begins (wal_level = minimal): nothing behind it can be recovered from what is before. */
  readonly minimalLevelAt?: readonly { readonly timeline: number; readonly lsn: Lsn }[] | undefined;
}

const greatestLsn = lsnFromBigInt(0xffff_ffff_ffff_ffffn);

/** The way, or in words why the timeline cannot be reached from the base backup at all. */
export function recoveryWay(options: WayOptions): RecoveryWay | { readonly unreachable: string } {
  const { base, history, segmentBytes } = options;
  const path = recoveryPath({
    backup: { timeline: base.timeline, lsn: base.endLsn },
    target: { timeline: history.timeline, lsn: greatestLsn },
    history,
  });
  if (!path.isReachable) return { unreachable: path.reason };
  const { steps } = path;
  const first = segmentStart(base.endLsn, segmentBytes);
  const segments: WaySegment[] = [];
  let reason: RecoveryWay['end']['reason'] = 'archive-end';
  for (let at: Lsn = first; ; at = lsnFromBigInt(at + BigInt(segmentBytes))) {
    const segment = segmentAt(at, steps, options);
    if (segment === undefined) {
      if (hasLater(at, steps, options)) reason = 'segment-missing';
      break;
    }
    segments.push(segment);
    if (segment.bytes < segmentBytes) {
      if (hasLater(lsnFromBigInt(at + BigInt(segmentBytes)), steps, options)) reason = 'segment-missing';
      break;
    }
  }
  const reached = segments.at(-1)?.endLsn ?? base.endLsn;
  const minimal = firstMinimal(options, steps, reached);
  const lsn = minimal ?? reached;
  const timeline = timelineOf(steps, lsn > 0n ? lsnFromBigInt(lsn - 1n) : lsn);
  const used = segments.filter(({ startLsn }) => startLsn < lsn);
  return {
    segments: used,
    leading: leadingSegments(options, first),
    end: {
      lsn,
      timeline,
      reason: minimal === undefined ? reason : 'minimal-level',
      nextName: segmentNameAt({ timeline: timelineOf(steps, lsn), lsn }, segmentBytes),
    },
    steps,
  };
}

/** The file that the server reads for this place: of the latest timeline that has a part in it. */
function segmentAt(at: Lsn, steps: readonly RecoveryStep[], options: WayOptions): WaySegment | undefined {
  const { segments, segmentBytes } = options;
  const behind = at + BigInt(segmentBytes);
  const overlapping = steps.filter(({ startLsn, endLsn }) => startLsn < behind && endLsn > at);
  const last = overlapping.at(-1);
  for (const step of overlapping.toReversed()) {
    const found = segments.get(segmentNameAt({ timeline: step.timeline, lsn: at }, segmentBytes));
    if (found === undefined) continue;
    // A file of an earlier timeline ends where that was left.
    const limit = step === last ? behind : step.endLsn;
    const held = at + BigInt(found.bytes);
    const endLsn = lsnFromBigInt(held < limit ? held : limit);
    return { ...found, bytes: Number(endLsn - at), startLsn: at, endLsn };
  }
  return undefined;
}

function hasLater(at: Lsn, steps: readonly RecoveryStep[], options: WayOptions): boolean {
  const timelines = new Set(steps.map(({ timeline }) => timeline));
  const { segmentBytes } = options;
  return [...options.segments.values()].some(({ name, timeline }) => {
    const step = steps.findLast((one) => one.timeline === timeline);
    if (!timelines.has(timeline) || step === undefined) return false;
    const lsn = lsnOfName(name, segmentBytes);
    return lsn >= at && lsn < step.endLsn;
  });
}

function lsnOfName(name: string, segmentBytes: number): bigint {
  const high = BigInt(`0x${name.slice(8, 16)}`);
  const low = BigInt(`0x${name.slice(16, 24)}`);
  return (high << 32n) + low * BigInt(segmentBytes);
}

function leadingSegments(options: WayOptions, first: Lsn): WaySegment[] {
  const { base, segments, segmentBytes } = options;
  const leading: WaySegment[] = [];
  const begin = segmentStart(base.startLsn, segmentBytes);
  for (let at: bigint = first - BigInt(segmentBytes); at >= begin; at -= BigInt(segmentBytes)) {
    const startLsn = lsnFromBigInt(at);
    const found = segments.get(segmentNameAt({ timeline: base.timeline, lsn: startLsn }, segmentBytes));
    if (found === undefined || found.bytes < segmentBytes) break;
    leading.unshift({ ...found, startLsn, endLsn: lsnFromBigInt(at + BigInt(segmentBytes)) });
  }
  return leading;
}

function firstMinimal(options: WayOptions, steps: readonly RecoveryStep[], reached: Lsn): Lsn | undefined {
  const found = (options.minimalLevelAt ?? []).filter(
    ({ timeline, lsn }) => lsn >= options.base.startLsn && lsn < reached && timelineOf(steps, lsn) === timeline,
  );
  return found.map(({ lsn }) => lsn).sort((a, b) => (a < b ? -1 : 1))[0];
}

function timelineOf(steps: readonly RecoveryStep[], lsn: Lsn): number {
  return (steps.find(({ endLsn }) => lsn < endLsn) ?? steps.at(-1))?.timeline ?? 1;
}
