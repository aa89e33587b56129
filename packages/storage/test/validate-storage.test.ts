import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  FaultyStorage,
  quickTemporaryFolder,
  rcloneAvailable,
  resticAvailable,
  runRestic,
  startRcloneServer,
} from '@varve/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openStorage, storageChecks, validateStorage, type Storage } from '../src/index.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(quickTemporaryFolder(), 'varve-validate-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** A local folder with some calls replaced. */
function replacing(calls: (inner: Storage) => Partial<Storage>): Storage {
  const inner = openStorage(folder);
  const bound = {
    create: inner.create.bind(inner),
    save: inner.save.bind(inner),
    load: inner.load.bind(inner),
    stat: inner.stat.bind(inner),
    list: inner.list.bind(inner),
    remove: inner.remove.bind(inner),
    close: inner.close.bind(inner),
  };
  return { location: inner.location, connections: inner.connections, ...bound, ...calls(inner) };
}

async function outcomesOf(storage: Storage): Promise<Record<string, string>> {
  const checks = await validateStorage(storage);
  return Object.fromEntries(checks.map(({ name, outcome }) => [name, outcome]));
}

async function packsLeft(): Promise<string[]> {
  return (await readdir(join(folder, 'data'), { recursive: true })).filter((name) => name.length > 2);
}

const allPassed = {
  create: 'passed',
  save: 'passed',
  'overwrite-refused': 'passed',
  read: 'passed',
  list: 'passed',
  concurrency: 'passed',
  remove: 'passed',
  clock: 'skipped',
};

describe('validating a storage', () => {
  test('a good one passes every check, and nothing is left behind', async () => {
    expect(await outcomesOf(openStorage(folder))).toEqual(allPassed);
    expect(await packsLeft()).toEqual([]);
  });

  test('one that replaces files is found out', async () => {
    const storage = replacing((inner) => ({
      save: async (handle, data) => {
        await inner.remove(handle).catch(() => {});
        await inner.save(handle, data);
      },
    }));
    expect(await outcomesOf(storage)).toMatchObject({ 'overwrite-refused': 'failed', save: 'passed' });
  });

  test('one that flips a bit, hides a file or keeps what was removed is found out', async () => {
    const flipping = new FaultyStorage(openStorage(folder), {
      failingCall: 0,
      kind: 'before',
      flipsLoad: (_, call) => call === 2,
    });
    expect(await outcomesOf(flipping)).toMatchObject({ read: 'failed' });
    async function* nothing(): AsyncGenerator<never> {}
    expect(await outcomesOf(replacing(() => ({ list: nothing })))).toMatchObject({ list: 'failed' });
    expect(await outcomesOf(replacing(() => ({ remove: async () => {} })))).toMatchObject({ remove: 'failed' });
  });

  test('after a save that fails the rest is not tried, and the failure says what to do', async () => {
    const checks = await validateStorage(new FaultyStorage(openStorage(folder), { failingCall: 1, kind: 'before' }));
    const outcomes = checks.map(({ outcome }) => outcome);
    expect(outcomes).toEqual(['passed', 'failed', ...Array.from({ length: 6 }, () => 'skipped')]);
    expect(checks[1]?.detail).toContain('failed as planned');
  });

  test('a clock that is off is measured against the server’s', async () => {
    const off = replacing(() => ({ serverTime: async () => new Date(Date.now() + 120_000) }));
    const checks = await validateStorage(off);
    expect(checks.at(-1)).toMatchObject({
      name: 'clock',
      outcome: 'failed',
      hint: expect.stringContaining('timedatectl'),
    });
    const near = replacing(() => ({ serverTime: async () => new Date(Date.now() - 10_000) }));
    expect((await validateStorage(near)).at(-1)).toMatchObject({ outcome: 'passed' });
  });

  test('cancelling ends it, leaving it early too, and nothing is left behind', async () => {
    const controller = new AbortController();
    const cancelled = async (): Promise<void> => {
      for await (const { name } of storageChecks(openStorage(folder), { signal: controller.signal })) {
        if (name === 'save') controller.abort();
      }
    };
    await expect(cancelled()).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await packsLeft()).toEqual([]);
    for await (const { name } of storageChecks(openStorage(folder))) if (name === 'concurrency') break;
    expect(await packsLeft()).toEqual([]);
  });

  test('a repository in use is sound while it is tried', async (context) => {
    if (!(await resticAvailable())) return context.skip('restic is not installed');
    const repository = { repo: folder, password: 'secret' };
    await runRestic(repository, ['init']);
    await runRestic(repository, ['backup', import.meta.filename]);
    for await (const { name } of storageChecks(openStorage(folder))) {
      if (name !== 'concurrency') continue;
      expect((await packsLeft()).length).toBeGreaterThan(8);
      await runRestic(repository, ['snapshots']);
      await runRestic(repository, ['backup', import.meta.filename]);
    }
    await runRestic(repository, ['check', '--read-data']);
  });

  test('a REST server passes, its clock included', async (context) => {
    if (!(await rcloneAvailable())) return context.skip('rclone is not installed');
    await using peer = await startRcloneServer({ folder });
    const storage = openStorage(`rest:${peer.url}`, { environment: {} });
    expect(await outcomesOf(storage)).toEqual({ ...allPassed, clock: 'passed' });
    await storage.close();
  });
});
