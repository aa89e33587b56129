import { fork } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@varve/base';
import { Secret, sleep } from '@varve/base';
import { lockRepository, openRepository, unlockRepository, type LockOptions, type Repository } from '@varve/repository';
import { FaultyStorage } from '@varve/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { encodeLock, type LockInfo } from '../src/lock/lock-file.ts';
import { isOwnDeadLock, isStaleLock, thisProcess, type LockProcess } from '../src/lock/process-identity.ts';
import { resticLockTimes } from '../src/lock/repository-lock.ts';
import { formatGoTime } from '../src/store/go-time.ts';
import { resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 60_000 });

const password = new Secret(resticPassword);
const missing = resticMissing();
const times = {
  refreshMs: 60,
  lostAfterMs: 400,
  settleMs: 20,
  retryMs: 10,
  maxRetryMs: 40,
  unreadableRetryMs: [5, 5, 5],
};
const shared: LockOptions = { exclusive: false, times };
const exclusive: LockOptions = { exclusive: true, times };

let folder: ScratchFolder;
let repository: Repository;

beforeAll(async () => {
  folder = await ScratchFolder.create();
  repository = await folder.createRepository();
});
afterAll(async () => {
  await folder[Symbol.asyncDispose]();
});
beforeEach(async () => {
  for (const { name } of await repository.listFiles('lock')) await rm(join(folder.repo, 'locks', name));
});

const lockNames = async (): Promise<string[]> => (await repository.listFiles('lock')).map(({ name }) => name);

async function plantLock(fields: Partial<LockInfo> = {}): Promise<string> {
  const lock = {
    time: formatGoTime(new Date()),
    exclusive: true,
    hostname: 'elsewhere',
    username: 'ana',
    pid: 4711,
    ...fields,
  };
  return repository.saveUnpacked('lock', encodeLock(lock));
}

/** A clock that a test moves. */
class MovingClock implements Clock {
  offsetMs = 0;

  now(): Date {
    return new Date(Date.now() + this.offsetMs);
  }
}

