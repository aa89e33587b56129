// Previews and runs the retention of one app. The run takes the repository's exclusive lock, computes the preview again
// under it, and removes exactly what the user saw, or nothing.

import { AppError, type Clock, type Logger } from '@varve/base';
import type { App, RetentionPreview } from '@varve/contract';
import { lockRepository, type LockOwnerOptions, type Repository } from '@varve/repository';
import type { SnapshotStore } from '../apps/snapshot-store.ts';
import type { JobOutcome, JobRun } from '../jobs/job-run.ts';
import { syncSnapshots } from '../repositories/sync-snapshots.ts';
import { appTag } from '../snapshot/describe-snapshot.ts';
import { retentionPreview } from './retention.ts';

/** How long a forget waits for snapshots of other apps to end. */
const lockWaitMs = 15 * 60_000;

export interface ForgetOptions {
  readonly app: App;
  readonly repository: Repository;
  readonly snapshots: SnapshotStore;
  readonly lockOwner: LockOwnerOptions;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What would stay and go now, by what is in the repository. */
export async function previewForget(options: ForgetOptions & { signal?: AbortSignal }): Promise<RetentionPreview> {
  const { app, repository, snapshots, clock, logger, signal } = options;
  await syncSnapshots({ repository, snapshots, logger, signal });
  const described = new Map((await snapshots.list(app.id)).map((snapshot) => [snapshot.id, snapshot]));
  const stored = (await repository.listSnapshots({ signal })).filter(
    ({ tags }) => tags?.includes('varve') === true && tags.includes(appTag(app.id)),
  );
  return retentionPreview({
    repositoryId: repository.id,
    snapshots: stored.map((snapshot) => ({ stored: snapshot, described: described.get(snapshot.id) })),
    policy: app.policy.retention,
    now: clock.now(),
  });
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
  const preview = await previewForget({ ...options, signal });
  if (preview.fingerprint !== options.fingerprint) throw stale(options.app.id);
  const total = preview.remove.length;
  for (const [done, { id, time }] of preview.remove.entries()) {
    run.report({ step: 'forget', filesDone: done, filesTotal: total, bytesDone: 0, current: id });
    await repository.removeSnapshots([id], { signal });
    await snapshots.remove(repository.id, [id]);
    run.log('info', `Removed the snapshot ${id.slice(0, 8)} of ${time}.`);
  }
  run.report({ step: 'forget', filesDone: total, filesTotal: total, bytesDone: 0 });
  run.log('info', `${total} removed, ${preview.keep.length} kept. Their space is given back by the next prune.`);
  return { snapshotId: null, problems: [] };
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
