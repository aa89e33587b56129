// Reads many trees at once, in the order in which they are stored: what operations use that walk snapshots level by level.

import { mapConcurrently, throwIfAborted } from '@varve/base';
import { openBlobParts, type OpenedBlob } from '../pack/pack-reader.ts';
import { isDamage, type Repository } from '../repository.ts';
import { groupIntoRuns, type StoredBlob, type StoredRun } from './stored-runs.ts';

/** Trees that are looked up, grouped and read at once: a bound for the memory. */
const treesAtOnce = 20_000;
const runsAtOnce = 8;
const mostRunBytes = 4 * 1024 * 1024;

export interface ReadTreesOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called once for each id, in no order. The bytes are good only until it is done. */
  readonly visit: (id: string, tree: OpenedBlob) => void | Promise<void>;
}

/**
 * Reads trees by their ids, each of which is given once. {@link Repository.loadIndex} has to be done. Other copies are tried
 * when one is damaged; REPOSITORY_DAMAGED when none is good or a tree is not in the index.
 */
export async function readTrees(
  repository: Repository,
  ids: readonly string[],
  options: ReadTreesOptions,
): Promise<void> {
  for (let from = 0; from < ids.length; from += treesAtOnce) {
    throwIfAborted(options.signal);
    const located: StoredBlob[] = [];
    const lost: string[] = [];
    for (const id of ids.slice(from, from + treesAtOnce)) {
      const location = repository.index.lookup('tree', id);
      if (location) located.push({ ...location, id });
      else lost.push(id);
    }
    // Not in the index: loadBlob tells so.
    for (const id of lost) await repository.loadBlob('tree', id, { signal: options.signal });
    await mapConcurrently(groupIntoRuns(located, mostRunBytes), runsAtOnce, (run) => readRun(repository, run, options));
  }
}

async function readRun(repository: Repository, run: StoredRun, { signal, visit }: ReadTreesOptions): Promise<void> {
  throwIfAborted(signal);
  const bytes = await loadRun(repository, run, signal);
  for (const tree of run.blobs) {
    const stored = bytes?.subarray(tree.offset - run.offset, tree.offset - run.offset + tree.length);
    const opened = stored && tryOpen(repository, tree, stored);
    await visit(tree.id, opened ?? { plaintext: await repository.loadBlob('tree', tree.id, { signal }), frame: null });
  }
}

/** The bytes of a run, or null when they are damaged or gone: then each blob is looked for by itself. */
export async function loadRun(
  repository: Repository,
  { packId, offset, end }: StoredRun,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | null> {
  try {
    return await repository.storage.load({ type: 'pack', name: packId }, { offset, length: end - offset, signal });
  } catch (error) {
    if (isDamage(error)) return null;
    throw error;
  }
}

function tryOpen(repository: Repository, tree: StoredBlob, stored: Uint8Array): OpenedBlob | null {
  try {
    return openBlobParts(stored, { ...tree, type: 'tree' }, repository);
  } catch (error) {
    if (isDamage(error)) return null;
    throw error;
  }
}
