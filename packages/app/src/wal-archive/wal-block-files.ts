// How a WAL block lies in the repository: one restic snapshot with the tags `wal`, `app:<id>`, `component:<name>`, and in it
// `/wal.json` beside the segments in `/wal`. docs/point-in-time.md says why.

import { AppError } from '@varve/base';
import { walBlockSchema, type WalBlock } from '@varve/contract';
import { readFileContent, type Repository, type Snapshot } from '@varve/repository';
import { collectBytes } from '../components/collect-bytes.ts';
import { appTag } from '../snapshot/describe-snapshot.ts';

/** Tag of every WAL block; app snapshots do not have it. */
export const walTag = 'wal';
export const walBlockPath = '/wal.json';
const walFolder = '/wal';

/** Whose write-ahead log: a database component of an app. */
export interface WalOwner {
  readonly appId: string;
  readonly component: string;
}

export function walTags({ appId, component }: WalOwner): string[] {
  return [walTag, appTag(appId), `component:${component}`];
}

/** Whether a snapshot is a WAL block; of this owner when one is given. */
export function isWalBlock({ tags = [] }: Pick<Snapshot, 'tags'>, owner?: WalOwner): boolean {
  return (owner === undefined ? [walTag] : walTags(owner)).every((tag) => tags.includes(tag));
}

/** Path of a segment in its block; `.partial` while it is shorter than a segment. */
export function segmentPath(name: string, isComplete: boolean): string {
  return `${walFolder}/${name}${isComplete ? '' : '.partial'}`;
}

/** Path of a timeline's history file in a block. */
export function historyPath(timeline: number): string {
  return `${walFolder}/${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
}

/** Reads `/wal.json`. REPOSITORY_DAMAGED when it cannot be understood, PATH_NOT_FOUND when it is no WAL block. */
export async function readWalBlock(
  repository: Repository,
  snapshot: Pick<Snapshot, 'id' | 'tree'>,
  signal?: AbortSignal,
): Promise<WalBlock> {
  const bytes = await collectBytes(readFileContent(repository, { treeId: snapshot.tree, path: walBlockPath, signal }));
  try {
    return walBlockSchema.parse(JSON.parse(bytes.toString('utf8')));
  } catch (cause) {
    throw new AppError(
      'REPOSITORY_DAMAGED',
      `The facts of the WAL block ${snapshot.id.slice(0, 8)} cannot be understood.`,
      {
        hint: 'It may come from a newer version of Varve: update, then try again. Its segments can be restored as files.',
        context: { snapshotId: snapshot.id },
        cause,
      },
    );
  }
}
