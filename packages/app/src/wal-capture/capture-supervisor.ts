// Keeps one capture running for each database that wants one, over all processes of the installation: starts and stops them as apps
// come, change and go, saves how they stand, and drops the slots of those that are gone.

import { join } from 'node:path';
import { messageOf, type Clock, type Logger } from '@varve/base';
import type { LockOwnerOptions } from '@varve/repository';
import type { AppStore } from '../apps/app-store.ts';
import type { Claims } from '../jobs/claims.ts';
import type { RepositoryPool } from '../repositories/repository-pool.ts';
import type { SecretStore } from '../secrets/secret-store.ts';
import { varveVersion } from '../version.ts';
import { captureLocation } from './capture-location.ts';
import { CaptureStatus } from './capture-status.ts';
import type { CaptureStore } from './capture-store.ts';
import { captureClaim, capturedDatabases, type CapturedDatabase } from './captured-databases.ts';
import { DatabaseCapture } from './database-capture.ts';
import { slotNameOf } from './slot-name.ts';

export interface CaptureSupervisorOptions {
  readonly apps: AppStore;
  readonly claims: Claims;
  readonly captures: CaptureStore;
  readonly secrets: SecretStore;
  readonly pool: RepositoryPool;
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
/** How a capture stands is written so often at least while nothing happens. */
const saveIntervalMs = 30_000;

interface Running {
  wanted: CapturedDatabase;
  readonly capture: DatabaseCapture;
  isNews: boolean;
  savedAtMs: number;
  savedText: string;
}

export class CaptureSupervisor implements AsyncDisposable {
  readonly #options: CaptureSupervisorOptions;
  readonly #running = new Map<string, Running>();

  constructor(options: CaptureSupervisorOptions) {
    this.#options = options;
  }

  /** Brings what runs in line with the apps; called again and again. */
  async turn(): Promise<void> {
    const apps = await this.#options.apps.list();
    const wanted = new Map(apps.flatMap(capturedDatabases).map((one) => [captureClaim(one.owner), one]));
    for (const [key, running] of this.#running) {
      const now = wanted.get(key);
      const isKept =
        now !== undefined && isSame(now, running.wanted) && (await this.#options.claims.take(key, claimMs));
      if (isKept) running.wanted = now;
      else await this.#end(key, running);
    }
    for (const [key, one] of wanted) {
      if (!this.#running.has(key) && (await this.#options.claims.take(key, claimMs))) await this.#start(key, one);
    }
    for (const running of this.#running.values()) await this.#save(running);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running].map(([key, running]) => this.#end(key, running)));
  }

  async #start(key: string, wanted: CapturedDatabase): Promise<void> {
    const { installationId, secrets, pool, hostName, lockOwner, clock, logger, folder } = this.#options;
    const { owner } = wanted;
    const slot = slotNameOf(installationId, owner);
    await this.#options.captures.addSlot({ slot, component: owner.component, app: wanted.app });
    const status = new CaptureStatus({ ...owner, slot, clock, onChange: () => this.#noteNews(key) });
    const before = (await this.#options.captures.list(owner.appId)).find(
      ({ component }) => component === owner.component,
    );
    if (before) status.inherit(before);
    const signal = new AbortController().signal;
    const capture = new DatabaseCapture({
      owner,
      slot,
      folder: join(folder, owner.appId, owner.component),
      status,
      location: () => captureLocation({ ...wanted, secrets, signal }),
      repository: () => pool.get(wanted.app.repositoryId),
      commitMs: () => (this.#running.get(key)?.wanted ?? wanted).app.policy.pointInTime.commitSeconds * 1000,
      hostName,
      version: varveVersion,
      lockOwner,
      clock,
      logger,
    });
    this.#running.set(key, { wanted, capture, isNews: true, savedAtMs: 0, savedText: '' });
    logger.info('capturing WAL', { ...owner, slot });
  }

  async #end(key: string, running: Running): Promise<void> {
    this.#running.delete(key);
    await running.capture[Symbol.asyncDispose]();
    await this.#save(running).catch(() => {});
    await this.#options.claims.release(key).catch((error: unknown) => {
      this.#options.logger.warn('a claim could not be released', { claim: key, error: messageOf(error) });
    });
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
    JSON.stringify(a.component.source) === JSON.stringify(b.component.source)
  );
}
