// The facts that lists show of a snapshot, from the snapshot file and its manifest alone: the same right after it was made
// and when the catalogue is rebuilt from the repository.

import { AppError } from '@varve/base';
import { manifestSchema, type AppSnapshot, type Manifest } from '@varve/contract';
import { readFileContent, type Repository, type Snapshot } from '@varve/repository';
import { collectBytes } from '../components/collect-bytes.ts';

/** Path of the manifest in the snapshot. */
export const manifestPath = '/manifest.json';

/** Tag by which the snapshots of one app are found. */
export function appTag(appId: string): string {
  return `app:${appId}`;
}

/** Reads `/manifest.json`. PATH_NOT_FOUND when it is no app snapshot, REPOSITORY_DAMAGED when it cannot be understood. */
export async function readManifest(
  repository: Repository,
  snapshot: Pick<Snapshot, 'id' | 'tree'>,
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<Manifest> {
  const bytes = await collectBytes(
    readFileContent(repository, { treeId: snapshot.tree, path: manifestPath, signal: options.signal }),
  );
  try {
    return manifestSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw new AppError(
      'REPOSITORY_DAMAGED',
      `The manifest of snapshot ${snapshot.id.slice(0, 8)} cannot be understood.`,
      {
        hint: 'It may come from a newer version of Varve: update, then try again. Its files can still be restored one by one.',
        context: { snapshotId: snapshot.id },
        cause,
      },
    );
  }
}

/** The snapshot as lists show it. */
export function describeSnapshot(snapshot: Snapshot, manifest: Manifest): AppSnapshot {
  const { components } = manifest;
  const sum = (pick: (component: Manifest['components'][number]) => number): number =>
    components.reduce((total, component) => total + pick(component), 0);
  const code = components.find((component) => component.kind === 'code');
  const database = components.find((component) => component.kind === 'database');
  return {
    id: snapshot.id,
    appId: manifest.app.id,
    time: snapshot.time,
    kind: manifest.kind,
    name: manifest.name,
    description: manifest.description,
    partial: manifest.problems.length > 0,
    bytes: snapshot.summary?.totalBytesProcessed ?? sum((component) => ('bytes' in component ? component.bytes : 0)),
    bytesAdded: snapshot.summary?.dataAddedPacked ?? 0,
    files:
      snapshot.summary?.totalFilesProcessed ?? sum((component) => (component.kind === 'volume' ? component.files : 0)),
    durationMs: Math.max(0, Date.parse(manifest.finishedAt) - Date.parse(manifest.startedAt)),
    commit: code?.commit ?? null,
    walLsn: database?.walEndLsn ?? database?.walLsn ?? null,
  };
}
