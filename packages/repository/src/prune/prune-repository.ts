// Prune: removes what no snapshot uses. First beside others, under a shared lock: find what is used, decide, repack (which only
// adds). Then alone, for a short time: look at what came meanwhile, let the index forget the packs that go. Then, under a shared
// lock again, delete them: nothing lists them any more. docs/prune.md has the reasons and the interleavings.

import { AppError, isAppError, throwIfAborted } from '@varve/base';
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
    const prepared = await withLock(repository, { ...options, exclusive: false }, (signal) => {
      return prepare(repository, options, signal);
    });
    if (isEmpty(prepared.plan)) return nothingDone(prepared.plan);
    const result = await withLock(repository, { ...options, exclusive: true }, (signal, lock) => {
      return finish(prepared, options, { signal, lock });
    });
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

interface Prepared extends Survey {
  readonly repository: Repository;
  readonly repacked: RepackResult;
}

/** The part beside others: changes nothing that is there. */
async function prepare(
  repository: Repository,
  options: RunPruneOptions,
  signal: AbortSignal | undefined,
): Promise<Prepared> {
  const { unsafeRecoverNoFreeSpace, repackUncompressed = false, workers } = options;
  const rules = unsafeRecoverNoFreeSpace ? { ...options, maxRepackBytes: 0 } : options;
  const { state, used, ...fresh } = await survey(repository, { ...rules, signal });
  const plan = options.plan ?? fresh.plan;
  options.onPlan?.(plan);
  throwIfAborted(signal);
  const prepared = { repository, state, used, plan };
  const isLeaving = packSet(state, leavingPacks(plan));
  const isRepacked = packSet(
    state,
    plan.repack.map(({ packId }) => packId),
  );
  const entries = unsafeRecoverNoFreeSpace ? [] : entriesToCopy(used, isLeaving, isRepacked);
  if (entries.length === 0) return { ...prepared, repacked: { packs: 0, bytes: 0, isStorageFull: false } };
  const onProgress = options.onProgress?.('repack');
  const copies = { repository, used, entries, compressesData: repackUncompressed };
  return { ...prepared, repacked: await repack({ ...copies, signal, onProgress, workers }) };
}

/** The part that others wait for, and the deletion. Null when the plan is worthless: somebody else pruned meanwhile. */
async function finish(
  prepared: Prepared,
  options: RunPruneOptions,
  { signal, lock }: { readonly signal: AbortSignal | undefined; readonly lock: RepositoryLock | null },
): Promise<PruneResult | null> {
  const startedMs = performance.now();
  const { repository, state, used, plan, repacked } = prepared;
  const snapshots = await readAllSnapshots(repository, signal);
  if (!(await state.refresh(signal))) return null;
  await used.walk(snapshots, { signal, onTrees: treeProgress(options) });
  const { packIds, keptPackIds, lost } = decideGone(used, { leaving: leavingPacks(plan), useless: uselessPacks(plan) });
  if (lost.length > 0) throw await lostError(snapshots, { lost, repository, index: state.index, signal });
  const unreferenced = await stillUnreferenced(prepared, signal);
  const gone = [...plan.remove, ...plan.repack].filter(({ packId }) => packIds.has(packId));
  const isGone = packSet(state, packIds);
  const deletesFirst = options.unsafeRecoverNoFreeSpace === true;
  const obsolete = packIds.size > 0 ? state.obsoleteFiles(isGone, { merges: !deletesFirst }) : [];
  const total = unreferenced.length + obsolete.length + gone.length;
  const remover = new Remover(repository, { signal, onProgress: options.onProgress?.('remove'), total });
  throwIfAborted(signal);
  if (deletesFirst || repacked.isStorageFull) await remover.remove('pack', unreferenced);
  // Files before the last: an index that lists too little can be rebuilt, one that lists what is gone deceives a backup.
  if (!deletesFirst) await state.saveReplacement(obsolete, { isGone, signal });
  await remover.remove('index', obsolete);
  if (deletesFirst) {
    await remover.remove('pack', gone);
    await state.saveReplacement(obsolete, { isGone, signal });
  }
  const exclusiveMs = performance.now() - startedMs;
  if (!deletesFirst) {
    // Nothing lists these packs now, so whoever comes from here on cannot rely on them.
    // If that fails, the lock is as exclusive as before, and others wait a little longer.
    await lock?.share().catch(() => {});
    if (!repacked.isStorageFull) await remover.remove('pack', unreferenced);
    await remover.remove('pack', gone);
  }
  const removed = [...unreferenced, ...gone];
  return {
    plan,
    packsWritten: repacked.packs,
    bytesWritten: repacked.bytes,
    packsRemoved: removed.length,
    bytesRemoved: removed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    packsKept: keptPackIds,
    exclusiveMs,
    problems: repacked.isStorageFull ? ['The storage was full, so not everything was repacked. Run prune again.'] : [],
  };
}

