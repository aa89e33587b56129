// Changes the tags of snapshots, as `restic tag` does: a changed snapshot is a new file that names the first version as its
// original, and the old file goes after it.

import type { Repository } from '../repository.ts';
import { replaceSnapshots, type ReplacedSnapshot, type Replacement } from './replace-snapshots.ts';
import type { Snapshot } from './snapshot.ts';

/** Either `set` alone (an empty list: no tags), or what to add and then what to remove. */
export type TagChange =
  | { readonly set: readonly string[] }
  | { readonly add?: readonly string[] | undefined; readonly remove?: readonly string[] | undefined };

/** The tags after a change; each once, in order. */
export function changedTags(tags: readonly string[], change: TagChange): string[] {
  if ('set' in change) return [...new Set(change.set)];
  const removed = new Set(change.remove);
  return [...new Set([...tags, ...(change.add ?? [])])].filter((tag) => !removed.has(tag));
}

/**
 * Gives each snapshot whose tags change a new file; the others are left alone. The caller holds an exclusive lock. Yields what
 * was changed, in order.
 */
export async function tagSnapshots(
  repository: Repository,
  snapshots: readonly Snapshot[],
  options: {
    readonly change: TagChange;
    readonly signal?: AbortSignal | undefined;
    readonly onChanged?: ((changed: ReplacedSnapshot) => void) | undefined;
  },
): Promise<ReplacedSnapshot[]> {
  repository.assertWritable();
  const replacements = snapshots.flatMap((old): Replacement[] => {
    const tags = changedTags(old.tags ?? [], options.change);
    if (JSON.stringify(tags) === JSON.stringify(old.tags ?? [])) return [];
    const { id, ...fields } = old;
    return [{ old, next: { ...fields, tags, original: old.original ?? id } }];
  });
  const { signal, onChanged } = options;
  return replaceSnapshots(repository, replacements, { removesOld: true, signal, onReplaced: onChanged });
}
