// The check of the repository as a job: beside running snapshots, but not while something is removed.

import { AppError, type Clock, type Logger } from '@varve/base';
import { checkRepository, lockRepository, type Repository } from '@varve/repository';
import type { JobOutcome, JobRun } from '../jobs/job-run.ts';

const lockWaitMs = 15 * 60_000;
const loggedFindings = 100;

/**
 * Errors fail the job with REPOSITORY_DAMAGED. Warnings do not: they are what an interrupted run leaves (packs that no index
 * names), which the next prune removes. Both are in the job's log.
 */
export async function runCheck(options: {
  readonly repository: Repository;
  readonly readData: boolean;
  readonly run: JobRun;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<JobOutcome> {
  const { repository, readData, run, clock, logger } = options;
  const step = readData ? 'check-data' : 'check';
  run.report({ step: 'lock', filesDone: 0, bytesDone: 0 });
  await using lock = await lockRepository(repository, {
    exclusive: false,
    waitMs: lockWaitMs,
    signal: run.signal,
    clock,
    logger,
  });
  const report = await checkRepository(repository, {
    readData,
    signal: AbortSignal.any([run.signal, lock.signal]),
    onProgress: (progress) => run.report({ step, ...progress }),
  });
  for (const { message } of report.errors.slice(0, loggedFindings)) run.log('error', message);
  for (const { message } of report.warnings.slice(0, loggedFindings)) run.log('warning', message);
  for (const { snapshotId, path, reason } of report.affected.slice(0, loggedFindings))
    run.log('error', `Affected: ${path} of snapshot ${snapshotId.slice(0, 8)}: ${reason}`);
  if (report.affectedCount > loggedFindings)
    run.log('error', `Affected are ${report.affectedCount} files and folders in all; varve repo check lists them.`);
  run.log('info', `Checked ${report.snapshots} snapshots, ${report.packs} packs and ${report.blobs} blobs.`);
  if (report.errorCount > 0) {
    throw new AppError('REPOSITORY_DAMAGED', `The check found ${report.errorCount} errors in the repository.`, {
      hint: 'The log of the job names them, and the files that they have reached. Copy the repository, look at the disk or server that holds it, then see the repairs of varve repo.',
      context: { errors: report.errorCount },
    });
  }
  return { snapshotId: null, problems: [] };
}
