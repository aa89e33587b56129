// Where exactly a recovery stops, found by reading the log that it will replay: so the plan can say which transaction is the
// last, and the server is told a position that is surely there. A server whose target does not come ends with an error and
// is never promoted. Source: src/backend/access/transam/xlogrecovery.c, recoveryStopsBefore and recoveryStopsAfter.

import { throwIfAborted } from '@varve/base';
import { lsnFromBigInt, type Lsn } from '../lsn.ts';
import { WalReader } from '../wal-reader/wal-reader.ts';
import type { WalEvent } from '../wal-reader/wal-event.ts';
import type { RecoveryWay, WaySegment } from './recovery-way.ts';

export interface CommitPlace {
  /** Undefined when only the time is known. */
  readonly lsn: Lsn | undefined;
  readonly unixMicros: number;
}

/** What the server is told, and what comes of it. */
export interface StopPoint {
  /**
   * before: in front of the first record that begins at `lsn` or behind it. after: behind that record. consistent: as soon
   * as the base backup is whole.
   */
  readonly kind: 'before' | 'after' | 'consistent';
  readonly lsn: Lsn;
  readonly timeline: number;
  readonly lastCommit: CommitPlace | undefined;
  readonly nextCommit: CommitPlace | undefined;
  /** How many segments of the way are needed, from its beginning. */
  readonly segmentsNeeded: number;
}

export interface FindOptions {
  readonly way: RecoveryWay;
  readonly baseEndLsn: Lsn;
  readonly read: (segment: WaySegment) => AsyncIterable<Uint8Array>;
  readonly signal?: AbortSignal | undefined;
}

type Transaction = Extract<WalEvent, { type: 'commit' | 'abort' }>;

/**
 * In front of the first transaction that ended after `unixMicros`. `too-early`: one that the base backup has ended later;
 * `too-late`: none is known that ended later, and the last one ended earlier.
 */
export async function stopAtTime(
  options: FindOptions,
  unixMicros: number,
): Promise<StopPoint | 'too-early' | 'too-late'> {
  const { way, baseEndLsn } = options;
  const mayBeLater = ({ facts }: WaySegment): boolean =>
    facts === undefined || (facts.latestUnixMicros ?? -Infinity) > unixMicros;
  if (way.leading.some((segment) => segment.facts !== undefined && mayBeLater(segment))) return 'too-early';
  let latest = -Infinity;
  for (const [index, segment] of way.segments.entries()) {
    latest = Math.max(latest, segment.facts?.latestUnixMicros ?? -Infinity);
    if (!mayBeLater(segment)) continue;
    let last: Transaction | undefined;
    for await (const event of transactions(options, index)) {
      if (event.lsn >= way.end.lsn) break;
      latest = Math.max(latest, event.unixMicros);
      if (event.unixMicros <= unixMicros) {
        if (event.type === 'commit') last = event;
        continue;
      }
      if (event.lsn < baseEndLsn) return 'too-early';
      return {
        kind: 'before',
        lsn: event.lsn,
        timeline: timelineAt(way, event.lsn),
        lastCommit: placeOf(last) ?? commitBefore(way, index),
        nextCommit: placeOf(event),
        segmentsNeeded: neededFor(way, event.endLsn),
      };
    }
  }
  return latest === unixMicros ? ((await stopAtEnd(options)) ?? 'too-early') : 'too-late';
}

/** Everything that begins before `lsn`; undefined when the way ends before it. */
export async function stopAtLsn(options: FindOptions, lsn: Lsn): Promise<StopPoint | undefined> {
  const { way, baseEndLsn } = options;
  if (lsn < baseEndLsn || lsn > way.end.lsn) return undefined;
  const index = Math.max(
    0,
    way.segments.findLastIndex(({ startLsn }) => startLsn <= lsn),
  );
  const { last, next, record } = await around(options, index, lsn);
  if (record === undefined) {
    // Nothing is known to begin there: it is the end, or behind it.
    const end = await stopAtEnd(options);
    return end !== undefined && lsn <= (await replayableEnd(options)) ? end : undefined;
  }
  return {
    kind: 'before',
    lsn,
    timeline: timelineAt(way, lsn),
    lastCommit: placeOf(last) ?? commitBefore(way, index),
    nextCommit: placeOf(next),
    segmentsNeeded: neededFor(way, record),
  };
}

