// Previews and runs the retention of one app. The run takes the repository's exclusive lock, computes the preview again
// under it, and removes exactly what the user saw, or nothing.

import { AppError, type Clock, type Logger } from '@varve/base';
import type { App, RetentionPreview } from '@varve/contract';
import { lockRepository, type LockOwnerOptions, type Repository } from '@varve/repository';
import type { SnapshotStore } from '../apps/snapshot-store.ts';
import type { JobOutcome, JobRun } from '../jobs/job-run.ts';
import { syncSnapshots } from '../repositories/sync-snapshots.ts';
import { appTag } from '../snapshot/describe-snapshot.ts';
import type { RepositoryStore } from '../repositories/repository-store.ts';
import type { TimelineFacts } from '../timeline/timeline-facts.ts';
import { planChains, type ChainPlan } from './plan-chains.ts';
import { retentionPreview } from './retention.ts';

/** How long a forget waits for snapshots of other apps to end. */
const lockWaitMs = 15 * 60_000;
const blocksAtOnce = 100;

export interface ForgetOptions {
  readonly app: App;
  readonly repository: Repository;
  readonly snapshots: SnapshotStore;
  readonly timelineFacts: TimelineFacts;
  readonly repositoryStore: Pick<RepositoryStore, 'noteForgotten'>;
  readonly lockOwner: LockOwnerOptions;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What would stay and go now, by what is in the repository. */
export async function previewForget(options: ForgetOptions & { signal?: AbortSignal }): Promise<RetentionPreview> {
  return (await planForget(options)).preview;
}

interface ForgetPlan {
  readonly preview: RetentionPreview;
  readonly removableBlocks: ChainPlan['removableBlocks'];
}

async function planForget(options: ForgetOptions & { signal?: AbortSignal }): Promise<ForgetPlan> {
  const { app, repository, snapshots, timelineFacts, clock, logger, signal } = options;
  await syncSnapshots({ repository, snapshots, logger, signal });
  const described = new Map((await snapshots.list(app.id)).map((snapshot) => [snapshot.id, snapshot]));
  const stored = (await repository.listSnapshots({ signal })).filter(
    ({ tags }) => tags?.includes('varve') === true && tags.includes(appTag(app.id)),
  );
  const { blocks, bases } = await timelineFacts.read({ repository, appId: app.id, fresh: true, signal });
  const { windowDays } = app.policy.pointInTime;
  const chains = planChains({ blocks, bases, windowDays, now: clock.now() });
  const preview = retentionPreview({
    repositoryId: repository.id,
    snapshots: stored.map((snapshot) => ({ stored: snapshot, described: described.get(snapshot.id) })),
    policy: app.policy.retention,
    chains,
    now: clock.now(),
  });
  return { preview, removableBlocks: chains.removableBlocks };
}

/** RETENTION_PLAN_STALE when the preview is another one now; REPOSITORY_LOCKED when others do not end in time. */
export async function runForget(
  options: ForgetOptions & { readonly run: JobRun; readonly fingerprint: string },
): Promise<JobOutcome> {
  const { repository, snapshots, run, clock, logger } = options;
  run.report({ step: 'lock', filesDone: 0, bytesDone: 0 });
  await using lock = await lockRepository(repository, {
    ...options.lockOwner,
    exclusive: true,
    waitMs: lockWaitMs,
    signal: run.signal,
    clock,
    logger,
  });
  const signal = AbortSignal.any([run.signal, lock.signal]);
  const { preview, removableBlocks } = await planForget({ ...options, signal });
  if (preview.fingerprint !== options.fingerprint) throw stale(options.app.id);
  const total = preview.remove.length + removableBlocks.length;
  for (const [done, { id, time }] of preview.remove.entries()) {
    run.report({ step: 'forget', filesDone: done, filesTotal: total, bytesDone: 0, current: id });
    await repository.removeSnapshots([id], { signal });
    await snapshots.remove(repository.id, [id]);
    run.log('info', `Removed the snapshot ${id.slice(0, 8)} of ${time}.`);
  }
  await removeBlocks({
    ...options,
    removableBlocks,
    wal: preview.removeWal,
    done: preview.remove.length,
    total,
    signal,
  });
  run.report({ step: 'forget', filesDone: total, filesTotal: total, bytesDone: 0 });
  run.log(
    'info',
    `${preview.remove.length} removed, ${preview.keep.length} kept. Their space is given back by the next prune.`,
  );
  return { snapshotId: null, problems: [] };
}

/** After the snapshots: a base backup never stays without the log that it needs. */
async function removeBlocks(
  options: ForgetOptions & {
    readonly run: JobRun;
    readonly removableBlocks: ChainPlan['removableBlocks'];
    readonly wal: RetentionPreview['removeWal'];
    readonly done: number;
    readonly total: number;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const { repository, repositoryStore, clock, run, removableBlocks, wal, done, total, signal } = options;
  if (removableBlocks.length === 0) return;
  for (let from = 0; from < removableBlocks.length; from += blocksAtOnce) {
    run.report({ step: 'forget', filesDone: done + from, filesTotal: total, bytesDone: 0 });
    const ids = removableBlocks.slice(from, from + blocksAtOnce).map(({ snapshotId }) => snapshotId);
    await repository.removeSnapshots(ids, { signal });
    await repositoryStore.noteForgotten(repository.id, clock.now());
  }
  for (const { component, blocks, fromAt, toAt } of wal)
    run.log(
      'info',
      `Removed ${blocks} blocks of the write-ahead log of ${component}, ${fromAt ?? '?'} to ${toAt ?? '?'}.`,
    );
}

function stale(appId: string): AppError {
  return new AppError(
    'RETENTION_PLAN_STALE',
    `What the retention of ${appId} removes has changed since it was shown.`,
    {
      hint: 'Look at the preview again. Nothing was removed.',
      context: { appId },
    },
  );
}
