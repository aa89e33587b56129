// Turns wishes into jobs: each start function adds a job whose work is a use case, gives it its context, and writes down
// what came out.

import { AppError } from '@varve/base';
import type {
  App,
  CheckScope,
  Job,
  JobType,
  Manifest,
  NewSnapshot,
  PrunePreview,
  RecoveryPlan,
  RecoveryRequest,
  RecoveryRun,
  VerifyRequest,
  RestorePlan,
  RestoreRequest,
  RestoreRun,
  SnapshotKind,
} from '@varve/contract';
import type { Repository } from '@varve/repository';
import type { Installation } from './installation.ts';
import type { JobOutcome, JobRun } from './jobs/job-run.ts';
import { runCheck } from './repositories/check-job.ts';
import { previewPrune, runPruneJob, type PruneOptions } from './repositories/prune-job.ts';
import { planRecovery } from './recovery/plan-recovery.ts';
import { recoveryResult, runRecovery } from './recovery/run-recovery.ts';
import { runVerify } from './verify/run-verify.ts';
import { planRestore } from './restore/plan-restore.ts';
import { runRestore } from './restore/run-restore.ts';
import { previewForget, runForget, type ForgetOptions } from './retention/forget.ts';
import { readManifest } from './snapshot/describe-snapshot.ts';
import { takeSnapshot } from './snapshot/take-snapshot.ts';
import type { RunContext, StoppedJournal, TakenSnapshot, TakeSnapshotInput } from './use-case.ts';
import { varveVersion } from './version.ts';

/** Who asks for what is done by schedule. */
export const scheduleRequester = 'schedule';

/** Looking must not stop anything, so there is nothing to note. */
const noJournal: StoppedJournal = {
  record: () => Promise.reject(new AppError('INTERNAL', 'Something was about to be stopped while planning.')),
  clear: () => Promise.resolve(),
};

export class UseCaseRuns {
  readonly #parts: Installation;

  constructor(parts: Installation) {
    this.#parts = parts;
  }

