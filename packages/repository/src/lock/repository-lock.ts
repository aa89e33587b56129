// Takes and keeps locks by restic's rules, so that both programs may use one repository: look, write the own lock, wait, look
// again; refresh every five minutes; end the work when the lock could not be kept. Locks of our own dead processes are removed.

import {
  AppError,
  formatDuration,
  isAppError,
  messageOf,
  silentLogger,
  sleep,
  systemClock,
  throwIfAborted,
  type Clock,
  type Logger,
} from '@varve/base';
import { isDamage, type Repository } from '../repository.ts';
import { formatGoTime } from '../store/go-time.ts';
import { decodeLock, encodeLock, lockTimeMs, type LockInfo } from './lock-file.ts';
import {
  isOwnDeadLock,
  isStaleLock,
  thisProcess,
  type LockIdentity,
  type LockOwnerOptions,
} from './process-identity.ts';

/** Durations of the protocol; restic's when not given. */
export interface LockTimes {
  /** A new lock file replaces the own one this often. */
  readonly refreshMs: number;
  /** Without a refresh for so long, the lock is no longer trusted. */
  readonly lostAfterMs: number;
  /** Between writing a lock and looking for others that came at the same time. */
  readonly settleMs: number;
  /** First and longest pause before the next try of a lock that is taken. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
  /** Pauses before a lock file that cannot be read is read again. */
  readonly unreadableRetryMs: readonly number[];
}

export const resticLockTimes: LockTimes = {
  refreshMs: 5 * 60_000,
  lostAfterMs: 22.5 * 60_000,
  settleMs: 200,
  retryMs: 5_000,
  maxRetryMs: 60_000,
  unreadableRetryMs: [5_000, 10_000, 20_000],
};

export interface LockOptions extends LockOwnerOptions {
  /** Alone (remove snapshots, prune, check) or beside other shared locks (back up, restore). */
  readonly exclusive: boolean;
  /** How long to wait for others; 0, not at all, when absent. */
  readonly waitMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: Logger | undefined;
  readonly times?: LockTimes | undefined;
}

export interface RepositoryLock extends AsyncDisposable {
  /** Aborts with REPOSITORY_LOCK_LOST when the lock could not be kept: work that relied on it has to end. */
  readonly signal: AbortSignal;
  /**
   * Makes an exclusive lock a shared one, with no moment in between at which an exclusive one could be taken. When it rejects,
   * the lock is as exclusive as before, or shared with the exclusive lock file still there for others to see.
   */
  share(): Promise<void>;
  /** Removes the lock file. Idempotent; may be called again after it has failed. */
  release(): Promise<void>;
}

/** Takes a lock. REPOSITORY_LOCKED, which names the holder, when another one is in the way for longer than `waitMs`. */
export async function lockRepository(repository: Repository, options: LockOptions): Promise<RepositoryLock> {
  const { exclusive, signal } = options;
  const times = options.times ?? resticLockTimes;
  const identity = await thisProcess(options);
  const session: LockSession = {
    repository,
    identity,
    exclusive,
    times,
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
  };
  const deadline = performance.now() + (options.waitMs ?? 0);
  for (let pauseMs = times.retryMs; ; pauseMs = Math.min(pauseMs * 2, times.maxRetryMs)) {
    try {
      return new HeldLock(session, await acquire(session, signal));
    } catch (error) {
      const leftMs = deadline - performance.now();
      if (!isAppError(error, 'REPOSITORY_LOCKED') || leftMs <= 0) throw error;
      await sleep(Math.min(pauseMs, leftMs), { signal });
    }
  }
}

/** Removes locks that are stale by restic's rule, or all of them, and yields how many. */
export async function unlockRepository(
  repository: Repository,
  options: {
    readonly all?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
    readonly clock?: Clock | undefined;
    readonly ownerId?: string | undefined;
    readonly hostname?: string | undefined;
  } = {},
): Promise<number> {
  const { signal } = options;
  const identity = await thisProcess(options);
  const now = (options.clock ?? systemClock).now().getTime();
  let removed = 0;
  for (const { name } of await repository.listFiles('lock', { signal })) {
    if (!options.all) {
      const lock = await readLock(repository, name, signal).catch(() => null);
      if (!lock || !isStaleLock(lock, identity, { ageMs: now - lockTimeMs(lock) })) continue;
    }
    if (await removeLock(repository, name, signal)) removed++;
  }
  return removed;
}

/**
 * Removes the locks of dead processes of this installation and yields how many. Unlike {@link unlockRepository} it is sure of
 * each, and touches none of anybody else.
 */
