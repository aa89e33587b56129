// Prune: removes what no snapshot uses. First beside others, under a shared lock: find what is used, decide, repack (which only
// adds). Then alone, for a short time: look at what came meanwhile, let the index forget the packs that go. Then, under a shared
// lock again, delete them: nothing lists them any more. docs/prune.md has the reasons and the interleavings.

import { AppError, isAppError, throwIfAborted } from '@varve/base';
import type { FileHandle } from '@varve/storage';
import { lockRepository, type LockOptions, type RepositoryLock } from '../lock/repository-lock.ts';
import type { Repository } from '../repository.ts';
import { lostError, readAllSnapshots } from './damage.ts';
import { decideGone } from './decide-gone.ts';
import type { IndexState } from './index-state.ts';
import type { PlannedPack } from './prune-plan.ts';
import { Remover } from './remover.ts';
import { entriesToCopy, repack, type RepackResult } from './repack.ts';
import { survey, treeProgress, type PlanPruneOptions, type PrunePlan, type Survey } from './survey.ts';

export interface RunPruneOptions extends Omit<PlanPruneOptions, 'withoutSnapshots'> {
  /**
   * An earlier plan: exactly its packs are dealt with, but for those that are needed by now. Rules do not count then. Made
   * anew when absent.
   */
  readonly plan?: PrunePlan | undefined;
  /** How the locks are taken; null to take none, when certainly nobody else uses the repository. */
  readonly lock?: Omit<LockOptions, 'exclusive' | 'signal'> | null | undefined;
  /** Shown the plan before anything is changed. */
  readonly onPlan?: ((plan: PrunePlan) => void) | undefined;
  /**
   * For a storage without any free space: repacks nothing, and deletes before it writes. When it is interrupted, the index
   * has to be rebuilt from the packs.
   */
  readonly unsafeRecoverNoFreeSpace?: boolean | undefined;
  /** Threads that repack; chosen by size and machine when absent, 0 for none beside this one. */
  readonly workers?: number | undefined;
}

export interface PruneResult {
  readonly plan: PrunePlan;
  /** New packs of what was repacked. */
  readonly packsWritten: number;
  readonly bytesWritten: number;
  readonly packsRemoved: number;
  readonly bytesRemoved: number;
  /** Packs that the plan wanted to go and that are needed: something came to use them, or they were not repacked. */
  readonly packsKept: readonly string[];
  /** How long others had to wait. */
  readonly exclusiveMs: number;
  /** What could not be done, such as repacking on a full storage. A later run can. */
  readonly problems: readonly string[];
}

/** Others that prune at the same time make a plan worthless; after so many times it is given up. */
const mostAttempts = 3;

/**
 * Prunes. Takes the locks that it needs: a shared one while it finds and repacks, an exclusive one for a short time, a
 * shared one while it deletes. REPOSITORY_LOCKED when the exclusive one cannot be had within `lock.waitMs`: what was
 * repacked is then found by the next run. REPOSITORY_DAMAGED before anything is changed when something used is missing.
 */
export async function runPrune(repository: Repository, options: RunPruneOptions = {}): Promise<PruneResult> {
  repository.assertWritable();
  if (options.plan && options.plan.repositoryId !== repository.id) {
    throw new AppError('USAGE_INVALID', 'The plan to prune was made for another repository.');
  }
  for (let attempt = 1; attempt <= mostAttempts; attempt++) {
    const prepared = await prepare(repository, options);
    const result = isEmpty(prepared.survey.plan) ? nothingDone(prepared.survey.plan) : await finish(prepared, options);
    if (result) return result;
  }
  throw new AppError(
    'REPOSITORY_LOCKED',
    'Somebody else pruned or repaired the repository again and again meanwhile.',
    {
      hint: 'Nothing is lost. Run prune again, at a time when nobody else does.',
      retry: true,
    },
  );
}

interface Prepared {
  readonly repository: Repository;
  readonly survey: Survey;
  readonly repacked: RepackResult;
}

/** The part beside others: changes nothing that is there. */
async function prepare(repository: Repository, options: RunPruneOptions): Promise<Prepared> {
  await using lock = await takeLock(repository, options, { exclusive: false });
  const signal = signalOf(options, lock);
  const fresh = await survey(repository, rulesFor(options, signal));
  const plan = options.plan ?? fresh.plan;
  options.onPlan?.(plan);
  throwIfAborted(signal);
  let repacked: RepackResult = { packs: 0, bytes: 0, isStorageFull: false };
  const { state, used } = fresh;
  const isRepacked = packSet(
    state,
    plan.repack.map(({ packId }) => packId),
  );
  const isLeaving = packSet(state, leavingPacks(plan));
  const entries = options.unsafeRecoverNoFreeSpace ? [] : entriesToCopy(used, isLeaving, isRepacked);
  if (entries.length > 0) {
    const compressesData = options.repackUncompressed ?? false;
    const { workers } = options;
    const onProgress = options.onProgress?.('repack');
    repacked = await repack({ repository, used, entries, compressesData, signal, onProgress, workers });
  }
  return { repository, survey: { ...fresh, plan }, repacked };
}