describe('a lock', () => {
  test('exclusive becomes shared: shared ones may come, exclusive ones may not', async () => {
    await using lock = await lockRepository(repository, exclusive);
    const before = await lockNames();
    await expect(lockRepository(repository, shared)).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await lock.share();
    await lock.share();
    const after = await lockNames();
    expect(after).toHaveLength(1);
    expect(after).not.toEqual(before);
    await using other = await lockRepository(repository, shared);
    expect([lock.signal.aborted, other.signal.aborted]).toEqual([false, false]);
    await other.release();
    await expect(lockRepository(repository, exclusive)).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await lock.release();
    expect(await lockNames()).toEqual([]);
  });

  test('shared goes beside shared, and exclusive beside nothing', async () => {
    {
      await using one = await lockRepository(repository, shared);
      await using two = await lockRepository(repository, shared);
      expect([one.signal.aborted, two.signal.aborted]).toEqual([false, false]);
      await expect(lockRepository(repository, exclusive)).rejects.toMatchObject({
        code: 'REPOSITORY_LOCKED',
        exitCode: 11,
      });
      expect(await lockNames()).toHaveLength(2);
    }
    expect(await lockNames()).toEqual([]);
    await using one = await lockRepository(repository, exclusive);
    await expect(lockRepository(repository, shared)).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await one.release();
    await one.release();
    expect(await lockNames()).toEqual([]);
  });

  test('that is in the way is named: who, where, which process, since when', async () => {
    await plantLock({ time: formatGoTime(new Date(Date.now() - 3 * 60_000)) });
    const refused = lockRepository(repository, shared);
    await expect(refused).rejects.toThrow(/exclusively by ana on elsewhere, process 4711 \(refreshed 3 min/);
    await expect(refused).rejects.toMatchObject({
      context: { hostname: 'elsewhere', pid: 4711 },
      hint: expect.stringContaining('unlock'),
    });
  });

  test('is waited for as long as asked, and no longer', async () => {
    const one = await lockRepository(repository, exclusive);
    setTimeout(() => void one.release(), 100);
    await using two = await lockRepository(repository, { ...exclusive, waitMs: 5000 });
    expect(two.signal.aborted).toBe(false);
    const start = performance.now();
    await expect(lockRepository(repository, { ...shared, waitMs: 80 })).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
    });
    expect(performance.now() - start).toBeGreaterThanOrEqual(79);
  });

  test('that two want at the same moment is had by at most one', async () => {
    for (let round = 0; round < 5; round++) {
      const results = await Promise.allSettled([1, 2, 3].map(() => lockRepository(repository, exclusive)));
      const held = results.filter((result) => result.status === 'fulfilled');
      expect(held.length).toBeLessThanOrEqual(1);
      expect(await lockNames()).toHaveLength(held.length);
      for (const { value } of held) await value.release();
    }
  });

  test('is not left behind when waiting for it is cancelled', async () => {
    const controller = new AbortController();
    const taking = lockRepository(repository, {
      exclusive: true,
      times: { ...times, settleMs: 5000 },
      signal: controller.signal,
    });
    await expect.poll(lockNames).toHaveLength(1);
    controller.abort();
    await expect(taking).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await lockNames()).toEqual([]);
  });

  test('is refreshed by a new file that replaces the old one', async () => {
    await using lock = await lockRepository(repository, shared);
    const [first] = await lockNames();
    await expect.poll(async () => (await lockNames()).includes(first!), { timeout: 5000 }).toBe(false);
    await expect.poll(lockNames).toHaveLength(1);
    expect(lock.signal.aborted).toBe(false);
  });

  test('that somebody removed is lost, and so is the work', async () => {
    await using lock = await lockRepository(repository, shared);
    for (const name of await lockNames()) await repository.storage.remove({ type: 'lock', name });
    await expect.poll(() => lock.signal.aborted, { timeout: 5000 }).toBe(true);
    expect(lock.signal.reason).toMatchObject({
      code: 'REPOSITORY_LOCK_LOST',
      message: expect.stringContaining('somebody removed it'),
    });
  });

  test('that cannot be refreshed for too long is lost', async () => {
    const storage = new FaultyStorage(folder.storage(), { failingCall: 2, kind: 'before' });
    const faulty = await openRepository({ storage, password });
    const lock = await lockRepository(faulty, shared);
    const start = performance.now();
    await expect.poll(() => lock.signal.aborted, { timeout: 5000 }).toBe(true);
    expect(performance.now() - start).toBeGreaterThan(times.lostAfterMs - times.refreshMs - 100);
    expect(lock.signal.reason).toMatchObject({ code: 'REPOSITORY_LOCK_LOST' });
    await expect(lock.release()).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
  });

  test.for(['before', 'after'] as const)('is kept when its old file cannot be removed at once: %s', async (kind) => {
    // The first refresh writes the second file and then removes the first.
    const storage = new FaultyStorage(folder.storage(), { failingCall: 3, kind, staysDown: false });
    const lock = await lockRepository(await openRepository({ storage, password }), {
      ...exclusive,
      times: { ...times, lostAfterMs: 60_000 },
    });
    const [first] = await lockNames();
    await expect.poll(() => storage.calls.length).toBeGreaterThan(7);
    expect(lock.signal.aborted).toBe(false);
    expect(await lockNames()).not.toContain(first);
    await lock.release();
    expect(await lockNames()).toEqual([]);
  });

  test.for(['before', 'after'] as const)('that becomes shared is at least that when a call fails: %s', async (kind) => {
    for (const failingCall of [2, 3]) {
      const storage = new FaultyStorage(folder.storage(), { failingCall, kind, staysDown: false });
      const lock = await lockRepository(await openRepository({ storage, password }), {
        ...exclusive,
        times: resticLockTimes,
      });
      await expect(lock.share()).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
      await expect(lockRepository(repository, exclusive)).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
      await lock.release();
      expect(await lockNames()).toEqual([]);
    }
  });

  test('whose file is stored while the answer is lost is nowhere', async () => {
    const storage = new FaultyStorage(folder.storage(), { failingCall: 1, kind: 'after', staysDown: false });
    const lock = lockRepository(await openRepository({ storage, password }), exclusive);
    await expect(lock).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
    expect(await lockNames()).toEqual([]);
  });

  test('that could not be released can be released again', async () => {
    const storage = new FaultyStorage(folder.storage(), { failingCall: 2, kind: 'before', staysDown: false });
    const times = resticLockTimes;
    const lock = await lockRepository(await openRepository({ storage, password }), { ...exclusive, times });
    await expect(lock.release()).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
    await lock.release();
    expect(await lockNames()).toEqual([]);
  });

  test('of a computer that slept is kept when nobody came, and lost when somebody did', async () => {
    for (const cameBy of [false, true]) {
      const clock = new MovingClock();
      await using lock = await lockRepository(repository, {
        ...shared,
        clock,
        // It looks at the clock every fifth of lostAfterMs, and the lock has to be replaced within that, on a busy disk too.
        times: { ...times, refreshMs: 50_000, lostAfterMs: 10_000 },
      });
      const [first] = await lockNames();
      if (cameBy) await plantLock({ time: formatGoTime(new Date(Date.now() + 2 * 3_600_000)) });
      clock.offsetMs = 2 * 3_600_000;
      if (cameBy) {
        await expect.poll(() => lock.signal.aborted, { timeout: 20_000 }).toBe(true);
        expect(lock.signal.reason).toMatchObject({
          code: 'REPOSITORY_LOCK_LOST',
          message: expect.stringContaining('ana on elsewhere'),
        });
      } else {
        await expect.poll(async () => (await lockNames()).includes(first!), { timeout: 20_000 }).toBe(false);
        expect(lock.signal.aborted).toBe(false);
      }
    }
  });

  test('uses the durations of restic unless told otherwise', () => {
    expect(resticLockTimes).toMatchObject({
      refreshMs: 300_000,
      lostAfterMs: 1_350_000,
      settleMs: 200,
      retryMs: 5000,
      maxRetryMs: 60_000,
    });
  });
});

