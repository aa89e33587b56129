// The check of the repository as a job: beside running snapshots, but not while something is removed.

import { AppError, type Clock, type Logger } from '@varve/base';
import type { CheckScope, JobResult } from '@varve/contract';
import {
  checkRepository,
  lockRepository,
  type CheckOptions,
  type CheckReport,
  type LockOwnerOptions,
  type Repository,
} from '@varve/repository';
import type { JobOutcome, JobRun } from '../jobs/job-run.ts';

const lockWaitMs = 15 * 60_000;
const loggedFindings = 100;
/** Affected files that are kept with the job. */
const keptAffected = 1000;
/** Affected files that the error names, and with it the alert. */
const namedAffected = 3;

/**
 * Errors fail the job with REPOSITORY_DAMAGED, which names the first files that damage has reached; its result lists them.
 * Warnings do not: they are what an interrupted run leaves (packs that no index names), which the next prune removes. Both are
 * in the job's log.
 */
export async function runCheck(options: {
  readonly repository: Repository;
  readonly scope: CheckScope;
  readonly run: JobRun;
  readonly lockOwner: LockOwnerOptions;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<JobOutcome> {
  const { repository, scope, run, clock, logger } = options;
  const step = scope.data === 'none' ? 'check' : 'check-data';
  run.report({ step: 'lock', filesDone: 0, bytesDone: 0 });
  await using lock = await lockRepository(repository, {
    ...options.lockOwner,
    exclusive: false,
    waitMs: lockWaitMs,
    signal: run.signal,
    clock,
    logger,
  });
  const report = await checkRepository(repository, {
    ...dataToRead(scope),
    clock,
    signal: AbortSignal.any([run.signal, lock.signal]),
    onProgress: (progress) => run.report({ step, ...progress }),
  });
  run.setResult(resultOf(report, scope));
  logReport(report, run);
  if (report.errorCount > 0) throw damaged(report);
  return { snapshotId: null, problems: [] };
}

function dataToRead(scope: CheckScope): Pick<CheckOptions, 'readData' | 'readDataSubset'> {
  if (scope.data === 'part') return { readDataSubset: { kind: 'part', part: scope.part, parts: scope.parts } };
  return { readData: scope.data === 'all' };
}

function resultOf(report: CheckReport, scope: CheckScope): JobResult {
  const { snapshots, packs, bytesRead, errorCount, warningCount, affectedCount, affected } = report;
  return {
    type: 'check',
    scope,
    snapshots,
    packs,
    bytesRead,
    errors: errorCount,
    warnings: warningCount,
    affectedCount,
    affected: affected.slice(0, keptAffected),
  };
}

function logReport(report: CheckReport, run: JobRun): void {
  for (const { message } of report.errors.slice(0, loggedFindings)) run.log('error', message);
  for (const { message } of report.warnings.slice(0, loggedFindings)) run.log('warning', message);
  for (const { snapshotId, path, reason } of report.affected.slice(0, loggedFindings))
    run.log('error', `Affected: ${path} of snapshot ${snapshotId.slice(0, 8)}: ${reason}`);
  if (report.affectedCount > loggedFindings)
    run.log('error', `Affected are ${report.affectedCount} files and folders in all; varve repo check lists them.`);
  run.log('info', `Checked ${report.snapshots} snapshots, ${report.packs} packs and ${report.blobs} blobs.`);
}

function damaged(report: CheckReport): AppError {
  const { errorCount, affected, affectedCount } = report;
  const errors = errorCount === 1 ? '1 error' : `${errorCount} errors`;
  const paths = [...new Set(affected.map(({ path }) => path))].slice(0, namedAffected);
  const files = affectedCount === 1 ? '1 file or folder' : `${affectedCount} files and folders`;
  const reached =
    affectedCount === 0 ? 'No file of a snapshot is affected.' : `Affected: ${files}, among them ${paths.join(', ')}.`;
  return new AppError('REPOSITORY_DAMAGED', `The check found ${errors} in the repository. ${reached}`, {
    hint: 'The job lists what damage has reached. Copy the repository, look at the disk or server that holds it, then see the repairs of varve repo.',
    context: { errors: errorCount, affected: affectedCount },
  });
}