/** Of the packs that no index listed, those that none lists now: no backup is running that could still do it. */
async function stillUnreferenced(prepared: Prepared, signal: AbortSignal | undefined): Promise<readonly PlannedPack[]> {
  const { repository, state, plan, repacked } = prepared;
  if (!repacked.isStorageFull) return plan.unreferenced.filter(({ packId }) => !state.index.hasPack(packId));
  // What was stored of the new packs before the storage was full is listed nowhere and only takes space.
  const packs = await repository.listFiles('pack', { signal });
  return packs
    .filter(({ name }) => !state.index.hasPack(name))
    .map(({ name, sizeBytes }) => ({ packId: name, sizeBytes }));
}

/** Runs a task under a lock and releases it. What the task throws counts, not that the lock could then not be removed. */
async function withLock<T>(
  repository: Repository,
  { exclusive, ...options }: RunPruneOptions & { readonly exclusive: boolean },
  task: (signal: AbortSignal | undefined, lock: RepositoryLock | null) => Promise<T>,
): Promise<T> {
  const { lock: lockOptions = {}, signal } = options;
  if (lockOptions === null) return task(signal, null);
  const lock = await lockRepository(repository, { ...lockOptions, exclusive, signal }).catch((error: unknown) => {
    throw exclusive && isAppError(error, 'REPOSITORY_LOCKED') ? lockedError(error) : error;
  });
  let result: T;
  try {
    result = await task(AbortSignal.any(signal ? [signal, lock.signal] : [lock.signal]), lock);
  } catch (error) {
    await lock.release().catch(() => {});
    throw error;
  }
  await lock.release();
  return result;
}

function lockedError(error: AppError): AppError {
  return new AppError('REPOSITORY_LOCKED', error.message, {
    hint:
      'Nothing was removed. What was repacked stays and the next prune goes on from there: run it when that work is done, ' +
      'or let it wait with --retry-lock. If that process is certainly not running any more, remove its lock with unlock.',
    context: error.context,
    cause: error,
    retry: true,
  });
}

function leavingPacks(plan: PrunePlan): string[] {
  return [...plan.remove.map(({ packId }) => packId), ...plan.repack.map(({ packId }) => packId), ...plan.missing];
}

function uselessPacks(plan: PrunePlan): string[] {
  return [...plan.missing, ...plan.remove.filter(({ isBroken }) => isBroken).map(({ packId }) => packId)];
}

function packSet(state: IndexState, packIds: Iterable<string>): (pack: number) => boolean {
  const marks = new Uint8Array(state.index.packCount);
  for (const packId of packIds) {
    const pack = state.index.packNumberOf(packId);
    if (pack >= 0) marks[pack] = 1;
  }
  return (pack) => marks[pack] === 1;
}

function isEmpty(plan: PrunePlan): boolean {
  return plan.remove.length + plan.repack.length + plan.unreferenced.length + plan.missing.length === 0;
}

function nothingDone(plan: PrunePlan): PruneResult {
  const none = { packsWritten: 0, bytesWritten: 0, packsRemoved: 0, bytesRemoved: 0, exclusiveMs: 0 };
  return { plan, ...none, packsKept: [], problems: [] };
}