/** Behind the restore point whose record begins at `lsn`; undefined when there is none of this name. */
export async function stopAtRestorePoint(
  options: FindOptions,
  point: { readonly name: string; readonly lsn: Lsn },
): Promise<StopPoint | undefined> {
  const { way, baseEndLsn } = options;
  if (point.lsn < baseEndLsn || point.lsn >= way.end.lsn) return undefined;
  const index = Math.max(
    0,
    way.segments.findLastIndex(({ startLsn }) => startLsn <= point.lsn),
  );
  let last: Transaction | undefined;
  let found: Extract<WalEvent, { type: 'restore-point' }> | undefined;
  for await (const event of events(options, index)) {
    if (event.type === 'restore-point' && event.name === point.name && event.lsn === point.lsn) found = event;
    if (event.type !== 'commit' && event.type !== 'abort') continue;
    if (found !== undefined) {
      return { ...pointStop(way, found, last, index), nextCommit: placeOf(event) };
    }
    if (event.type === 'commit') last = event;
  }
  return found && pointStop(way, found, last, index);
}

function pointStop(
  way: RecoveryWay,
  found: Extract<WalEvent, { type: 'restore-point' }>,
  last: Transaction | undefined,
  index: number,
): StopPoint {
  return {
    kind: 'after',
    lsn: found.lsn,
    timeline: timelineAt(way, found.lsn),
    lastCommit: placeOf(last) ?? commitBefore(way, index),
    nextCommit: undefined,
    segmentsNeeded: neededFor(way, found.endLsn),
  };
}

/** Behind the last whole record of the way; undefined when it has none behind the base backup. */
export async function stopAtEnd(options: FindOptions): Promise<StopPoint | undefined> {
  const { way, baseEndLsn } = options;
  const tail = await readTail(options);
  if (tail === undefined || tail.recordLsn < baseEndLsn) return undefined;
  return {
    kind: 'after',
    lsn: tail.recordLsn,
    timeline: timelineAt(way, tail.recordLsn),
    lastCommit: placeOf(tail.lastCommit) ?? commitBefore(way, tail.fromIndex),
    nextCommit: undefined,
    segmentsNeeded: neededFor(way, tail.endLsn),
  };
}

/** As soon as the base backup is consistent. */
export function stopWhenConsistent(
  way: RecoveryWay,
  base: { readonly timeline: number; readonly endLsn: Lsn },
): StopPoint {
  return {
    kind: 'consistent',
    lsn: base.endLsn,
    timeline: base.timeline,
    lastCommit: way.leading.map(lastCommitOf).findLast((commit) => commit !== undefined),
    nextCommit: undefined,
    segmentsNeeded: Math.min(1, way.segments.length),
  };
}

async function replayableEnd(options: FindOptions): Promise<Lsn> {
  return (await readTail(options))?.endLsn ?? options.baseEndLsn;
}

interface Tail {
  readonly recordLsn: Lsn;
  readonly endLsn: Lsn;
  readonly lastCommit: Transaction | undefined;
  readonly fromIndex: number;
}

/** The last record may begin in an earlier segment, when it is longer than what follows it: then more is read. */
async function readTail(options: FindOptions): Promise<Tail | undefined> {
  const { way, signal } = options;
  for (let count = 2; ; count *= 4) {
    const fromIndex = Math.max(0, way.segments.length - count);
    const reader = readerFor(options, fromIndex);
    if (reader === undefined) return undefined;
    let lastCommit: Transaction | undefined;
    for (const segment of reader.segments) {
      for await (const bytes of options.read(segment)) {
        throwIfAborted(signal);
        for (const event of reader.reader.push(clipped(bytes, segment, reader))) {
          if (event.type === 'commit') lastCommit = event;
        }
      }
    }
    const { lastRecordLsn } = reader.reader;
    if (lastRecordLsn !== undefined) {
      return { recordLsn: lastRecordLsn, endLsn: reader.reader.finish().lsn, lastCommit, fromIndex };
    }
    if (fromIndex === 0) return undefined;
  }
}

