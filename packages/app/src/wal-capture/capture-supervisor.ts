// Keeps one capture running for each database that wants one, over all processes of the installation: starts and stops them as apps
// come, change and go, saves how they stand, and drops the slots of those that are gone.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, type Clock, type Logger } from '@varve/base';
import type { LockOwnerOptions } from '@varve/repository';
import type { AppStore } from '../apps/app-store.ts';
import type { SnapshotStore } from '../apps/snapshot-store.ts';
import type { DockerConnection } from '../docker-connection.ts';
import type { Claims } from '../jobs/claims.ts';
import type { RepositoryPool } from '../repositories/repository-pool.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import { varveVersion } from '../version.ts';
import { BaseBackupHealer } from './base-backup-healer.ts';
import { broughtBackAt, type BroughtBackSources } from './brought-back.ts';
import { captureWay } from './make-way.ts';
import { CaptureStatus } from './capture-status.ts';
import type { CaptureStore } from './capture-store.ts';
import { captureClaim, capturedDatabases, isStreamed, type CapturedDatabase } from './captured-databases.ts';
import { DatabaseCapture } from './database-capture.ts';
import { SlotKeeper } from './slot-keeper.ts';
import { slotNameOf } from './slot-name.ts';

export interface CaptureSupervisorOptions extends BroughtBackSources {
  readonly apps: AppStore;
  readonly snapshots: SnapshotStore;
  readonly startSnapshot: (appId: string) => Promise<unknown>;
  readonly claims: Claims;
  readonly captures: CaptureStore;
  readonly secrets: SecretStore;
  readonly pool: RepositoryPool;
  readonly docker: DockerConnection;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly hostName: string;
  readonly lockOwner: LockOwnerOptions;
  readonly installationId: string;
  /** Folder of all spools. */
  readonly folder: string;
  /** Called when something changed that others want to know soon. */
  readonly onChange: () => void;
}

const claimMs = 60_000;
/** For all slots that are to be dropped. */
const slotTurnMs = 30_000;
const claimAgainMs = 20_000;
/** How a capture stands is written so often at least while nothing happens. */
const saveIntervalMs = 30_000;

interface Running {
  wanted: CapturedDatabase;
  readonly capture: DatabaseCapture;
  /** Ends what looks for the server. */
  readonly stop: AbortController;
  claimedAtMs: number;
  isNews: boolean;
  savedAtMs: number;
  savedText: string;
}

export class CaptureSupervisor implements AsyncDisposable {
  readonly #options: CaptureSupervisorOptions;
  readonly #running = new Map<string, Running>();
  readonly #slots: SlotKeeper;
  readonly #healer: BaseBackupHealer;
  readonly #stop = new AbortController();

  constructor(options: CaptureSupervisorOptions) {
    this.#options = options;
    this.#slots = new SlotKeeper(options);
    this.#healer = new BaseBackupHealer(options);
  }

