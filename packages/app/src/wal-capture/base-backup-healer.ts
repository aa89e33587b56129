// Log can be replayed only from a base backup on. Where there is none in what was captured without a gap (a new capture, a gap, a
// server that was set back) a snapshot of the app is started, as long as it saves a base backup.

import { isAppError, messageOf, type Clock, type Logger } from '@varve/base';
import type { WalBlock } from '@varve/contract';
import { parseLsn } from '@varve/postgres';
import type { SnapshotStore } from '../apps/snapshot-store.ts';
import type { RepositoryPool } from '../repositories/repository-pool.ts';
import { readManifest } from '../snapshot/describe-snapshot.ts';
import type { CapturedDatabase } from './captured-databases.ts';

export interface BaseBackupHealerOptions {
  readonly snapshots: SnapshotStore;
  readonly pool: RepositoryPool;
  readonly startSnapshot: (appId: string) => Promise<unknown>;
  readonly clock: Clock;
  readonly logger: Logger;
}

const minuteMs = 60_000;
const delaysMs = [minuteMs, 5 * minuteMs, 15 * minuteMs, 60 * minuteMs];

export class BaseBackupHealer {
  readonly #options: BaseBackupHealerOptions;
  /** By database: the base backup that was found, for which stretch of the log. */
  readonly #found = new Map<string, { readonly run: string; readonly snapshotId: string }>();
  /** By database: what was looked at and is none. */
  readonly #seen = new Map<string, Set<string>>();
  readonly #attempts = new Map<string, { readonly count: number; readonly nextMs: number }>();

  constructor(options: BaseBackupHealerOptions) {
    this.#options = options;
  }

  /** Whether there is a base backup in the stretch of log that begins with a block. Starts one when there is none. */
  async turn(database: CapturedDatabase, runStart: WalBlock): Promise<boolean> {
    const key = `${database.owner.appId}/${database.owner.component}`;
    const hasOne = await this.#find(key, database, runStart);
    if (hasOne) this.#attempts.delete(key);
    else if (database.component.method !== 'dump') await this.#start(key, database.app.id);
    return hasOne;
  }

  async #find(key: string, { app, owner }: CapturedDatabase, runStart: WalBlock): Promise<boolean> {
    const run = `${runStart.systemId} ${runStart.timeline} ${runStart.startLsn} ${runStart.startedAt}`;
    const snapshots = await this.#options.snapshots.list(app.id);
    const found = this.#found.get(key);
    if (found?.run === run && snapshots.some(({ id }) => id === found.snapshotId)) return true;
    if (found) this.#seen.delete(key);
    this.#found.delete(key);
    const seen = this.#seen.get(key) ?? new Set();
    this.#seen.set(key, seen);
    const repository = await this.#options.pool.get(app.repositoryId);
    // A backup that was made before the server was set back may have any position.
    const notBefore = runStart.gap === null ? 0 : Date.parse(runStart.gap.detectedAt);
    for (const { id, time } of snapshots) {
      if (Date.parse(time) < notBefore) break;
      if (seen.has(`${run} ${id}`)) continue;
      const snapshot = await repository.findSnapshot(id);
      await repository.loadIndex();
      const { components } = await readManifest(repository, snapshot);
      const isOne = components.some(
        (saved) =>
          saved.kind === 'database' &&
          saved.name === owner.component &&
          saved.method !== 'dump' &&
          saved.systemId === runStart.systemId &&
          saved.walLsn !== null &&
          (saved.timeline ?? 0) >= runStart.timeline &&
          parseLsn(saved.walLsn) >= parseLsn(runStart.startLsn),
      );
      if (isOne) {
        this.#found.set(key, { run, snapshotId: id });
        return true;
      }
      seen.add(`${run} ${id}`);
    }
    return false;
  }

  async #start(key: string, appId: string): Promise<void> {
    const { clock, logger, startSnapshot } = this.#options;
    const nowMs = clock.now().getTime();
    const { count = 0, nextMs = 0 } = this.#attempts.get(key) ?? {};
    if (nowMs < nextMs) return;
    const delayMs = delaysMs[Math.min(count, delaysMs.length - 1)] ?? minuteMs;
    try {
      await startSnapshot(appId);
      logger.info('a snapshot was started, because captured log has no base backup yet', { appId });
      this.#attempts.set(key, { count: count + 1, nextMs: nowMs + delayMs });
    } catch (error) {
      // A job that is under way may be just the one that is wanted.
      const isBusy = isAppError(error, 'APP_BUSY');
      this.#attempts.set(key, { count: isBusy ? count : count + 1, nextMs: nowMs + (isBusy ? minuteMs / 4 : delayMs) });
      if (!isBusy) logger.warn('a base backup could not be started', { appId, error: messageOf(error) });
    }
  }
}