  #context(
    run: Pick<JobRun, 'signal' | 'report' | 'log' | 'stopped'> & { readonly job: { readonly id: string } },
  ): RunContext {
    const { clock, docker, pool, secrets, hostName, lockOwner, logger } = this.#parts;
    return {
      runId: run.job.id,
      signal: run.signal,
      clock,
      logger,
      docker: () => docker.get(),
      openRepository: (id) => pool.get(id),
      secrets,
      lockOwner,
      report: run.report,
      log: run.log,
      stopped: run.stopped,
      hostName,
      version: varveVersion,
    };
  }

  #start(
    job: { readonly type: JobType; readonly appId: string | null; readonly requestedBy: string },
    work: (run: JobRun) => Promise<JobOutcome>,
  ): Promise<Job> {
    return this.#parts.engine.start(job, work);
  }

  /** Takes a snapshot inside a running job and remembers it. */
  async #take(run: JobRun, input: TakeSnapshotInput): Promise<TakenSnapshot> {
    const taken = await takeSnapshot(this.#context(run), input);
    await this.#parts.snapshots.add(input.app.repositoryId, [taken.snapshot]);
    return taken;
  }

  async snapshot(
    appId: string,
    input: Omit<NewSnapshot, 'kind'> & { readonly kind: SnapshotKind },
    requestedBy: string,
  ): Promise<Job> {
    await this.#parts.apps.get(appId);
    return this.#start({ type: 'snapshot', appId, requestedBy }, async (run) => {
      // Read now, not when the job was asked for: the policy may have changed while it waited.
      const app = await this.#parts.apps.get(appId);
      const { snapshot, problems } = await this.#take(run, { app, ...input });
      return { snapshotId: snapshot.id, problems };
    });
  }

  /** The manifest of a snapshot in a repository. */
  async manifest(repository: Repository, snapshotId: string): Promise<Manifest> {
    const snapshot = await repository.findSnapshot(snapshotId);
    await repository.loadIndex();
    return readManifest(repository, snapshot);
  }

  async #restoreInput(app: App, request: RestoreRequest) {
    const { pool } = this.#parts;
    const repository = await pool.get(app.repositoryId);
    const snapshotId = request.snapshotId;
    const manifest = await this.manifest(repository, snapshotId);
    if (manifest.app.id !== app.id) {
      throw new AppError(
        'SNAPSHOT_NOT_FOUND',
        `The snapshot ${snapshotId.slice(0, 8)} is of another app: ${manifest.app.id}.`,
        {
          context: { appId: app.id, snapshotId },
        },
      );
    }
    return {
      app,
      snapshotId,
      manifest,
      components: request.components,
      safetySnapshot: request.safetySnapshot,
    };
  }

  async planRestore(appId: string, request: RestoreRequest, signal: AbortSignal): Promise<RestorePlan> {
    const app = await this.#parts.apps.get(appId);
    const looking = { job: { id: 'plan' }, signal, report: () => {}, log: () => {}, stopped: noJournal };
    return planRestore(this.#context(looking), await this.#restoreInput(app, request));
  }

  async restore(appId: string, request: RestoreRun, requestedBy: string): Promise<Job> {
    const { apps, pool } = this.#parts;
    const asked = await apps.get(appId);
    await (await pool.get(asked.repositoryId)).findSnapshot(request.snapshotId);
    return this.#start({ type: 'restore', appId, requestedBy }, async (run) => {
      const app = await apps.get(appId);
      const input = await this.#restoreInput(app, request);
      const { problems } = await runRestore(this.#context(run), {
        ...input,
        fingerprint: request.fingerprint,
        recoveries: this.#parts.recoveries,
        takeSafetySnapshot: async () => {
          const name = `Before restoring ${input.snapshotId.slice(0, 8)}`;
          const { snapshot } = await this.#take(run, { app, kind: 'pre-restore', name });
          return { snapshotId: snapshot.id };
        },
      });
      return { snapshotId: input.snapshotId, problems };
    });
  }

  async planRecovery(appId: string, request: RecoveryRequest, signal: AbortSignal): Promise<RecoveryPlan> {
    const app = await this.#parts.apps.get(appId);
    const looking = { job: { id: 'plan' }, signal, report: () => {}, log: () => {}, stopped: noJournal };
    return planRecovery(this.#context(looking), { app, request });
  }

  async recover(appId: string, { fingerprint, ...request }: RecoveryRun, requestedBy: string): Promise<Job> {
    const { apps, recoveries } = this.#parts;
    await apps.get(appId);
    return this.#start({ type: 'recovery', appId, requestedBy }, async (run) => {
      const app = await apps.get(appId);
      const recovered = await runRecovery(this.#context(run), {
        app,
        request,
        fingerprint,
        records: recoveries,
        takeSafetySnapshot: async () => {
          const name = 'Before a recovery to a point in time';
          const { snapshot } = await this.#take(run, { app, kind: 'pre-restore', name });
          return { snapshotId: snapshot.id };
        },
      });
      run.setResult(recoveryResult(recovered));
      return { snapshotId: recovered.plan.base.snapshotId, problems: recovered.problems };
    });
  }

  async verify(appId: string, request: VerifyRequest, requestedBy: string): Promise<Job> {
    const { apps, recoveries } = this.#parts;
    await apps.get(appId);
    return this.#start({ type: 'verify', appId, requestedBy }, async (run) => {
      const app = await apps.get(appId);
      const { baseSnapshotId } = await runVerify(this.#context(run), {
        app,
        request,
        records: recoveries,
        onResult: run.setResult,
      });
      return { snapshotId: baseSnapshotId, problems: [] };
    });
  }

  async #forgetOptions(appId: string): Promise<ForgetOptions> {
    const { apps, pool, snapshots, timelineFacts, repositoryStore, lockOwner, clock, logger } = this.#parts;
    const app = await apps.get(appId);
    const repository = await pool.get(app.repositoryId);
    return { app, repository, snapshots, timelineFacts, repositoryStore, lockOwner, clock, logger };
  }

  async previewRetention(appId: string) {
    return previewForget(await this.#forgetOptions(appId));
  }

  async forget(appId: string, fingerprint: string, requestedBy: string): Promise<Job> {
    await this.#parts.apps.get(appId);
    return this.#start({ type: 'forget', appId, requestedBy }, async (run) =>
      runForget({ ...(await this.#forgetOptions(appId)), run, fingerprint }),
    );
  }

  /**
   * Removes by schedule what retention does not keep; no job when there is nothing to remove, and none while the repository
   * is being checked or pruned: it would wait for that and in the end fail. The next snapshot asks again.
   */
  async applyRetention(appId: string): Promise<void> {
    if ((await this.#parts.jobs.active()).some(({ job }) => job.appId === null)) return;
    const preview = await this.previewRetention(appId);
    if (preview.remove.length + preview.removeWal.length > 0)
      await this.forget(appId, preview.fingerprint, scheduleRequester);
  }

  async check(scope: CheckScope, requestedBy: string): Promise<Job> {
    const { repositoryStore, pool, lockOwner, clock, logger } = this.#parts;
    const row = await repositoryStore.require();
    return this.#start({ type: 'check', appId: null, requestedBy }, async (run) => {
      const outcome = await runCheck({ repository: await pool.get(row.id), scope, run, lockOwner, clock, logger });
      if (scope.data === 'part') await repositoryStore.noteDataChecked(row.id);
      return outcome;
    });
  }

  async #pruneOptions(repositoryId: string): Promise<PruneOptions> {
    const { pool, lockOwner, clock, logger } = this.#parts;
    return { repository: await pool.get(repositoryId), lockOwner, clock, logger };
  }

  async previewPrune(signal: AbortSignal): Promise<PrunePreview> {
    const { id } = await this.#parts.repositoryStore.require();
    return previewPrune({ ...(await this.#pruneOptions(id)), signal });
  }

  async prune(requestedBy: string): Promise<Job> {
    const { repositoryStore, clock } = this.#parts;
    const { id } = await repositoryStore.require();
    return this.#start({ type: 'prune', appId: null, requestedBy }, async (run) => {
      const startedAt = clock.now();
      const outcome = await runPruneJob({ ...(await this.#pruneOptions(id)), run });
      if (outcome.problems.length === 0) await repositoryStore.notePruned(id, startedAt);
      return outcome;
    });
  }
}