/** Transactions that end in the segment at `index`, also when their record begins before it or ends behind it. */
async function* transactions(options: FindOptions, index: number): AsyncGenerator<Transaction> {
  for await (const event of events(options, index)) {
    if (event.type === 'commit' || event.type === 'abort') yield event;
  }
}

async function* events(options: FindOptions, index: number): AsyncGenerator<WalEvent> {
  const reader = readerFor(options, index);
  if (reader === undefined) return;
  const behind = options.way.segments[index + 1];
  for (const segment of reader.segments) {
    if (behind !== undefined && segment.startLsn > behind.startLsn) return;
    for await (const bytes of options.read(segment)) {
      throwIfAborted(options.signal);
      yield* reader.reader.push(clipped(bytes, segment, reader));
    }
  }
}

interface PositionedReader {
  readonly reader: WalReader;
  /** The one before, for records that reach over the border, and those from there on. */
  readonly segments: readonly WaySegment[];
  /** How much of the segment that is being read was given. */
  readonly given: Map<string, number>;
}

function readerFor({ way }: FindOptions, index: number): PositionedReader | undefined {
  const all = [...way.leading, ...way.segments];
  const from = Math.max(0, way.leading.length + index - 1);
  const first = all[from];
  if (first === undefined) return undefined;
  return { reader: new WalReader({ lsn: first.startLsn }), segments: all.slice(from), given: new Map() };
}

/** Only what belongs to the way: a file of an older timeline may have more. */
function clipped(bytes: Uint8Array, segment: WaySegment, { given }: PositionedReader): Uint8Array {
  const before = given.get(segment.name) ?? 0;
  const rest = Math.max(0, segment.bytes - before);
  given.set(segment.name, before + bytes.length);
  return bytes.length <= rest ? bytes : bytes.subarray(0, rest);
}

/** What lies on both sides of a position, and the end of the record that it is in front of. */
async function around(
  options: FindOptions,
  index: number,
  lsn: Lsn,
): Promise<{ last: Transaction | undefined; next: Transaction | undefined; record: Lsn | undefined }> {
  const reader = readerFor(options, index);
  let last: Transaction | undefined;
  let next: Transaction | undefined;
  let record: Lsn | undefined;
  const behind = options.way.segments[index + 1];
  for (const segment of reader?.segments ?? []) {
    if (reader === undefined || (behind !== undefined && segment.startLsn > behind.startLsn)) break;
    for await (const bytes of options.read(segment)) {
      throwIfAborted(options.signal);
      for (const event of reader.reader.push(clipped(bytes, segment, reader))) {
        if (event.type !== 'commit' && event.type !== 'abort') continue;
        if (event.lsn < lsn) last = event.type === 'commit' ? event : last;
        else next ??= event;
      }
      const { lastRecordLsn } = reader.reader;
      if (record === undefined && lastRecordLsn !== undefined && lastRecordLsn >= lsn)
        record = reader.reader.finish().lsn;
    }
  }
  return { last, next, record };
}

function neededFor(way: RecoveryWay, endLsn: Lsn): number {
  const last = way.segments.findLastIndex(({ startLsn }) => startLsn < endLsn);
  return Math.min(way.segments.length, Math.max(last, 0) + 1);
}

function timelineAt({ steps, end }: RecoveryWay, lsn: Lsn): number {
  return steps.find(({ endLsn }) => lsn < endLsn)?.timeline ?? end.timeline;
}

function commitBefore(way: RecoveryWay, index: number): CommitPlace | undefined {
  const before = [...way.leading, ...way.segments.slice(0, index)];
  return before.map(lastCommitOf).findLast((commit) => commit !== undefined);
}

function lastCommitOf({ facts }: WaySegment): CommitPlace | undefined {
  return facts?.lastCommitUnixMicros === undefined
    ? undefined
    : { lsn: undefined, unixMicros: facts.lastCommitUnixMicros };
}

function placeOf(event: Transaction | undefined): CommitPlace | undefined {
  return event && { lsn: lsnFromBigInt(event.lsn), unixMicros: event.unixMicros };
}