export async function removeDeadLocks(
  repository: Repository,
  options: LockOwnerOptions & { readonly signal?: AbortSignal | undefined; readonly clock?: Clock | undefined },
): Promise<number> {
  const { signal } = options;
  const identity = await thisProcess(options);
  const now = (options.clock ?? systemClock).now().getTime();
  let removed = 0;
  for (const { name } of await repository.listFiles('lock', { signal })) {
    const lock = await readLock(repository, name, signal).catch(() => null);
    if (!lock || !(await isOwnDeadLock(lock, identity, { ageMs: now - lockTimeMs(lock) }))) continue;
    if (await removeLock(repository, name, signal)) removed++;
  }
  return removed;
}
/** How long it is tried to remove a lock file of which it is not known whether it is there. */
const cleanUpMs = 10_000;

interface LockSession {
  readonly repository: Repository;
  readonly identity: LockIdentity;
  readonly exclusive: boolean;
  readonly times: LockTimes;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Yields the name of the own lock file. */
async function acquire(session: LockSession, signal: AbortSignal | undefined): Promise<string> {
  await refuseConflicts(session, [], signal);
  const name = await writeLock(session, signal);
  try {
    await sleep(session.times.settleMs, { signal });
    await refuseConflicts(session, [name], signal);
    throwIfAborted(signal);
    return name;
  } catch (error) {
    await removeLock(session.repository, name).catch(() => false);
    throw error;
  }
}

async function writeLock(session: LockSession, signal?: AbortSignal): Promise<string> {
  const { hostname, username, pid, uid, gid, owner } = session.identity;
  const time = formatGoTime(session.clock.now());
  const lock = { time, exclusive: session.exclusive, hostname, username, pid, uid, gid, owner };
  const { repository } = session;
  const { name, bytes } = repository.sealUnpacked(encodeLock(lock));
  try {
    await repository.storage.save({ type: 'lock', name }, bytes, { signal });
    return name;
  } catch (error) {
    // Perhaps only the answer was lost. A lock that nobody knows of would be in everybody's way while this process lives.
    await removeLock(repository, name, AbortSignal.timeout(cleanUpMs)).catch(() => false);
    throw error;
  }
}

/** Throws REPOSITORY_LOCKED when a lock that is not among `own` excludes ours. */
async function refuseConflicts(session: LockSession, own: readonly string[], signal?: AbortSignal): Promise<void> {
  const { repository, exclusive, identity, clock, logger } = session;
  for (const { name, sizeBytes } of await repository.listFiles('lock', { signal })) {
    // restic ignores empty lock files: what a full disk leaves behind.
    if (own.includes(name) || sizeBytes === 0) continue;
    const lock = await readLockPatiently(session, name, signal);
    if (!lock) continue;
    const ageMs = clock.now().getTime() - lockTimeMs(lock);
    if (await isOwnDeadLock(lock, identity, { ageMs })) {
      await removeLock(repository, name, signal);
      logger.info('Removed the lock of a process that is not running any more.', {
        pid: lock.pid,
        hostname: lock.hostname,
        ageMs,
      });
      continue;
    }
    if (exclusive || lock.exclusive) throw lockedError(lock, { name, ageMs });
  }
}

async function readLockPatiently(session: LockSession, name: string, signal?: AbortSignal): Promise<LockInfo | null> {
  const { repository, times } = session;
  for (const pauseMs of [...times.unreadableRetryMs, null]) {
    try {
      return await readLock(repository, name, signal);
    } catch (error) {
      if (isAppError(error, 'STORAGE_FILE_NOT_FOUND')) return null;
      if (!isDamage(error)) throw error;
      if (pauseMs !== null) await sleep(pauseMs, { signal });
      else throw unreadableError(name, error);
    }
  }
  return null;
}

async function readLock(repository: Repository, name: string, signal?: AbortSignal): Promise<LockInfo> {
  const lock = decodeLock(await repository.loadUnpacked('lock', name, { signal }));
  if (!lock) throw new AppError('REPOSITORY_DAMAGED', `Lock file ${name} is not a lock.`);
  return lock;
}

/** False when it was gone already. */
async function removeLock(repository: Repository, name: string, signal?: AbortSignal): Promise<boolean> {
  try {
    await repository.storage.remove({ type: 'lock', name }, { signal });
    return true;
  } catch (error) {
    if (isAppError(error, 'STORAGE_FILE_NOT_FOUND')) return false;
    throw error;
  }
}

function lockedError(lock: LockInfo, { name, ageMs }: { name: string; ageMs: number }): AppError {
  const kind = lock.exclusive ? 'exclusively ' : '';
  const age = ageMs < 0 ? 'with a time in the future' : `${formatDuration(ageMs)} ago`;
  const holder = `${lock.username || 'somebody'} on ${lock.hostname || 'an unknown host'}, process ${lock.pid}`;
  return new AppError('REPOSITORY_LOCKED', `The repository is locked ${kind}by ${holder} (refreshed ${age}).`, {
    hint: 'Wait until that work is done. If that process is certainly not running any more, remove its lock with unlock.',
    context: {
      lock: name,
      hostname: lock.hostname,
      pid: lock.pid,
      username: lock.username,
      exclusive: lock.exclusive,
      ageMs,
    },
    retry: true,
  });
}

function unreadableError(name: string, cause: unknown): AppError {
  return new AppError(
    'REPOSITORY_LOCKED',
    `The repository has a lock file that cannot be read (${name.slice(0, 12)}): ${messageOf(cause)}`,
    {
      hint: 'When nothing else uses the repository, remove all locks with unlock.',
      context: { lock: name },
      cause,
    },
  );
}

class HeldLock implements RepositoryLock {
  #session: LockSession;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #name: string;
  /** Own lock files that were replaced and are not known to be gone. */
  readonly #replaced = new Set<string>();
  #refreshedMs: number;
  #refresh: Promise<void> | null = null;
  #isReleased = false;

