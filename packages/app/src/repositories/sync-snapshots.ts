// Brings the catalogue's copy of the snapshots in line with the repository: other programs and other hosts may have added
// or removed some. Only manifests of snapshots that are new here are read.

import { mapConcurrently, type Logger } from '@varve/base';
import type { AppSnapshot, Manifest } from '@varve/contract';
import type { Repository, Snapshot } from '@varve/repository';
import type { SnapshotStore } from '../apps/snapshot-store.ts';
import { describeSnapshot, readManifest } from '../snapshot/describe-snapshot.ts';
import { isLost } from './is-lost.ts';

const manifestsAtOnce = 8;

/** Every app snapshot has it, and a tag that names its app. */
function isAppSnapshot(snapshot: Snapshot): boolean {
  return snapshot.tags?.includes('varve') === true && snapshot.tags.some((tag) => tag.startsWith('app:'));
}

interface SyncOptions {
  readonly repository: Repository;
  readonly snapshots: SnapshotStore;
  readonly logger: Logger;
  readonly signal?: AbortSignal | undefined;
  /** Reads every manifest again, also those of snapshots that are known. */
  readonly everything?: boolean | undefined;
}

export interface SyncReport {
  /** Snapshots in the catalogue now. */
  readonly count: number;
  /** Manifests that were read, oldest snapshot first. */
  readonly manifests: readonly Manifest[];
  /** App snapshots whose manifest could not be understood. */
  readonly unreadable: readonly string[];
}

interface ReadSnapshot {
  readonly described: AppSnapshot;
  readonly manifest: Manifest;
}

/** Snapshots that cannot be read stay as they are in the catalogue; they are in the report. */
export async function syncSnapshots(options: SyncOptions): Promise<SyncReport> {
  const { repository, snapshots, logger, signal } = options;
  // Known ids first: a snapshot that is made meanwhile must not look as if it were gone from the repository.
  const known = await snapshots.ids(repository.id);
  const { snapshots: stored, failures } = await repository.readSnapshots({ signal });
  const present = new Set([...stored.map(({ id }) => id), ...failures.map(({ id }) => id)]);
  const wanted = stored.filter(
    (snapshot) => isAppSnapshot(snapshot) && (options.everything || !known.has(snapshot.id)),
  );
  if (wanted.length > 0) await repository.loadIndex({ signal });
  const unreadable = failures.map(({ id }) => id);
  const read = await mapConcurrently(wanted, manifestsAtOnce, async (snapshot): Promise<ReadSnapshot | undefined> => {
    try {
      const manifest = await readManifest(repository, snapshot, { signal });
      return { manifest, described: describeSnapshot(snapshot, manifest) };
    } catch (error) {
      if (!isLost(error)) throw error;
      unreadable.push(snapshot.id);
      return undefined;
    }
  });
  const added = read.filter((item) => item !== undefined);
  await snapshots.add(
    repository.id,
    added.map(({ described }) => described),
  );
  await snapshots.remove(
    repository.id,
    [...known].filter((id) => !present.has(id)),
  );
  for (const id of unreadable) logger.warn('a snapshot could not be read', { snapshotId: id });
  return {
    count: (await snapshots.ids(repository.id)).size,
    manifests: added.map(({ manifest }) => manifest),
    unreadable,
  };
}
