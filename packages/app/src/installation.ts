// Opens everything that an installation consists of, in order, and closes it in the opposite order: data directory, key,
// catalogue, stores, repositories, jobs. The facade and the background work are built on these parts.

import { hostname } from 'node:os';
import {
  AppError,
  isAppError,
  messageOf,
  silentLogger,
  systemClock,
  throwIfAborted,
  type Clock,
  type Logger,
} from '@varve/base';
import type { App, Job, WalCapture } from '@varve/contract';
import { removeDeadLocks, type LockOwnerOptions } from '@varve/repository';
import { AlertMonitor } from './alerts/alert-monitor.ts';
import { AlertStore } from './alerts/alert-store.ts';
import { AppStore } from './apps/app-store.ts';
import { SnapshotStore } from './apps/snapshot-store.ts';
import { openCatalogue, type Catalogue } from './catalogue/catalogue.ts';
import { prepareDataDirectory, type DataPaths } from './data-directory.ts';
import { DockerConnection } from './docker-connection.ts';
import type { OpenVarveOptions } from './facade.ts';
import { loadInstallationId, lockOwnerOf, RunningProcess } from './installation-identity.ts';
import { Claims } from './jobs/claims.ts';
import { ChangeFeed } from './jobs/change-feed.ts';
import { JobEngine } from './jobs/job-engine.ts';
import { JobLog } from './jobs/job-log.ts';
import { JobStore } from './jobs/job-store.ts';
import { currentOwner } from './jobs/process-owner.ts';
import { recover, type RecoveryOptions, type RecoveryReport } from './jobs/recovery.ts';
import { restartStopped } from './quiesce/restart-stopped.ts';
import { RecoveryRecords } from './recovery/recovery-records.ts';
import { removeLeftoverRecoveries } from './recovery/sandboxes.ts';
import { Repositories } from './repositories/repositories.ts';
import { RepositoryPool } from './repositories/repository-pool.ts';
import { RepositoryStore } from './repositories/repository-store.ts';
import { StorageTester } from './repositories/test-storage.ts';
import { loadSecretKey } from './secrets/secret-key.ts';
import { openSecretStore, type SecretStore } from './secrets/secret-store.ts';
import { SettingsStore } from './settings/settings-store.ts';
import { CaptureStore } from './wal-capture/capture-store.ts';
import { AppTimelines } from './timeline/app-timelines.ts';
import { FactStore } from './timeline/fact-store.ts';
import { TimelineFacts } from './timeline/timeline-facts.ts';
import { listCaptures } from './wal-capture/list-captures.ts';

export interface Installation extends AsyncDisposable {
  readonly paths: DataPaths;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly hostName: string;
  readonly installationId: string;
  /** For every lock that is taken in a repository. */
  readonly lockOwner: LockOwnerOptions;
  readonly docker: DockerConnection;
  readonly catalogue: Catalogue;
  readonly secrets: SecretStore;
  readonly settings: SettingsStore;
  readonly apps: AppStore;
  readonly snapshots: SnapshotStore;
  readonly jobs: JobStore;
  readonly claims: Claims;
  readonly captures: CaptureStore;
  /** How the captures of apps stand. */
  readonly listCaptures: (apps: readonly App[]) => Promise<WalCapture[]>;
  readonly log: JobLog;
  readonly feed: ChangeFeed;
  readonly engine: JobEngine;
  readonly alerts: AlertStore;
  readonly monitor: AlertMonitor;
  readonly repositoryStore: RepositoryStore;
  readonly pool: RepositoryPool;
  readonly repositories: Repositories;
  readonly tester: StorageTester;
  readonly recoveries: RecoveryRecords;
  readonly timelineFacts: TimelineFacts;
  readonly timelines: AppTimelines;
  /** Repairs what dead runs left; see jobs/recovery.ts. */
  readonly recover: (how?: { readonly onlyNew?: boolean }) => Promise<RecoveryReport>;
  /** Sets what is called after each job of this process ended. */
  onJobEnded: (job: Job) => void;
}

