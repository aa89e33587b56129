// The facade: each method is a few lines over the parts of the installation. Opening repairs what dead runs left; with
// `runInBackground` schedules, alerts and clean-up run until it is disposed.

import type { DatabaseSync } from 'node:sqlite';
import { randomBytes } from 'node:crypto';
import { AppError, Secret, cancelledError, isAppError, messageOf, sleep } from '@varve/base';
import {
  appSchema,
  type App,
  type AppOverview,
  type DatabaseChange,
  type Job,
  type NewApp,
  type Policy,
  type StorageCheck,
} from '@varve/contract';
import { testLetter } from './alerts/alert-texts.ts';
import { sendLetter } from './alerts/mailer.ts';
import { changeDatabase } from './apps/change-database.ts';
import { protectionOf } from './apps/protection.ts';
import { openSqlite } from './catalogue/catalogue.ts';
import { discoverApps } from './discovery/discover-apps.ts';
import { planNewApp } from './discovery/plan-new-app.ts';
import { refuseWrongPasswords } from './discovery/refuse-wrong-passwords.ts';
import { runDoctor } from './doctor/doctor.ts';
import type { Discovery, OpenVarveOptions, TestStorage, Varve, WaitForJob } from './facade.ts';
import { startBackground } from './background.ts';
import { openInstallation, type Installation } from './installation.ts';
import { describeError } from './jobs/job-run.ts';
import { activeStates } from './jobs/job-store.ts';
import { rebuild } from './repositories/rebuild.ts';
import { syncSnapshots } from './repositories/sync-snapshots.ts';
import { assertCronRule } from './schedule/cron.ts';
import { MaintenanceScheduler } from './schedule/maintenance.ts';
import { Scheduler } from './schedule/scheduler.ts';
import { assertUsable } from './settings/settings-store.ts';
import { listFolder, openDownload } from './snapshot/browse-snapshot.ts';
import { capturedDatabase, createPoint, isStored, refuseTakenName } from './timeline/create-point.ts';
import { promoteSandbox, removeSandbox, sandboxOf, type SandboxContext } from './recovery/sandboxes.ts';
import { scheduleRequester, UseCaseRuns } from './use-case-runs.ts';
import { varveVersion } from './version.ts';
import { capturedDatabases } from './wal-capture/captured-databases.ts';
import { refuseUncapturable } from './wal-capture/refuse-uncapturable.ts';
import { SlotKeeper } from './wal-capture/slot-keeper.ts';
import { appWalSettings, turnCapture } from './wal-capture/turn-capture.ts';

const defaultJobLimit = 50;
const maxJobLimit = 500;
/** How often a point that is waited for is looked for in the repository. */
const pointPollMs = 1000;
/** A command that removes an app waits so long for the servers of its databases. */
const slotDropMs = 15_000;

/** Opens an installation; see {@link Varve}. CATALOGUE_UNUSABLE when its data directory cannot be used. */
export async function openVarve(options: OpenVarveOptions): Promise<Varve> {
  await using opened = new AsyncDisposableStack();
  const parts = opened.use(await openInstallation(options));
  const runs = new UseCaseRuns(parts);
  const startSnapshot = (appId: string): Promise<Job> => runs.snapshot(appId, { kind: 'scheduled' }, scheduleRequester);
  const scheduler = new Scheduler({
    ...parts,
    startSnapshot,
    applyRetention: (appId) => runs.applyRetention(appId),
  });
  const maintenance = new MaintenanceScheduler({
    ...parts,
    startPrune: () => runs.prune(scheduleRequester),
    startCheck: (scope) => runs.check(scope, scheduleRequester),
  });
  if (parts.catalogue.isNew) await fillNewCatalogue(parts);
  await parts.recover();
  if (options.runInBackground) opened.use(startBackground({ parts, scheduler, maintenance, startSnapshot }));
  return new OpenVarve({
    parts,
    runs,
    scheduler,
    maintenance,
    isBackground: options.runInBackground ?? false,
    owned: opened.move(),
  });
}

/** A catalogue that was lost is filled from the repository whose sealed access is still there. */
async function fillNewCatalogue(parts: Installation): Promise<void> {
  if ((await parts.repositoryStore.restoreFromSecrets()) === 0) return;
  try {
    const found = await rebuild(parts);
    parts.logger.warn('the catalogue was missing and was rebuilt from the repository', found);
  } catch (error) {
    parts.logger.error('the catalogue was missing and could not be rebuilt yet', { error: messageOf(error) });
  }
}

