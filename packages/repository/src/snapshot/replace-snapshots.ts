// Replaces snapshot files by changed versions of themselves: first the new file, then, where wanted, the old one goes. A run that
// was interrupted in between is completed by the next, which finds the new version instead of making it twice.

import { throwIfAborted } from '@varve/base';
import type { Repository } from '../repository.ts';
import { isSameSnapshot } from './similar-snapshots.ts';
import type { NewSnapshot, Snapshot } from './snapshot.ts';

/** A snapshot and what takes its place. */
export interface Replacement {
  readonly old: Snapshot;
  readonly next: NewSnapshot;
}

export interface ReplacedSnapshot {
  readonly old: Snapshot;
  readonly next: Snapshot;
}

/**
 * Saves each new version, in order, then removes the old one if `removesOld`, which needs an exclusive lock. The packs and index
 * files that the new versions refer to have to be durable. Yields what was done, of which `onReplaced` is told one by one; a
 * snapshot that stays and whose new version is there already is left out.
 */
export async function replaceSnapshots(
  repository: Repository,
  replacements: readonly Replacement[],
  options: {
    readonly removesOld: boolean;
    readonly signal?: AbortSignal | undefined;
    readonly onReplaced?: ((replaced: ReplacedSnapshot) => void) | undefined;
  },
): Promise<ReplacedSnapshot[]> {
  const { removesOld, signal, onReplaced } = options;
  if (replacements.length === 0) return [];
  const byOriginal = Map.groupBy(await repository.listSnapshots({ signal }), ({ original }) => original);
  const done: ReplacedSnapshot[] = [];
  for (const { old, next } of replacements) {
    throwIfAborted(signal);
    const made = byOriginal.get(next.original)?.find((other) => other.id !== old.id && isSameSnapshot(other, next));
    if (made && !removesOld) continue;
    const replaced = { old, next: made ?? (await repository.saveSnapshot(next, { signal })) };
    if (removesOld) await repository.removeSnapshots([old.id], { signal });
    done.push(replaced);
    onReplaced?.(replaced);
  }
  return done;
}