/** Opens the parts. Starts nothing in the background and repairs nothing yet. */
export async function openInstallation(options: OpenVarveOptions): Promise<Installation> {
  const clock = options.clock ?? systemClock;
  const logger = options.logger ?? silentLogger;
  throwIfAborted(options.signal);
  const paths = await prepareDataDirectory(options.dataDirectory);
  await using opened = new AsyncDisposableStack();
  // First, so that it goes last: while any lock of this process may be there, it is known to run.
  const running = opened.use(await RunningProcess.announce(paths.running));
  const secrets = await openSecretStore(paths.secrets, await loadSecretKey(paths.secretKey));
  const catalogue = opened.use(openCatalogue(paths.catalogue));
  const settings = new SettingsStore({ catalogue, secrets });
  const hostName = await settings.hostName(options.hostName ?? hostname());
  const installationId = await loadInstallationId(paths.installationId);
  const lockOwner = lockOwnerOf({ id: installationId, hostName, running });
  const apps = new AppStore(catalogue);
  const shared = { catalogue, clock };
  const snapshots = new SnapshotStore(shared);
  const jobs = new JobStore(shared);
  const log = new JobLog(shared);
  const alerts = new AlertStore(shared);
  const docker = new DockerConnection(options.dockerHost);
  const repositoryStore = new RepositoryStore({ catalogue, secrets, clock });
  const pool = opened.use(new RepositoryPool({ store: repositoryStore, logger, clock, cacheFolder: paths.cache }));
  const repositories = new Repositories({
    store: repositoryStore,
    pool,
    clock,
    hostName,
    defaultLocation: paths.repository,
  });
  const recoveries = new RecoveryRecords(paths.recoveries);
  const timelineFacts = opened.use(new TimelineFacts({ store: new FactStore(catalogue), clock, logger }));
  const feed = new ChangeFeed({ catalogue, jobs, log });
  opened.defer(() => feed.close());
  const recovery: RecoveryOptions = {
    ...shared,
    jobs,
    log,
    logger,
    owner: currentOwner(),
    docker: () => docker.get(),
    restartStopped,
    releaseLeftovers: (interrupted) =>
      releaseLeftovers(interrupted, { repositoryStore, pool, docker, clock, lockOwner, recoveries, jobs }),
  };
  const engine = new JobEngine({
    ...shared,
    jobs,
    log,
    logger,
    owner: recovery.owner,
    endDeadJobs: async () => void (await recover(recovery, { onlyNew: true })),
    onEnded: (job) => installation.onJobEnded(job),
  });
  opened.defer(() => engine.shutdown());
  const claims = new Claims({ ...shared, owner: recovery.owner });
  const captures = new CaptureStore(shared);
  const listAll: Installation['listCaptures'] = (asked) =>
    listCaptures({ apps: asked, store: captures, claims, installationId, clock });
  const parts = opened.move();
  const installation: Installation = {
    paths,
    clock,
    logger,
    hostName,
    installationId,
    lockOwner,
    docker,
    catalogue,
    secrets,
    settings,
    apps,
    snapshots,
    jobs,
    claims,
    captures,
    listCaptures: listAll,
    log,
    feed,
    engine,
    alerts,
    monitor: new AlertMonitor({
      apps,
      snapshots,
      jobs,
      alerts,
      settings,
      clock,
      logger,
      hostName,
      listCaptures: listAll,
    }),
    repositoryStore,
    pool,
    repositories,
    tester: new StorageTester(clock),
    recoveries,
    timelineFacts,
    timelines: new AppTimelines({ facts: timelineFacts, snapshots }),
    recover: (how) => recover(recovery, how),
    onJobEnded: () => {},
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
  return installation;
}

/** Locks in the repository whose process is dead, helper containers and recoveries of interrupted jobs. All are tried. */
async function releaseLeftovers(
  interrupted: readonly string[],
  parts: Pick<Installation, 'repositoryStore' | 'pool' | 'docker' | 'clock' | 'lockOwner' | 'recoveries' | 'jobs'>,
): Promise<void> {
  const unlock = async (): Promise<void> => {
    const row = await parts.repositoryStore.current();
    if (row) await removeDeadLocks(await parts.pool.get(row.id), { ...parts.lockOwner, clock: parts.clock });
  };
  const removeHelpers = async (): Promise<void> => {
    const engine = await parts.docker.get();
    await engine.removeLeftoverHelpers({ runs: interrupted });
  };
  const removeRecoveries = async (): Promise<void> => {
    const active = new Set((await parts.jobs.active()).map(({ job }) => job.id));
    const problems = await removeLeftoverRecoveries(parts.recoveries, (id) => active.has(id), {
      docker: () => parts.docker.get(),
    });
    if (problems.length > 0) throw new AppError('RECOVERY_FAILED', problems.join('; '));
  };
  const results = await Promise.allSettled([unlock(), removeHelpers(), removeRecoveries()]);
  const failures = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  // A host without Docker has no helper containers.
  const real = failures.filter((failure) => !isAppError(failure, 'DOCKER_UNREACHABLE'));
  if (real.length > 0) throw new AppError('INTERNAL', real.map(messageOf).join('; '), { cause: real[0] });
}
