// Restore points by name. Names need not be unique: which one is meant is not guessed.

import { AppError } from '@varve/base';
import { formatLsn, parseLsn, timelineAt, type Lsn } from '@varve/postgres';
import type { ClusterLog, RecoveryLog } from './recovery-log.ts';

interface FoundPoint {
  readonly systemId: string;
  readonly timeline: number;
  readonly lsn: Lsn;
  readonly at: string;
  /** The timeline over which it is reached: the newest that it lies on. */
  readonly wayTimeline: number;
}

/** RECOVERY_UNREACHABLE when there is none of that name, RECOVERY_POINT_AMBIGUOUS with the list when there are several. */
export function findRestorePoint(
  log: RecoveryLog,
  wanted: { readonly name: string; readonly timeline?: number | undefined },
): FoundPoint {
  const { name, timeline } = wanted;
  const points = log.clusters.flatMap((cluster) => pointsOf(cluster, name, timeline));
  const [only, ...others] = points;
  if (only === undefined) {
    const known = [
      ...new Set(log.clusters.flatMap(({ blocks }) => blocks.flatMap((b) => b.restorePoints.map((p) => p.name)))),
    ];
    throw new AppError(
      'RECOVERY_UNREACHABLE',
      `There is no restore point “${name}” of the database "${log.component}".`,
      {
        hint: known.length === 0 ? 'None is known.' : `Known are: ${known.slice(-10).join(', ')}.`,
        context: { name },
      },
    );
  }
  if (others.length > 0) {
    const list = points.map(({ lsn, at, timeline: of }) => `${formatLsn(lsn)} on timeline ${of} (${at})`).join('; ');
    throw new AppError('RECOVERY_POINT_AMBIGUOUS', `${points.length} restore points are called “${name}”: ${list}.`, {
      hint: 'Give the position of the one that you mean, with --to-lsn.',
      context: { name, positions: points.map(({ lsn }) => formatLsn(lsn)) },
    });
  }
  return only;
}

/** Each once: where a timeline begins, its first segment repeats what its parent wrote. */
function pointsOf(cluster: ClusterLog, name: string, timeline: number | undefined): FoundPoint[] {
  const { systemId, newestTimeline } = cluster;
  const found = new Map<string, FoundPoint>();
  for (const block of cluster.blocks) {
    for (const point of block.restorePoints) {
      if (point.name !== name) continue;
      const lsn = parseLsn(point.lsn);
      const liesOn = (wanted: number): boolean => block.timeline === timelineOf(cluster, wanted, lsn);
      if (timeline !== undefined && !liesOn(timeline)) continue;
      const wayTimeline = timeline ?? (liesOn(newestTimeline) ? newestTimeline : block.timeline);
      found.set(`${block.timeline} ${lsn}`, { systemId, timeline: block.timeline, lsn, at: point.at, wayTimeline });
    }
  }
  return [...found.values()].filter(
    (point) => ![...found.values()].some((other) => other.lsn === point.lsn && other.timeline < point.timeline),
  );
}

function timelineOf({ histories }: ClusterLog, timeline: number, lsn: Lsn): number {
  const history = histories.get(timeline);
  return history === undefined ? timeline : timelineAt(history, lsn);
}