/** The part that others wait for, and the deletion. Null when the plan is worthless: somebody else pruned meanwhile. */
async function finish(
  { repository, survey: { state, used, plan }, repacked }: Prepared,
  options: RunPruneOptions,
): Promise<PruneResult | null> {
  await using lock = await takeLock(repository, options, { exclusive: true });
  const startedMs = performance.now();
  const signal = signalOf(options, lock);
  const snapshots = await readAllSnapshots(repository, signal);
  if (!(await state.refresh(signal))) return null;
  await used.walk(snapshots, { signal, onTrees: treeProgress(options) });
  const gone = decideGone(used, { leaving: leavingPacks(plan), missing: plan.missing });
  if (gone.lost.length > 0) {
    throw await lostError(snapshots, { lost: gone.lost, repository, index: state.index, signal });
  }
  const unreferenced = await stillUnreferenced(repository, { state, plan, repacked, signal });
  const goneSizes = [...plan.remove, ...plan.repack].filter(({ packId }) => gone.packIds.has(packId));
  const isGone = packSet(state, gone.packIds);
  const obsolete = gone.packIds.size > 0 ? state.obsoleteFiles(isGone) : [];
  const remover = new Remover(repository, {
    signal,
    onProgress: options.onProgress?.('remove'),
    total: unreferenced.length + obsolete.length + goneSizes.length,
  });
  let exclusiveMs = 0;
  throwIfAborted(signal);
  if (options.unsafeRecoverNoFreeSpace) {
    await remover.remove(unreferenced.map(packHandle));
    // An index that lists too little is rebuilt from the packs; one that lists packs which are gone would deceive a backup.
    await remover.remove(obsolete.map(indexHandle));
    await remover.remove(goneSizes.map(packHandle));
    await state.saveReplacement(obsolete, { isGone, signal });
    exclusiveMs = performance.now() - startedMs;
  } else {
    if (repacked.isStorageFull) await remover.remove(unreferenced.map(packHandle));
    if (obsolete.length > 0) await state.saveReplacement(obsolete, { isGone, signal });
    await remover.remove(obsolete.map(indexHandle));
    exclusiveMs = performance.now() - startedMs;
    // Nothing lists these packs now, so whoever comes from here on cannot rely on them.
    await lock?.share();
    if (!repacked.isStorageFull) await remover.remove(unreferenced.map(packHandle));
    await remover.remove(goneSizes.map(packHandle));
  }
  const removed = [...unreferenced, ...goneSizes];
  return {
    plan,
    packsWritten: repacked.packs,
    bytesWritten: repacked.bytes,
    packsRemoved: removed.length,
    bytesRemoved: removed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    packsKept: gone.keptPackIds,
    exclusiveMs,
    problems: repacked.isStorageFull ? ['The storage was full, so not everything was repacked. Run prune again.'] : [],
  };
}

/** Of the packs that no index listed, those that none lists now: no backup is running that could still do it. */
async function stillUnreferenced(
  repository: Repository,
  {
    state,
    plan,
    repacked,
    signal,
  }: { state: IndexState; plan: PrunePlan; repacked: RepackResult; signal: AbortSignal },
): Promise<PlannedPack[]> {
  if (!repacked.isStorageFull) return plan.unreferenced.filter(({ packId }) => !state.index.hasPack(packId));
  // What was stored of the new packs before the storage was full is listed nowhere and only takes space.
  const packs = await repository.listFiles('pack', { signal });
  return packs
    .filter(({ name }) => !state.index.hasPack(name))
    .map(({ name, sizeBytes }) => ({ packId: name, sizeBytes }));
}

async function takeLock(
  repository: Repository,
  options: RunPruneOptions,
  { exclusive }: { readonly exclusive: boolean },
): Promise<RepositoryLock | null> {
  const { lock = {}, signal } = options;
  if (lock === null) return null;
  try {
    return await lockRepository(repository, { ...lock, exclusive, signal });
  } catch (error) {
    if (!exclusive || !isAppError(error, 'REPOSITORY_LOCKED')) throw error;
    throw new AppError('REPOSITORY_LOCKED', error.message, {
      hint:
        'Nothing was removed. What was repacked stays and the next prune goes on from there: run it when that work is done, ' +
        'or let it wait with --retry-lock. If that process is certainly not running any more, remove its lock with unlock.',
      context: error.context,
      cause: error,
      retry: true,
    });
  }
}

function signalOf({ signal }: RunPruneOptions, lock: RepositoryLock | null): AbortSignal {
  return AbortSignal.any([signal, lock?.signal].filter((part) => part !== undefined));
}

function rulesFor(options: RunPruneOptions, signal: AbortSignal): PlanPruneOptions {
  return { ...options, signal, ...(options.unsafeRecoverNoFreeSpace ? { maxRepackBytes: 0 } : {}) };
}

function leavingPacks(plan: PrunePlan): string[] {
  return [...plan.remove.map(({ packId }) => packId), ...plan.repack.map(({ packId }) => packId), ...plan.missing];
}

function packSet(state: IndexState, packIds: Iterable<string>): (pack: number) => boolean {
  const marks = new Uint8Array(state.index.packCount);
  for (const packId of packIds) {
    const pack = state.index.packNumberOf(packId);
    if (pack >= 0) marks[pack] = 1;
  }
  return (pack) => marks[pack] === 1;
}

function packHandle({ packId }: PlannedPack): FileHandle {
  return { type: 'pack', name: packId };
}

function indexHandle(name: string): FileHandle {
  return { type: 'index', name };
}

function isEmpty(plan: PrunePlan): boolean {
  return plan.remove.length + plan.repack.length + plan.unreferenced.length + plan.missing.length === 0;
}

function nothingDone(plan: PrunePlan): PruneResult {
  const none = { packsWritten: 0, bytesWritten: 0, packsRemoved: 0, bytesRemoved: 0, exclusiveMs: 0 };
  return { plan, ...none, packsKept: [], problems: [] };
}
