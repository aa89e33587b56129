// What dead runs left is repaired by whoever opens the catalogue next: their jobs end as interrupted, and what they had
// stopped is started again. Only runs whose process has ended are touched, and only one process repairs at a time. A
// journal line stays until its thing runs again, so everything here may fail and be repeated.

import { AppError, isAppError, messageOf, type Clock, type Logger } from '@varve/base';
import type { Catalogue } from '../catalogue/catalogue.ts';
import type { RestartContext, RestartStopped, StoppedRecord } from '../use-case.ts';
import { Claims } from './claims.ts';
import type { JobLog } from './job-log.ts';
import { describeError } from './job-run.ts';
import type { ActiveJob, JobStore } from './job-store.ts';
import { ownerState, type ProcessOwner } from './process-owner.ts';
import { leftStopped, stoppedJournal } from './stopped-journal.ts';

const claimName = 'recovery';
const claimMs = 5 * 60_000;

export interface RecoveryOptions {
  readonly catalogue: Catalogue;
  readonly jobs: JobStore;
  readonly log: JobLog;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly owner: ProcessOwner;
  readonly docker: RestartContext['docker'];
  readonly restartStopped: RestartStopped;
  /** Releases the repository's locks whose process is dead, and removes helper containers of these jobs. */
  readonly releaseLeftovers: (interrupted: readonly string[]) => Promise<void>;
}

export interface RecoveryReport {
  /** Jobs that were ended as interrupted. */
  readonly interrupted: readonly string[];
  readonly restarted: number;
  /** What could not be repaired yet. */
  readonly problems: readonly string[];
}

function isDead(active: ActiveJob, options: RecoveryOptions): boolean {
  const state = ownerState(active.owner, options.owner);
  if (state !== 'unknown') return state === 'dead';
  return active.leaseUntilMs < options.clock.now().getTime();
}

/** Ends the jobs of dead processes as JOB_INTERRUPTED; yields their ids. */
export async function endDeadJobs(options: RecoveryOptions): Promise<string[]> {
  const dead = (await options.jobs.active()).filter((active) => isDead(active, options));
  const ended: string[] = [];
  for (const { job, owner } of dead) {
    const error = new AppError(
      'JOB_INTERRUPTED',
      `The process that ran this ${job.type} (pid ${owner.pid}) ended before the ${job.type} did.`,
      { hint: 'What it had stopped is started again. Start the job again; a scheduled one is repeated by itself.' },
    );
    const isMine = await options.jobs.end(job.id, {
      state: 'failed',
      snapshotId: null,
      error: describeError(error),
      problems: [],
    });
    if (isMine) ended.push(job.id);
  }
  return ended;
}

/** Lines of ended jobs, by job, without those of apps that have a job right now: that job looks after its own. */
async function recordsToRestart(options: RecoveryOptions): Promise<Map<string, StoppedRecord[]>> {
  const busyApps = new Set((await options.jobs.active()).map(({ job }) => job.appId));
  const byJob = new Map<string, StoppedRecord[]>();
  for (const { jobId, record } of await leftStopped(options.catalogue)) {
    const { appId } = await options.jobs.get(jobId);
    if (appId !== null && busyApps.has(appId)) continue;
    byJob.set(jobId, [...(byJob.get(jobId) ?? []), record]);
  }
  return byJob;
}

async function restartOf(
  jobId: string,
  records: readonly StoppedRecord[],
  options: RecoveryOptions,
): Promise<string[]> {
  const { catalogue, clock, logger, log, docker } = options;
  const lines: Promise<void>[] = [];
  const problems = await options.restartStopped(
    {
      docker,
      logger,
      stopped: stoppedJournal({ catalogue, clock, jobId }),
      log: (level, message) => lines.push(log.add(jobId, level, message)),
    },
    records,
  );
  await Promise.all(lines);
  return problems.map(({ path, message }) => `${path}: ${message}`);
}

/**
 * Repairs what dead runs left. Idempotent; never throws for what could not be repaired: that is in the report. With
 * `onlyNew`, things that an earlier repair could not start are tried again only when there is something new to repair.
 */
export async function recover(
  options: RecoveryOptions,
  how: { readonly onlyNew?: boolean } = {},
): Promise<RecoveryReport> {
  const interrupted = await endDeadJobs(options);
  if (how.onlyNew && interrupted.length === 0) return { interrupted, restarted: 0, problems: [] };
  const waiting = await recordsToRestart(options);
  if (interrupted.length === 0 && waiting.size === 0) return { interrupted, restarted: 0, problems: [] };
  const claims = new Claims(options);
  if (!(await claims.take(claimName, claimMs))) return { interrupted, restarted: 0, problems: [] };
  const problems: string[] = [];
  let restarted = 0;
  try {
    // Read again: another process may have repaired some of it before the claim was ours.
    for (const [jobId, records] of await recordsToRestart(options)) {
      const failed = await restartOf(jobId, records, options);
      problems.push(...failed);
      restarted += records.length - failed.length;
    }
    if (interrupted.length > 0) await options.releaseLeftovers(interrupted);
  } catch (error) {
    problems.push(messageOf(error));
    if (!isAppError(error)) options.logger.error('repair of what dead runs left failed', { error: messageOf(error) });
  } finally {
    await claims.release(claimName);
  }
  for (const problem of problems)
    options.logger.error('something that a dead run left is not repaired yet', { problem });
  return { interrupted, restarted, problems };
}