interface OpenParts {
  readonly parts: Installation;
  readonly runs: UseCaseRuns;
  readonly scheduler: Scheduler;
  readonly maintenance: MaintenanceScheduler;
  readonly isBackground: boolean;
  readonly owned: AsyncDisposableStack;
}

class OpenVarve implements Varve {
  readonly version = varveVersion;
  readonly #parts: Installation;
  readonly #runs: UseCaseRuns;
  readonly #scheduler: Scheduler;
  readonly #maintenance: MaintenanceScheduler;
  readonly #isBackground: boolean;
  readonly #owned: AsyncDisposableStack;

  constructor(open: OpenParts) {
    this.#parts = open.parts;
    this.#runs = open.runs;
    this.#scheduler = open.scheduler;
    this.#maintenance = open.maintenance;
    this.#isBackground = open.isBackground;
    this.#owned = open.owned;
  }

  get dataDirectory(): string {
    return this.#parts.paths.directory;
  }

  get hostName(): string {
    return this.#parts.hostName;
  }

  async discoverApps(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<Discovery> {
    try {
      const docker = await this.#parts.docker.get();
      const apps = await discoverApps({ docker, apps: await this.#parts.apps.list(), signal: options.signal });
      return { apps, dockerProblem: null };
    } catch (error) {
      if (!isAppError(error) || !error.code.startsWith('DOCKER_')) throw error;
      return { apps: [], dockerProblem: describeError(error) };
    }
  }

  async addApp(input: NewApp): Promise<App> {
    const { apps, clock, repositories, secrets } = this.#parts;
    assertCronRule(input.policy.schedule, clock.now());
    const discovered =
      input.type === 'docker'
        ? await discoverApps({ docker: await this.#parts.docker.get(), apps: await apps.list() })
        : [];
    const planned = await planNewApp({ input, discovered });
    if (await apps.find(planned.id)) {
      throw new AppError('APP_EXISTS', `There is an app ${planned.id} already.`, {
        hint: 'Give another id, or remove that app first; its snapshots stay.',
        context: { appId: planned.id },
      });
    }
    await refuseWrongPasswords(planned);
    await refuseUncapturable({
      app: planned,
      components: capturedDatabases(planned).map(({ component }) => component),
      secrets: { get: async (name) => planned.secrets.find((secret) => secret.name === name)?.value },
      docker: () => this.#parts.docker.get(),
      mayBeAway: true,
    });
    const { id: repositoryId } = await repositories.ensure();
    for (const { name, value } of planned.secrets) await secrets.set(name, value);
    const { secrets: _, ...facts } = planned;
    const app = appSchema.parse({ ...facts, policy: input.policy, repositoryId, createdAt: clock.now().toISOString() });
    await apps.add(app);
    return app;
  }

  async listApps(): Promise<AppOverview[]> {
    const apps = await this.#parts.apps.list();
    return Promise.all(apps.map((app) => this.#overview(app)));
  }

  async getApp(appId: string): Promise<AppOverview> {
    return this.#overview(await this.#parts.apps.get(appId));
  }

  async #overview(app: App): Promise<AppOverview> {
    const { snapshots, jobs, clock } = this.#parts;
    const facts = await snapshots.facts(app.id);
    const protection = protectionOf({
      app,
      snapshots: facts,
      lastSnapshotJob: await jobs.newestEnded(app.id, 'snapshot'),
      nextRunAt: await this.#scheduler.nextRunAt(app),
      runningJobId: await jobs.activeOf(app.id),
      now: clock.now(),
    });
    return { app, protection, bytes: facts.newest?.bytes ?? null };
  }

  async removeApp(appId: string): Promise<void> {
    const { apps, secrets, clock, captures } = this.#parts;
    const app = await apps.get(appId);
    await apps.remove(appId, clock.now());
    const slots = await captures.slots();
    for (const component of app.components) {
      if (component.kind !== 'database' || component.source.type !== 'url') continue;
      const hasSlot = slots.some((slot) => slot.app.id === appId && slot.component === component.name);
      // Wanted until the slot is dropped, which then takes it along.
      if (!hasSlot) await secrets.remove(component.source.urlSecret);
    }
    await this.#dropSlots();
  }

  /** In the background it is done anyway; what does not succeed now is done by the next server. */
  async #dropSlots(): Promise<void> {
    if (this.#isBackground) return;
    const keeper = new SlotKeeper({ ...this.#parts, folder: this.#parts.paths.wal });
    await keeper.turn(AbortSignal.timeout(slotDropMs));
  }

  async updatePolicy(appId: string, policy: Policy): Promise<App> {
    const { apps, clock } = this.#parts;
    assertCronRule(policy.schedule, clock.now());
    const app = { ...(await apps.get(appId)), policy };
    await apps.update(app);
    return app;
  }

  async updateDatabase(appId: string, component: string, change: DatabaseChange): Promise<App> {
    const { apps } = this.#parts;
    const app = changeDatabase(await apps.get(appId), component, change);
    await apps.update(app);
    return app;
  }

  async listSnapshots(appId: string) {
    await this.#parts.apps.get(appId);
    return this.#parts.snapshots.list(appId);
  }

  async getSnapshot(appId: string, name: string) {
    const { pool, snapshots } = this.#parts;
    const app = await this.#parts.apps.get(appId);
    const snapshot = await snapshots.find(appId, name);
    return { snapshot, manifest: await this.#runs.manifest(await pool.get(app.repositoryId), snapshot.id) };
  }

  setWalCapture: Varve['setWalCapture'] = async (appId, change) => {
    const app = await turnCapture(this.#parts, appId, change);
    if (!change.enabled || change.archive !== undefined) await this.#dropSlots();
    return app;
  };

  walSettings: Varve['walSettings'] = (appId, options = {}) => appWalSettings(this.#parts, appId, options);

  async listWalCaptures(appId?: string) {
    const { apps, listCaptures } = this.#parts;
    return listCaptures(appId === undefined ? await apps.list() : [await apps.get(appId)]);
  }

  listSnapshotFolder: Varve['listSnapshotFolder'] = async (appId, name, request = {}) =>
    listFolder({ ...(await this.#browsing(appId, name, request.signal)), request });

  openDownload: Varve['openDownload'] = async (appId, name, request) => {
    const { lockOwner, clock, logger } = this.#parts;
    return openDownload({ ...(await this.#browsing(appId, name, request.signal)), request, lockOwner, clock, logger });
  };

  async #browsing(appId: string, name: string, signal = new AbortController().signal) {
    const { apps, pool, snapshots } = this.#parts;
    const { repositoryId } = await apps.get(appId);
    return { snapshot: await snapshots.find(appId, name), repository: await pool.get(repositoryId), signal };
  }

  startSnapshot: Varve['startSnapshot'] = (appId, input, requestedBy) => this.#runs.snapshot(appId, input, requestedBy);

  timeline: Varve['timeline'] = async (appId, request = {}) => {
    const { apps, pool, timelines } = this.#parts;
    const app = await apps.get(appId);
    return timelines.read(app, await pool.get(app.repositoryId), request);
  };

  createRestorePoint: Varve['createRestorePoint'] = async (appId, point, { signal } = {}) => {
    const { apps, docker, secrets } = this.#parts;
    const app = await apps.get(appId);
    const component = capturedDatabase(app, point.component);
    refuseTakenName(await this.timeline(appId, { signal }), { component: component.name, name: point.name });
    const context = { docker: () => docker.get(), secrets, signal: signal ?? new AbortController().signal };
    return createPoint(context, { app, component, name: point.name });
  };

  waitForRestorePoint: Varve['waitForRestorePoint'] = async (appId, point, { signal }) => {
    while (!isStored(await this.timeline(appId, { fresh: true, signal }), point)) await sleep(pointPollMs, { signal });
  };

  planRestore: Varve['planRestore'] = (appId, request) =>
    this.#runs.planRestore(appId, request, new AbortController().signal);

  startRestore: Varve['startRestore'] = (appId, run, requestedBy) => this.#runs.restore(appId, run, requestedBy);

  planRecovery: Varve['planRecovery'] = (appId, request) =>
    this.#runs.planRecovery(appId, request, new AbortController().signal);

  startRecovery: Varve['startRecovery'] = (appId, run, requestedBy) => this.#runs.recover(appId, run, requestedBy);

  startVerify: Varve['startVerify'] = (appId, request, requestedBy) => this.#runs.verify(appId, request, requestedBy);

  get #sandboxContext(): SandboxContext {
    return { docker: () => this.#parts.docker.get() };
  }

  listSandboxes: Varve['listSandboxes'] = async () => {
    const records = await this.#parts.recoveries.list();
    const sandboxes = records.filter(({ purpose }) => purpose === 'sandbox');
    return Promise.all(sandboxes.map((record) => sandboxOf(record, this.#sandboxContext)));
  };

  promoteSandbox: Varve['promoteSandbox'] = (id) => promoteSandbox(this.#parts.recoveries, id, this.#sandboxContext);

  removeSandbox: Varve['removeSandbox'] = (id) => {
    const isActiveRun = async (runId: string): Promise<boolean> =>
      (await this.#parts.jobs.active()).some(({ job }) => job.id === runId);
    return removeSandbox(this.#parts.recoveries, id, { ...this.#sandboxContext, isActiveRun });
  };

  previewRetention: Varve['previewRetention'] = (appId) => this.#runs.previewRetention(appId);

  startForget: Varve['startForget'] = (appId, run, requestedBy) =>
    this.#runs.forget(appId, run.fingerprint, requestedBy);

  startCheck: Varve['startCheck'] = ({ readData }, requestedBy) =>
    this.#runs.check({ data: readData ? 'all' : 'none' }, requestedBy);

  previewPrune: Varve['previewPrune'] = ({ signal = new AbortController().signal } = {}) =>
    this.#runs.previewPrune(signal);

  startPrune: Varve['startPrune'] = (requestedBy) => this.#runs.prune(requestedBy);

  getMaintenance: Varve['getMaintenance'] = () => this.#maintenance.describe();

  listJobs: Varve['listJobs'] = ({ appId, before, limit = defaultJobLimit } = {}) =>
    this.#parts.jobs.list({ appId, before, limit: Math.max(1, Math.min(limit, maxJobLimit)) });

  async getJob(jobId: string) {
    const job = await this.#parts.jobs.get(jobId);
    return { job, log: await this.#parts.log.list(jobId) };
  }

  cancelJob: Varve['cancelJob'] = (jobId) => this.#parts.engine.cancel(jobId);

  async waitForJob(jobId: string, options: WaitForJob = {}): Promise<Job> {
    const { feed, jobs } = this.#parts;
    const { signal, onEvent } = options;
    const stop = new AbortController();
    const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    const from = await feed.position();
    const now = await jobs.get(jobId);
    if (!activeStates.includes(now.state)) return now;
    for await (const event of feed.events({ signal: either, from })) {
      const isMine = event.type === 'job' ? event.job.id === jobId : event.type === 'job-log' && event.jobId === jobId;
      if (isMine) onEvent?.(event);
      if (isMine && event.type === 'job' && !activeStates.includes(event.job.state)) return event.job;
    }
    throw cancelledError(signal);
  }

  events: Varve['events'] = ({ signal }) => this.#parts.feed.events({ signal });

  async listAlerts(filter: { readonly open?: boolean | undefined } = {}) {
    // Without a server nobody else looks whether a backup is missing.
    if (!this.#isBackground) await this.#parts.monitor.evaluate();
    return this.#parts.alerts.list(filter);
  }

  async getRepository() {
    const row = await this.#parts.repositoryStore.current();
    return row ? this.#parts.repositories.describe(row) : null;
  }

  recoveryKit: Varve['recoveryKit'] = () => this.#parts.repositories.recoveryKit();

  async confirmRecoveryKit(): Promise<void> {
    const { id } = await this.#parts.repositoryStore.require();
    await this.#parts.repositoryStore.confirmRecoveryKit(id);
  }

  async *testStorage({ place, signal }: TestStorage = {}): AsyncGenerator<StorageCheck> {
    const { repositoryStore, tester } = this.#parts;
    const tested = place ?? (await repositoryStore.access((await repositoryStore.require()).id));
    yield* tester.test(tested, signal);
  }

  connectRepository: Varve['connectRepository'] = async (options) => {
    const { repositories, pool, snapshots, logger } = this.#parts;
    const info = await repositories.connect(options);
    if (!options.create && info.state === 'ready') {
      await syncSnapshots({ repository: await pool.get(info.id), snapshots, logger });
    }
    return info;
  };

  getSettings: Varve['getSettings'] = () => this.#parts.settings.read();

  updateSettings: Varve['updateSettings'] = (update) => this.#parts.settings.update(update);

  async sendTestEmail(): Promise<void> {
    const email = await this.#parts.settings.email();
    assertUsable({ ...email, enabled: true });
    const letter = testLetter(email.language, this.#parts.hostName);
    await sendLetter({ settings: email, password: await this.#parts.settings.emailPassword(), letter });
  }

  doctor: Varve['doctor'] = () => runDoctor(this.#parts);

  rebuildCatalogue: Varve['rebuildCatalogue'] = () => rebuild(this.#parts);

  openAccountsDatabase(): DatabaseSync {
    return openSqlite(this.#parts.paths.accounts);
  }

  async serverSecret(name: string): Promise<Secret> {
    const key = `server:${name}`;
    const known = await this.#parts.secrets.get(key);
    if (known) return known;
    const made = new Secret(randomBytes(32).toString('base64url'));
    await this.#parts.secrets.set(key, made);
    return made;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned.disposeAsync();
  }
}
