// Finds a snapshot by what a user types: `latest`, an id, or the beginning of one.

import { AppError } from '@varve/base';
import type { Snapshot } from './snapshot.ts';

/** Every condition that is given has to hold. */
export interface SnapshotFilter {
  /** One of these hosts. */
  readonly hosts?: readonly string[] | undefined;
  /** All tags of one of these; a list of one-element lists is an OR. */
  readonly tags?: readonly (string | readonly string[])[] | undefined;
  /** All of these paths. */
  readonly paths?: readonly string[] | undefined;
}

/** Whether a snapshot meets a filter, as restic's --host, --tag and --path do. */
export function matchesFilter(snapshot: Snapshot, { hosts, tags, paths }: SnapshotFilter): boolean {
  if (hosts?.length && !hosts.includes(snapshot.hostname ?? '')) return false;
  if (paths?.some((path) => !snapshot.paths.includes(path))) return false;
  if (!tags?.length) return true;
  return tags.some((group) => hasAllTags(snapshot, typeof group === 'string' ? [group] : group));
}

/** Whether a snapshot has every tag; an empty tag stands for "no tags at all". */
export function hasAllTags(snapshot: Snapshot, tags: readonly string[]): boolean {
  const own = snapshot.tags ?? [];
  return tags.every((tag) => own.includes(tag) || (tag === '' && own.length === 0));
}

/** `snapshots` are ordered by time. SNAPSHOT_NOT_FOUND, or SNAPSHOT_AMBIGUOUS for a prefix of several ids. */
export function findSnapshotIn(snapshots: readonly Snapshot[], name: string, filter: SnapshotFilter = {}): Snapshot {
  if (name === 'latest') {
    const latest = snapshots.findLast((snapshot) => matchesFilter(snapshot, filter));
    if (latest) return latest;
    throw new AppError('SNAPSHOT_NOT_FOUND', 'There is no snapshot that matches.');
  }
  const matches = /^[0-9a-f]{1,64}$/.test(name) ? snapshots.filter(({ id }) => id.startsWith(name)) : [];
  const [match] = matches;
  if (!match)
    throw new AppError('SNAPSHOT_NOT_FOUND', `There is no snapshot “${name}”.`, {
      hint: 'List the snapshots to see their ids.',
    });
  if (matches.length > 1) {
    throw new AppError('SNAPSHOT_AMBIGUOUS', `“${name}” is the beginning of ${matches.length} snapshots.`, {
      hint: 'Give more digits of the id.',
    });
  }
  return match;
}
