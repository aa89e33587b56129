// Which base backup and which log lead to a target: the newest base backup that is consistent before the target, on a timeline
// from which the target is reached without a hole. What cannot be reached is refused with the nearest points that can.

import { AppError } from '@varve/base';
import type { RecoveryTarget } from '@varve/contract';
import {
  parseLsn,
  parseUnixMicros,
  recoveryWay,
  stopAtEnd,
  stopAtLsn,
  stopAtRestorePoint,
  stopAtTime,
  stopWhenConsistent,
  type Lsn,
  type RecoveryWay,
  type StopPoint,
  type TimelineHistory,
  type WaySegment,
} from '@varve/postgres';
import type { Repository } from '@varve/repository';
import { namingLostLog } from './lost-log.ts';
import { unreachable, type ReachableRange } from './nearest-points.ts';
import { segmentsOfBase, type BaseBackup, type ClusterLog, type LogSegment, type RecoveryLog } from './recovery-log.ts';
import { findRestorePoint } from './restore-points.ts';

/** A base backup, its way, and where on it recovery stops. */
export interface RecoveryChoice extends Candidate {
  readonly stop: StopPoint;
}

export interface Candidate {
  readonly cluster: ClusterLog;
  readonly base: BaseBackup;
  readonly segmentBytes: number;
  /** Of the archive and of the base backup, by name. */
  readonly segments: ReadonlyMap<string, LogSegment>;
  /** Segments that the base backup has in its own pg_wal, and that the archive has less of. */
  readonly ownSegments: ReadonlySet<string>;
  readonly way: RecoveryWay;
  readonly history: TimelineHistory;
}

export interface ChooseInput {
  readonly repository: Repository;
  readonly log: RecoveryLog;
  readonly target: RecoveryTarget;
  /** The newest of the cluster when absent. */
  readonly timeline?: number | undefined;
  /** For a snapshot's own point where the database was dumped: its position. */
  readonly snapshotLsn?: Lsn | undefined;
  readonly signal: AbortSignal;
}

/** RECOVERY_UNREACHABLE with the nearest points, RECOVERY_POINT_AMBIGUOUS; REPOSITORY_DAMAGED when log cannot be read. */
export async function chooseRecovery(input: ChooseInput): Promise<RecoveryChoice> {
  const { log, target } = input;
  if (log.bases.length === 0) {
    throw new AppError('RECOVERY_UNREACHABLE', `There is no base backup of the database "${log.component}".`, {
      hint: 'Set its method to base and take a snapshot. Dumps are restored with varve restore.',
    });
  }
  switch (target.type) {
    case 'time':
      return chooseByTime(input, target.time);
    case 'lsn':
      return chooseByLsn(input, parseLsn(target.lsn));
    case 'name':
      return chooseByName(input, target.name);
    case 'latest':
      return chooseLatest(input);
    case 'snapshot':
      return chooseSnapshot(input, target.snapshotId);
  }
}

async function chooseByTime(input: ChooseInput, text: string): Promise<RecoveryChoice> {
  const micros = parseUnixMicros(text);
  if (micros === undefined) throw new AppError('USAGE_INVALID', `“${text}” is no time with a zone.`);
  const ranges: ReachableRange[] = [];
  for await (const candidate of candidates(input, ranges)) {
    const stop = await stopAtTime(findOptions(input, candidate), micros);
    if (stop === 'too-late') break;
    if (stop === 'too-early') continue;
    // Without a transaction before it only the backup's own time says that the target is not before it.
    const isProven = stop.lastCommit !== undefined || micros >= Date.parse(candidate.base.manifest.startedAt) * 1000;
    if (isProven) return { ...candidate, stop };
  }
  throw unreachable(input.log, { at: micros, text, ranges });
}

async function chooseByLsn(input: ChooseInput, lsn: Lsn): Promise<RecoveryChoice> {
  const ranges: ReachableRange[] = [];
  for await (const candidate of candidates(input, ranges)) {
    if (lsn < candidate.base.endLsn) continue;
    const stop =
      lsn === candidate.base.endLsn
        ? stopWhenConsistent(candidate.way, candidate.base)
        : await stopAtLsn(findOptions(input, candidate), lsn);
    if (stop !== undefined) return { ...candidate, stop };
  }
  throw unreachable(input.log, { lsn, ranges });
}

async function chooseByName(input: ChooseInput, name: string): Promise<RecoveryChoice> {
  const { log, timeline } = input;
  const point = findRestorePoint(log, { name, timeline });
  const ranges: ReachableRange[] = [];
  for await (const candidate of candidates({ ...input, timeline: timeline ?? point.wayTimeline }, ranges)) {
    if (candidate.cluster.systemId !== point.systemId || point.lsn < candidate.base.endLsn) continue;
    const stop = await stopAtRestorePoint(findOptions(input, candidate), { name, lsn: point.lsn });
    if (stop !== undefined) return { ...candidate, stop };
  }
  throw unreachable(log, { lsn: point.lsn, text: `The restore point “${name}”`, ranges });
}

