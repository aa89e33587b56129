// Finds out what a prune would do: which blobs the snapshots use, how much of each pack that is, and what follows from it. Changes
// nothing.

import type { OnProgress } from '@varve/base';
import type { Repository } from '../repository.ts';
import { brokenError, readAllSnapshots } from './damage.ts';
import { IndexState } from './index-state.ts';
import { measurePacks, type Uses } from './pack-uses.ts';
import { decidePacks, type Amount, type PackActions, type PlannedPack, type PruneRules } from './prune-plan.ts';
import { UsedBlobs } from './used-blobs.ts';

/** What a prune would do or has done: plain data. Amounts are blobs and their stored bytes. */
export interface PrunePlan extends Omit<PackActions, 'broken'> {
  readonly repositoryId: string;
  readonly snapshots: number;
  /** In no index file: left by an interrupted run, or of a backup that is running, whose packs then stay. */
  readonly unreferenced: readonly PlannedPack[];
  readonly used: Amount;
  readonly duplicate: Amount;
  readonly unused: Amount;
  /** Bytes of all packs, now and then. */
  readonly sizeBytes: number;
  readonly sizeAfterBytes: number;
  readonly freedBytes: number;
  /** Blobs that stay, and how many bytes of them are not used. */
  readonly remaining: Amount;
  readonly unusedAfterBytes: number;
}

export type PrunePhase = 'find' | 'repack' | 'remove';

export interface PlanPruneOptions extends PruneRules {
  /** Plans as if these snapshots were forgotten already. */
  readonly withoutSnapshots?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((phase: PrunePhase) => OnProgress) | undefined;
}

/**
 * What {@link runPrune} would do. Changes nothing; the caller holds a lock, shared is enough. REPOSITORY_DAMAGED, which
 * names the snapshots, when something that is used is missing.
 */
export async function planPrune(repository: Repository, options: PlanPruneOptions = {}): Promise<PrunePlan> {
  return (await survey(repository, options)).plan;
}

export interface Survey {
  readonly state: IndexState;
  readonly used: UsedBlobs;
  readonly plan: PrunePlan;
}

/** Snapshots, then index, then packs: what a backup writes meanwhile is then never missing. */
export async function survey(repository: Repository, options: PlanPruneOptions): Promise<Survey> {
  const { signal, withoutSnapshots = [] } = options;
  const ignored = new Set(withoutSnapshots);
  const snapshots = (await readAllSnapshots(repository, signal)).filter(({ id }) => !ignored.has(id));
  const state = new IndexState(repository);
  await state.refresh(signal);
  const sizes = new Map<string, number>();
  for await (const { name, sizeBytes } of repository.storage.list('pack', { signal })) sizes.set(name, sizeBytes);
  const used = new UsedBlobs(repository, state.index);
  await used.walk(snapshots, { signal, onTrees: treeProgress(options) });
  const uses = measurePacks(used, sizes);
  const { broken, ...actions } = decidePacks(uses.packs, { rules: options, version: repository.version });
  if (broken.length > 0) {
    throw await brokenError(snapshots, { broken, repository, index: state.index, signal });
  }
  const plan = makePlan(actions, { repositoryId: repository.id, snapshots: snapshots.length, uses, sizes, state });
  return { state, used, plan };
}

function makePlan(
  actions: Omit<PackActions, 'broken'>,
  facts: {
    readonly repositoryId: string;
    readonly snapshots: number;
    readonly uses: Uses;
    readonly sizes: ReadonlyMap<string, number>;
    readonly state: IndexState;
  },
): PrunePlan {
  const { repositoryId, snapshots, uses, sizes, state } = facts;
  const { used, duplicate, unused } = uses;
  const unreferenced = [...sizes]
    .filter(([packId]) => !state.index.hasPack(packId))
    .map(([packId, sizeBytes]) => ({ packId, sizeBytes }));
  const goneBytes = [...actions.remove, ...unreferenced].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const freedBytes = goneBytes + actions.repackedRemoved.bytes;
  const sizeBytes = [...sizes.values()].reduce((sum, bytes) => sum + bytes, 0);
  const removed = {
    blobs: actions.delete.blobs + actions.repackedRemoved.blobs,
    bytes: actions.delete.bytes + actions.repackedRemoved.bytes,
  };
  return {
    repositoryId,
    snapshots,
    ...actions,
    unreferenced,
    used,
    duplicate,
    unused,
    sizeBytes,
    sizeAfterBytes: sizeBytes - freedBytes,
    freedBytes,
    remaining: {
      blobs: used.blobs + duplicate.blobs + unused.blobs - removed.blobs,
      bytes: used.bytes + duplicate.bytes + unused.bytes - removed.bytes,
    },
    unusedAfterBytes: duplicate.bytes + unused.bytes - removed.bytes,
  };
}

export function treeProgress({ onProgress }: PlanPruneOptions): ((trees: number) => void) | undefined {
  const report = onProgress?.('find');
  return report && ((trees) => report({ filesDone: trees, bytesDone: 0, current: 'folders of the snapshots' }));
}