  constructor(session: LockSession, name: string) {
    this.#session = session;
    this.#name = name;
    this.#refreshedMs = session.clock.now().getTime();
    const { refreshMs, lostAfterMs } = session.times;
    // Often enough to notice a computer that slept; the wall clock decides.
    const tickMs = Math.min(60_000, refreshMs / 5, lostAfterMs / 5);
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#timer.unref();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  async share(): Promise<void> {
    await this.#refresh;
    throwIfAborted(this.signal);
    if (!this.#session.exclusive) return;
    const change = this.#becomeShared();
    // The tick leaves a lock alone that is being replaced.
    this.#refresh = change.catch(() => {}).finally(() => (this.#refresh = null));
    await change;
  }

  async release(): Promise<void> {
    this.#isReleased = true;
    clearInterval(this.#timer);
    await this.#refresh;
    if (this.#name !== '') this.#replaced.add(this.#name);
    this.#name = '';
    await this.#removeReplaced();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  async #becomeShared(): Promise<void> {
    const shared = { ...this.#session, exclusive: false };
    const startedMs = shared.clock.now().getTime();
    const name = await writeLock(shared);
    this.#session = shared;
    await this.#adopt(name, startedMs);
  }

  /**
   * Holds a new lock file from now on, and removes those before it. Should that fail, it may have happened or not: the new one
   * counts in any case, and the others are tried again with the next.
   */
  async #adopt(name: string, startedMs: number): Promise<void> {
    this.#replaced.add(this.#name);
    this.#name = name;
    this.#refreshedMs = startedMs;
    await this.#removeReplaced();
  }

  async #removeReplaced(): Promise<void> {
    let failure: { readonly error: unknown } | undefined;
    for (const name of this.#replaced) {
      try {
        await removeLock(this.#session.repository, name);
        this.#replaced.delete(name);
      } catch (error) {
        failure ??= { error };
      }
    }
    if (failure) throw failure.error;
  }

  #tick(): void {
    const { clock, times } = this.#session;
    const idleMs = clock.now().getTime() - this.#refreshedMs;
    if (this.#isReleased || this.signal.aborted || idleMs < times.refreshMs) return;
    if (this.#refresh) {
      if (idleMs >= times.lostAfterMs) this.#lose('the storage does not answer');
      return;
    }
    this.#refresh = this.#replace({ isTrusted: idleMs < times.lostAfterMs }).finally(() => (this.#refresh = null));
  }

  /** Writes a new lock file and removes the old one; never rejects. */
  async #replace({ isTrusted }: { isTrusted: boolean }): Promise<void> {
    const { repository, clock, logger, times } = this.#session;
    try {
      await repository.storage.stat({ type: 'lock', name: this.#name });
      const startedMs = clock.now().getTime();
      const name = await writeLock(this.#session);
      if (!isTrusted) await this.#confirm(name);
      await this.#adopt(name, startedMs);
    } catch (error) {
      const isGone = isAppError(error, 'STORAGE_FILE_NOT_FOUND');
      if (isGone) this.#lose('somebody removed it');
      else if (isAppError(error, 'REPOSITORY_LOCKED'))
        this.#lose(`it was not refreshed in time, and now: ${error.message}`);
      else if (clock.now().getTime() - this.#refreshedMs >= times.lostAfterMs) this.#lose(messageOf(error));
      else logger.warn('The lock of the repository could not be refreshed; trying again.', { error: messageOf(error) });
    }
  }

  /** After too long a pause others may have come: the new lock is kept only if there are none. */
  async #confirm(name: string): Promise<void> {
    try {
      await sleep(this.#session.times.settleMs);
      await refuseConflicts(this.#session, [...this.#replaced, this.#name, name]);
      await this.#session.repository.storage.stat({ type: 'lock', name: this.#name });
    } catch (error) {
      await removeLock(this.#session.repository, name).catch(() => false);
      throw error;
    }
  }

  #lose(reason: string): void {
    clearInterval(this.#timer);
    this.#controller.abort(
      new AppError('REPOSITORY_LOCK_LOST', `The lock of the repository was lost: ${reason}. The work was ended.`, {
        hint: 'Start the work again; nothing that was stored before is affected.',
        retry: true,
      }),
    );
  }
}