async function chooseLatest(input: ChooseInput): Promise<RecoveryChoice> {
  const ranges: ReachableRange[] = [];
  for await (const candidate of candidates(input, ranges)) {
    const stop = await stopAtEnd(findOptions(input, candidate));
    return { ...candidate, stop: stop ?? stopWhenConsistent(candidate.way, candidate.base) };
  }
  throw unreachable(input.log, { ranges });
}

async function chooseSnapshot(input: ChooseInput, snapshotId: string): Promise<RecoveryChoice> {
  const { log, snapshotLsn } = input;
  const base = log.bases.find(({ snapshot }) => snapshot.id === snapshotId);
  if (base === undefined) {
    if (snapshotLsn !== undefined) return chooseByLsn(input, snapshotLsn);
    throw new AppError(
      'RECOVERY_UNREACHABLE',
      `The snapshot ${snapshotId.slice(0, 8)} has no position of the database "${log.component}".`,
      { hint: 'Choose a snapshot that has the database.' },
    );
  }
  const cluster = log.clusters.find(({ systemId }) => systemId === base.systemId);
  const candidate = cluster && (await candidateOf(input, cluster, base, base.timeline));
  if (candidate === undefined || 'unreachable' in candidate) throw unreachable(log, { ranges: [] });
  return { ...candidate, stop: stopWhenConsistent(candidate.way, base) };
}

/** Base backups and their ways, the newest first; what is looked at is noted as a range. */
async function* candidates(input: ChooseInput, ranges: ReachableRange[]): AsyncGenerator<Candidate> {
  const { log, timeline } = input;
  for (const cluster of log.clusters) {
    const wanted = timeline ?? cluster.newestTimeline;
    for (const base of log.bases.filter(({ systemId }) => systemId === cluster.systemId)) {
      const candidate = await candidateOf(input, cluster, base, wanted);
      if ('unreachable' in candidate) continue;
      ranges.push(rangeOf(candidate));
      yield candidate;
    }
  }
}

async function candidateOf(
  { repository, signal }: ChooseInput,
  cluster: ClusterLog,
  base: BaseBackup,
  timeline: number,
): Promise<Candidate | { readonly unreachable: string }> {
  const own = await segmentsOfBase(repository, base, signal);
  const segmentBytes =
    cluster.segmentBytes || Math.max(0, ...[...own.values()].map(({ bytes }) => bytes)) || 16 * 1024 ** 2;
  const better = [...own.values()].filter(({ name, bytes }) => (cluster.segments.get(name)?.bytes ?? -1) < bytes);
  const segments = new Map([...cluster.segments, ...better.map((segment) => [segment.name, segment] as const)]);
  const history = cluster.histories.get(timeline) ?? { timeline, ancestors: [] };
  const minimalLevelAt = cluster.blocks.flatMap((block) =>
    block.parameterChanges
      .filter(({ parameters }) => parameters.walLevel === 'minimal')
      .map(({ lsn }) => ({ timeline: block.timeline, lsn: parseLsn(lsn) })),
  );
  const way = recoveryWay({ base, history, segments, segmentBytes, minimalLevelAt });
  if ('unreachable' in way) return way;
  return { cluster, base, segmentBytes, segments, ownSegments: new Set(better.map(({ name }) => name)), way, history };
}

function findOptions({ signal }: ChooseInput, { way, base, segments }: Candidate) {
  return {
    way,
    baseEndLsn: base.endLsn,
    read: ({ name }: WaySegment): AsyncIterable<Uint8Array> => {
      const segment = segments.get(name);
      if (segment === undefined) throw new AppError('INTERNAL', `The segment ${name} is on the way and not there.`);
      return namingLostLog(segment.open(signal), {
        name,
        segments: [...way.leading, ...way.segments],
        stored: segments,
        signal,
      });
    },
    signal,
  };
}

function rangeOf({ base, way, cluster }: Candidate): ReachableRange {
  const latest = Math.max(-Infinity, ...way.segments.map(({ facts }) => facts?.latestUnixMicros ?? -Infinity));
  return {
    systemId: cluster.systemId,
    snapshotId: base.snapshot.id,
    startLsn: base.endLsn,
    startMicros: Date.parse(base.manifest.finishedAt) * 1000,
    endLsn: way.end.lsn,
    endMicros: Number.isFinite(latest) ? latest : undefined,
    end: way.end,
  };
}
