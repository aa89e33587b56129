// The base backups in an app's snapshots, as the timeline sees them.

import type { Manifest } from '@varve/contract';
import { parseLsn, type Lsn } from '@varve/postgres';

/** One base backup. Positions as PostgreSQL writes them, so that it is kept as JSON. */
export interface StoredBase {
  readonly component: string;
  readonly systemId: string;
  readonly timeline: number;
  readonly serverVersion: string;
  readonly walLsn: string;
  readonly walEndLsn: string;
  /** End of the snapshot: never before the end of the backup. */
  readonly finishedAt: string;
}

export interface BaseFacts extends Omit<StoredBase, 'walLsn' | 'walEndLsn' | 'finishedAt'> {
  readonly snapshotId: string;
  /** Where recovery begins to read. */
  readonly startLsn: Lsn;
  /** The earliest point that it can be recovered to. */
  readonly endLsn: Lsn;
  readonly finishedAtMs: number;
}

/** None when the snapshot has dumps only. */
export function basesOf({ components, finishedAt }: Manifest): StoredBase[] {
  return components.flatMap((saved) => {
    if (saved.kind !== 'database' || saved.method !== 'base') return [];
    const { name, systemId, timeline, serverVersion, walLsn, walEndLsn } = saved;
    if (systemId === null || timeline === null || walLsn === null || walEndLsn === null) return [];
    return [{ component: name, systemId, timeline, serverVersion, walLsn, walEndLsn, finishedAt }];
  });
}

export function baseFacts(snapshotId: string, stored: StoredBase): BaseFacts {
  const { walLsn, walEndLsn, finishedAt, ...rest } = stored;
  return {
    ...rest,
    snapshotId,
    startLsn: parseLsn(walLsn),
    endLsn: parseLsn(walEndLsn),
    finishedAtMs: Date.parse(finishedAt),
  };
}
