// Snapshots that belong together: of the same host, the same paths, the same tags.

import { AppError } from '@varve/base';
import type { Snapshot } from './snapshot.ts';

export type GroupField = 'host' | 'paths' | 'tags';

/** What the snapshots of a group share; fields that they were not grouped by are absent. */
export interface SnapshotGroup {
  readonly hostname?: string | undefined;
  /** In alphabetical order. */
  readonly paths?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
  /** In the order they were given in. */
  readonly snapshots: readonly Snapshot[];
}

const fields: ReadonlyMap<string, GroupField> = new Map([
  ['host', 'host'],
  ['path', 'paths'],
  ['paths', 'paths'],
  ['tag', 'tags'],
  ['tags', 'tags'],
]);

/** `host,paths` → the fields; an empty text groups by nothing. USAGE_INVALID. */
export function parseGroupBy(text: string): GroupField[] {
  const names = text.split(',').filter((name) => name !== '');
  return names.map((name) => {
    const field = fields.get(name.trim());
    if (field) return field;
    throw new AppError('USAGE_INVALID', `Snapshots cannot be grouped by "${name}".`, {
      hint: 'They can be grouped by host, paths and tags.',
    });
  });
}

/** In the order in which the groups first appear. */
export function groupSnapshots(snapshots: readonly Snapshot[], by: readonly GroupField[]): SnapshotGroup[] {
  const groups = new Map<string, SnapshotGroup & { readonly snapshots: Snapshot[] }>();
  for (const snapshot of snapshots) {
    const shared = {
      hostname: by.includes('host') ? (snapshot.hostname ?? '') : undefined,
      paths: by.includes('paths') ? snapshot.paths.toSorted() : undefined,
      tags: by.includes('tags') ? (snapshot.tags ?? []).toSorted() : undefined,
    };
    const key = JSON.stringify(shared);
    const group = groups.get(key);
    if (group) group.snapshots.push(snapshot);
    else groups.set(key, { ...shared, snapshots: [snapshot] });
  }
  return [...groups.values()];
}