describe('a lock file', () => {
  test('without content is ignored', async () => {
    await writeFile(join(folder.repo, 'locks', 'ab'.repeat(32)), '');
    await using lock = await lockRepository(repository, exclusive);
    expect(lock.signal.aborted).toBe(false);
  });

  test('that cannot be read is tried again, then is in the way', async () => {
    const path = join(folder.repo, 'locks', 'cd'.repeat(32));
    await writeFile(path, 'not a lock at all, and long enough');
    await expect(lockRepository(repository, shared)).rejects.toThrow(/cannot be read/);
    const taking = lockRepository(repository, { ...shared, times: { ...times, unreadableRetryMs: [50, 50, 5000] } });
    setTimeout(() => void rm(path), 60);
    await using lock = await taking;
    expect(lock.signal.aborted).toBe(false);
  });

  test('from the future is in the way and not stale', async () => {
    await plantLock({ time: formatGoTime(new Date(Date.now() + 10 * 3_600_000)) });
    await expect(lockRepository(repository, shared)).rejects.toThrow(/with a time in the future/);
    expect(await unlockRepository(repository)).toBe(0);
  });
});

describe('unlocking', () => {
  test('removes what restic calls stale, and everything when asked', async () => {
    const { hostname } = await thisProcess();
    const minutes = (count: number): string => formatGoTime(new Date(Date.now() - count * 60_000));
    await plantLock({ time: minutes(31) });
    await plantLock({ hostname, pid: await deadPid() });
    const kept = [await plantLock({ time: minutes(29) }), await plantLock({ hostname, pid: process.pid })].sort();
    expect(await unlockRepository(repository)).toBe(2);
    expect(await lockNames()).toEqual(kept);
    await writeFile(join(folder.repo, 'locks', 'ab'.repeat(32)), 'unreadable');
    expect(await unlockRepository(repository)).toBe(0);
    expect(await unlockRepository(repository, { all: true })).toBe(3);
    expect(await lockNames()).toEqual([]);
  });
});

/** The id of a process that has ended. */
async function deadPid(): Promise<number> {
  const child = fork('--eval', ['0'], { execArgv: [], stdio: 'ignore' });
  await once(child, 'exit');
  return child.pid!;
}

