// Giving back the space of what was forgotten: the plan for people, and the prune as a job. Backups run on beside it; at its end
// it waits for those under way, and others wait for it for a moment.

import { formatBytes, type Clock, type Logger } from '@varve/base';
import type { PrunePreview } from '@varve/contract';
import {
  lockRepository,
  planPrune,
  runPrune,
  type LockOwnerOptions,
  type PlannedPack,
  type PrunePlan,
  type Repository,
} from '@varve/repository';
import type { JobOutcome, JobRun } from '../jobs/job-run.ts';

/** More unused data than this part of the repository is not left behind. */
const maxUnusedRatio = 0.05;
/** How long the end of a prune waits for backups and restores that run. It holds nobody up meanwhile. */
const exclusiveWaitMs = 6 * 3_600_000;
const previewWaitMs = 60_000;
const rules = { maxUnused: { ratio: maxUnusedRatio } } as const;

export interface PruneOptions {
  readonly repository: Repository;
  readonly lockOwner: LockOwnerOptions;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a prune would do now. Changes nothing; REPOSITORY_DAMAGED when something that a snapshot uses is missing. */
export async function previewPrune(options: PruneOptions & { readonly signal: AbortSignal }): Promise<PrunePreview> {
  const { repository, signal, clock, logger } = options;
  await using lock = await lockRepository(repository, {
    ...options.lockOwner,
    exclusive: false,
    waitMs: previewWaitMs,
    signal,
    clock,
    logger,
  });
  return previewOf(await planPrune(repository, { ...rules, signal: AbortSignal.any([signal, lock.signal]) }));
}

/** Removes what no snapshot uses. REPOSITORY_LOCKED when backups run without end; partial on a storage that is full. */
export async function runPruneJob(options: PruneOptions & { readonly run: JobRun }): Promise<JobOutcome> {
  const { repository, run, clock, logger } = options;
  run.report({ step: 'prune-find', filesDone: 0, bytesDone: 0 });
  const result = await runPrune(repository, {
    ...rules,
    signal: run.signal,
    lock: { ...options.lockOwner, waitMs: exclusiveWaitMs, clock, logger },
    onPlan: (plan) => run.log('info', planLine(plan)),
    onProgress: (phase) => (progress) => run.report({ step: `prune-${phase}`, ...progress }),
  });
  const { packsRemoved, bytesRemoved, packsWritten, bytesWritten, packsKept, exclusiveMs, problems } = result;
  run.setResult({ type: 'prune', packsRemoved, bytesRemoved, packsWritten, bytesWritten });
  run.log(
    'info',
    `Removed ${packsRemoved} packs (${formatBytes(bytesRemoved)}), wrote ${packsWritten} (${formatBytes(bytesWritten)}). ` +
      `Others had to wait for ${Math.round(exclusiveMs)} ms.`,
  );
  if (packsKept.length > 0) run.log('info', `${packsKept.length} packs stay that came into use meanwhile.`);
  return { snapshotId: null, problems: problems.map((message) => ({ path: repository.storage.location, message })) };
}

function previewOf(plan: PrunePlan): PrunePreview {
  return {
    snapshots: plan.snapshots,
    sizeBytes: plan.sizeBytes,
    sizeAfterBytes: plan.sizeAfterBytes,
    freedBytes: plan.freedBytes,
    usedBytes: plan.used.bytes,
    unusedAfterBytes: plan.unusedAfterBytes,
    maxUnusedPercent: maxUnusedRatio * 100,
    remove: packsOf(plan.remove),
    repack: {
      ...packsOf(plan.repack),
      unusedBytes: plan.repack.reduce((sum, { unusedBytes }) => sum + unusedBytes, 0),
    },
    unreferenced: packsOf(plan.unreferenced),
    keptPacks: plan.packs.keep,
  };
}

function packsOf(packs: readonly PlannedPack[]): { packs: number; bytes: number } {
  return { packs: packs.length, bytes: packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) };
}

function planLine(plan: PrunePlan): string {
  const { remove, repack, unreferenced, freedBytes, packs } = plan;
  return (
    `${plan.snapshots} snapshots use ${formatBytes(plan.used.bytes)}. To free: ${formatBytes(freedBytes)}. ` +
    `Packs: ${remove.length} unused, ${repack.length} to rewrite, ${unreferenced.length} in no index, ${packs.keep} stay.`
  );
}
