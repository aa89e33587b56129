// Which snapshot a backup is compared with, by restic's rules.

import type { Snapshot } from '../snapshot/snapshot.ts';
import { snapshotTimeNs } from '../snapshot/snapshot.ts';

export interface ParentGroup {
  readonly host: boolean;
  readonly paths: boolean;
  readonly tags: boolean;
}

export interface ParentWanted {
  readonly hostname: string;
  readonly paths: readonly string[];
  readonly tags: readonly string[];
  readonly time: Date;
  readonly groupBy: ParentGroup;
}

/** The newest snapshot that is not newer than `time` and has the host, all the paths, all the tags, as far as these count. */
export function findParent(
  snapshots: readonly Snapshot[],
  { hostname, paths, tags, time, groupBy }: ParentWanted,
): Snapshot | undefined {
  const latestNs = BigInt(time.getTime()) * 1_000_000n + 999_999n;
  return snapshots.findLast(
    (snapshot) =>
      (!groupBy.host || snapshot.hostname === hostname) &&
      (!groupBy.paths || paths.every((path) => snapshot.paths.includes(path))) &&
      (!groupBy.tags || tags.every((tag) => snapshot.tags?.includes(tag))) &&
      snapshotTimeNs(snapshot) <= latestNs,
  );
}