describe('a lock of our own', () => {
  test('process that was killed is removed by the next one, and by nobody else', async () => {
    const worker = join(import.meta.dirname, 'lock-holder.ts');
    const child = fork(worker, [], {
      env: { ...process.env, REPOSITORY: folder.repo, PASSWORD: resticPassword, OWNER: 'installation-1' },
    });
    await once(child, 'message');
    await expect(lockRepository(repository, { ...exclusive, ownerId: 'installation-1' })).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
    });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await lockNames()).toHaveLength(1);
    await expect(lockRepository(repository, { ...exclusive, ownerId: 'installation-2' })).rejects.toMatchObject({
      code: 'REPOSITORY_LOCKED',
    });
    await expect(
      lockRepository(repository, { ...exclusive, ownerId: 'installation-1', hostname: 'renamed' }),
    ).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await using lock = await lockRepository(repository, { ...exclusive, ownerId: 'installation-1' });
    expect(lock.signal.aborted).toBe(false);
    expect(await lockNames()).toHaveLength(1);
  });

  test('is told from one of a live process, of another boot, of another container, and of a reused pid', async () => {
    const self = await thisProcess({ ownerId: 'me' });
    const lock: LockInfo = { ...self, time: formatGoTime(new Date()), exclusive: true };
    const isDead = (fields: Partial<LockInfo>, ageMs = 1000): Promise<boolean> =>
      isOwnDeadLock({ ...lock, ...fields }, self, { ageMs });
    expect(await isDead({})).toBe(false);
    expect(await isDead({ owner: { ...self.owner, started: '1' } })).toBe(true);
    expect(await isDead({ pid: await deadPid() })).toBe(true);
    // From before this run of the system; a younger one is of a copy of this machine that runs elsewhere.
    const earlier = { ...lock, owner: { ...self.owner, boot: 'earlier' } };
    expect(await isOwnDeadLock(earlier, self, { ageMs: 60_001, uptimeMs: 60_000 })).toBe(true);
    expect(await isOwnDeadLock(earlier, self, { ageMs: 60_000, uptimeMs: 60_000 })).toBe(false);
    expect(await isDead({ owner: { ...self.owner, pidSpace: 'pid:[1]' } })).toBe(false);
    for (const isRunning of [true, false]) {
      const asked: LockProcess[] = [];
      const knowing = { ...self, isRunning: async (one: LockProcess) => asked.push(one) > 0 && isRunning };
      const elsewhere = { ...lock, pid: 7, owner: { ...self.owner, pidSpace: 'pid:[1]', started: '99' } };
      expect(await isOwnDeadLock(elsewhere, knowing, { ageMs: 1000 })).toBe(!isRunning);
      expect(asked).toEqual([{ boot: self.owner.boot, pidSpace: 'pid:[1]', pid: 7, started: '99' }]);
      // Of this space of process ids, and of others, nobody needs to be asked.
      expect(await isOwnDeadLock(lock, knowing, { ageMs: 1000 })).toBe(false);
      expect(await isOwnDeadLock({ ...elsewhere, hostname: 'other' }, knowing, { ageMs: 1000 })).toBe(false);
      expect(asked).toHaveLength(1);
    }
    expect(await isDead({ owner: { ...self.owner, pidSpace: 'pid:[1]' } }, 31 * 60_000)).toBe(true);
    expect(await isDead({ owner: { ...self.owner, id: 'other', started: '1' } }, 31 * 60_000)).toBe(false);
    expect(await isDead({ owner: undefined, pid: await deadPid() }, 31 * 60_000)).toBe(false);
    expect(isStaleLock(lock, self, { ageMs: 1000 })).toBe(false);
  });
});

describe.skipIf(missing !== null)('beside restic', () => {
  test('our lock keeps restic out, and restic removes our stale ones', async () => {
    {
      await using lock = await lockRepository(repository, { exclusive: false });
      expect(lock.signal.aborted).toBe(false);
      await expect(folder.restic(['forget', '--keep-last', '1'])).rejects.toThrow(/already locked|exclusive/);
      expect(JSON.parse(await folder.restic(['cat', 'lock', (await lockNames())[0]!]))).toMatchObject({
        exclusive: false,
        pid: process.pid,
      });
    }
    await plantLock({ time: formatGoTime(new Date(Date.now() - 31 * 60_000)), hostname: 'elsewhere' });
    await expect(folder.restic(['check'])).rejects.toThrow(/locked/);
    await folder.restic(['unlock']);
    expect(await lockNames()).toEqual([]);
    await folder.restic(['check']);
  });
});

test('a lock is gone by the time that it is released, refreshed or not', async () => {
  const lock = await lockRepository(repository, shared);
  await sleep(times.refreshMs);
  await lock.release();
  await sleep(times.refreshMs * 2);
  expect(await lockNames()).toEqual([]);
});