  /** Brings what runs in line with the apps; called again and again. */
  async turn(): Promise<void> {
    const apps = await this.#options.apps.list();
    const wanted = new Map(apps.flatMap((app) => capturedDatabases(app)).map((one) => [captureClaim(one.owner), one]));
    for (const [key, running] of this.#running) {
      const now = wanted.get(key);
      const isKept = now !== undefined && isSame(now, running.wanted) && (await this.#keepClaim(key, running));
      if (isKept) running.wanted = now;
      else await this.#end(key, running);
    }
    for (const [key, one] of wanted) {
      if (!this.#running.has(key) && (await this.#options.claims.take(key, claimMs))) await this.#start(key, one);
    }
    await Promise.all([...this.#running.values()].map((running) => this.#heal(running)));
    for (const running of this.#running.values()) await this.#save(running);
    await this.#slots.turn(AbortSignal.any([this.#stop.signal, AbortSignal.timeout(slotTurnMs)]));
  }

  /** Looks for a base backup, and starts one where there is none. What fails is tried again with the next turn. */
  async #heal({ capture, wanted }: Running): Promise<void> {
    const { runStart, status } = capture;
    if (!runStart) return;
    try {
      status.noteBaseBackup(await this.#healer.turn(wanted, runStart));
    } catch (error) {
      this.#options.logger.warn('base backups could not be looked for', { ...wanted.owner, error: messageOf(error) });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#running].map(([key, running]) => this.#end(key, running)));
  }

  async #start(key: string, wanted: CapturedDatabase): Promise<void> {
    const { installationId, secrets, docker, pool, hostName, lockOwner, clock, logger, folder } = this.#options;
    const { owner } = wanted;
    const slot = isStreamed(wanted) ? slotNameOf(installationId, owner) : null;
    if (slot !== null) await this.#options.captures.addSlot({ slot, component: owner.component, app: wanted.app });
    const archive = wanted.component.walArchive;
    const status = new CaptureStatus({ ...owner, slot, archive, clock, onChange: () => this.#noteNews(key) });
    const before = (await this.#options.captures.list(owner.appId)).find(
      ({ component }) => component === owner.component,
    );
    if (before) status.inherit(before);
    const stop = new AbortController();
    const repository = () => pool.get(wanted.app.repositoryId);
    const input = { ...wanted, secrets, docker: () => docker.get(), signal: stop.signal };
    const capture = new DatabaseCapture({
      owner,
      way: captureWay(input, { owner, slot, status, repository, clock }),
      folder: join(folder, owner.appId, owner.component),
      status,
      broughtBackAt: (since) => broughtBackAt(this.#options, { ...owner, since }),
      repository,
      commitMs: () => (this.#running.get(key)?.wanted ?? wanted).app.policy.pointInTime.commitSeconds * 1000,
      hostName,
      version: varveVersion,
      lockOwner,
      clock,
      logger,
    });
    this.#running.set(key, {
      wanted,
      capture,
      stop,
      claimedAtMs: clock.now().getTime(),
      isNews: true,
      savedAtMs: 0,
      savedText: '',
    });
    logger.info('capturing WAL', { ...owner, slot, archive: archive?.directory });
  }

  /** False when another process has taken it: this one was suspended for long. */
  async #keepClaim(key: string, running: Running): Promise<boolean> {
    const nowMs = this.#options.clock.now().getTime();
    if (nowMs >= running.claimedAtMs && nowMs - running.claimedAtMs < claimAgainMs) return true;
    running.claimedAtMs = nowMs;
    return this.#options.claims.take(key, claimMs);
  }

  async #end(key: string, running: Running): Promise<void> {
    this.#running.delete(key);
    running.stop.abort();
    await running.capture[Symbol.asyncDispose]();
    await this.#save(running).catch(() => {});
    await this.#forget(running).catch((error: unknown) => {
      this.#options.logger.warn('a spool could not be removed', { claim: key, error: messageOf(error) });
    });
    await this.#options.claims.release(key).catch((error: unknown) => {
      this.#options.logger.warn('a claim could not be released', { claim: key, error: messageOf(error) });
    });
  }

  /** The spool of an app that is gone goes; where there is a slot, with that. */
  async #forget({ wanted }: Running): Promise<void> {
    const { apps, folder } = this.#options;
    const { appId, component } = wanted.owner;
    if (isStreamed(wanted) || (await apps.find(appId)) !== undefined) return;
    await rm(join(folder, appId, component), { recursive: true, force: true });
  }

  #noteNews(key: string): void {
    const running = this.#running.get(key);
    if (running) running.isNews = true;
    this.#options.onChange();
  }

  async #save(running: Running): Promise<void> {
    const state = running.capture.status.describe();
    const { updatedAt: _, completeAt: __, ...rest } = state;
    const text = JSON.stringify(rest);
    const nowMs = this.#options.clock.now().getTime();
    const isDue = text !== running.savedText || nowMs - running.savedAtMs >= saveIntervalMs;
    if (!isDue) return;
    const { isNews } = running;
    running.isNews = false;
    await this.#options.captures.save(state, { isNews });
    running.savedText = text;
    running.savedAtMs = nowMs;
  }
}

/** Whether a capture may run on: its database is reached in the same way, and its repository is the same. */
function isSame(a: CapturedDatabase, b: CapturedDatabase): boolean {
  return (
    a.app.repositoryId === b.app.repositoryId &&
    JSON.stringify(a.component.source) === JSON.stringify(b.component.source) &&
    JSON.stringify(a.component.walArchive) === JSON.stringify(b.component.walArchive)
  );
}
