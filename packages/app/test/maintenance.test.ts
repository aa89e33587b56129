import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  maintenanceSettingsSchema,
  newAppSchema,
  newSnapshotSchema,
  type Job,
  type JobType,
  type MaintenanceSettings,
} from '@varve/contract';
import { expectResticCheck, FakeClock, resticAvailable } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import type { Varve } from '../src/facade.ts';
import { openVarve } from '../src/index.ts';
import { planMaintenance } from '../src/schedule/maintenance-plan.ts';
import { temporaryFolder } from './engine-fixture.ts';

const dayMs = 86_400_000;
const hasRestic = (await resticAvailable()) !== undefined;

function jobAt(createdAt: string, facts: Partial<Job> = {}): Job {
  return {
    id: createdAt,
    type: 'prune',
    appId: null,
    requestedBy: 'schedule',
    state: 'succeeded',
    createdAt,
    startedAt: createdAt,
    finishedAt: createdAt,
    progress: null,
    snapshotId: null,
    error: null,
    problems: [],
    result: null,
    ...facts,
  };
}

const interrupted = { code: 'JOB_INTERRUPTED', message: 'x', hint: null };

function plan(
  facts: {
    forgottenAt?: string;
    prunes?: Job[];
    checks?: Job[];
    dataChecks?: number;
    settings?: Partial<MaintenanceSettings>;
  },
  now = '2026-03-10T12:00:00.000Z',
) {
  return planMaintenance({
    repository: {
      created_at: '2026-03-01T00:00:00.000Z',
      forgotten_at: facts.forgottenAt ?? null,
      data_checks: facts.dataChecks ?? 0,
    },
    settings: maintenanceSettingsSchema.parse(facts.settings ?? {}),
    prunes: facts.prunes ?? [],
    checks: facts.checks ?? [],
    now: new Date(now),
  });
}

describe('the plan of maintenance', () => {
  test('prunes when something was forgotten, and a day after the last try at the earliest', () => {
    const forgottenAt = '2026-03-10T10:00:00.000Z';
    expect(plan({}).pruneAt).toBeNull();
    expect(plan({ forgottenAt, settings: { prune: false } }).pruneAt).toBeNull();
    expect(plan({ forgottenAt }).pruneAt).toBe(forgottenAt);
    const tried = (facts: Partial<Job>) =>
      plan({ forgottenAt, prunes: [jobAt('2026-03-10T09:00:00.000Z', facts)] }).pruneAt;
    const nextDay = '2026-03-11T09:00:00.000Z';
    for (const facts of [
      {},
      { state: 'failed' },
      { state: 'failed', error: interrupted },
      { state: 'cancelled' },
      { state: 'running' },
      { requestedBy: 'user:Ana' },
    ] satisfies Partial<Job>[])
      expect(tried(facts)).toBe(nextDay);
    // It ended because Varve was stopped, which is nobody's fault.
    expect(tried({ state: 'cancelled', error: interrupted })).toBe(forgottenAt);
    expect(plan({ forgottenAt, prunes: [jobAt('2026-03-01T09:00:00.000Z')] }).pruneAt).toBe(forgottenAt);
  });

  test('never waits longer than one interval, whatever a clock that was ahead has written', () => {
    const ahead = [jobAt('2031-01-01T00:00:00.000Z')];
    expect(plan({ forgottenAt: '2026-03-10T10:00:00.000Z', prunes: ahead }).pruneAt).toBe('2026-03-11T12:00:00.000Z');
    expect(plan({ checks: ahead }).checkAt).toBe('2026-03-17T12:00:00.000Z');
  });

  test('checks weekly, from the first week on, and the next day when a check could not look', () => {
    expect(plan({}).checkAt).toBe('2026-03-08T00:00:00.000Z');
    expect(plan({ settings: { check: false } }).checkAt).toBeNull();
    expect(plan({ settings: { checkEveryDays: 30 } }).checkAt).toBe('2026-03-31T00:00:00.000Z');
    const checked = (facts: Partial<Job>) => plan({ checks: [jobAt('2026-03-09T00:00:00.000Z', facts)] }).checkAt;
    expect(checked({})).toBe('2026-03-16T00:00:00.000Z');
    expect(checked({ state: 'failed', error: { code: 'REPOSITORY_DAMAGED', message: 'x', hint: null } })).toBe(
      '2026-03-16T00:00:00.000Z',
    );
    expect(checked({ state: 'failed', error: { code: 'STORAGE_UNREACHABLE', message: 'x', hint: null } })).toBe(
      '2026-03-10T00:00:00.000Z',
    );
    // By hand perhaps less was read.
    expect(checked({ requestedBy: 'user:Ana' })).toBe('2026-03-08T00:00:00.000Z');
  });

  test('reads a part of the data with each check, so that all is read within the days that were set', () => {
    const scope = (dataChecks: number, settings: Partial<MaintenanceSettings> = {}) =>
      plan({ dataChecks, settings }).checkScope;
    expect([0, 1, 2, 3, 4].map((done) => scope(done))).toEqual(
      [1, 2, 3, 4, 1].map((part) => ({ data: 'part', part, parts: 4 })),
    );
    expect(scope(5, { readDataDays: 30 })).toEqual({ data: 'part', part: 1, parts: 5 });
    expect(scope(3, { readDataDays: 0 })).toEqual({ data: 'none' });
    expect(scope(3, { readDataDays: 7 })).toEqual({ data: 'all' });
    expect(scope(0, { checkEveryDays: 1, readDataDays: 3650 })).toMatchObject({ parts: 256 });
  });
});

async function installation(options: { readonly clock?: FakeClock } = {}) {
  const folder = await temporaryFolder();
  const dataDirectory = join(folder.path, 'data');
  const files = join(folder.path, 'files');
  await mkdir(files);
  return {
    files,
    dataDirectory,
    repository: join(dataDirectory, 'repository'),
    open: (more: { runInBackground?: boolean } = {}) =>
      openVarve({ dataDirectory, dockerHost: `unix://${folder.path}/no.sock`, clock: options.clock, ...more }),
    async addApp(varve: Varve) {
      const none = { keepDaily: 0, keepWeekly: 0, keepMonthly: 0 };
      const policy = { schedule: { enabled: false }, retention: { ...none, keepLast: 1 } };
      await varve.addApp(newAppSchema.parse({ type: 'host', id: 'shop', folders: [files], policy }));
    },
    /** A snapshot with a file of its own, and of the one before only what retention keeps. */
    async snapshotAndForget(varve: Varve) {
      await writeFile(join(files, 'data'), randomBytes(2_000_000));
      await ended(varve, await varve.startSnapshot('shop', newSnapshotSchema.parse({}), 'test'));
      const { remove, fingerprint } = await varve.previewRetention('shop');
      if (remove.length > 0) await ended(varve, await varve.startForget('shop', { fingerprint }, 'test'));
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

async function ended(varve: Varve, job: Job): Promise<Job> {
  const end = await varve.waitForJob(job.id);
  expect(end).toMatchObject({ state: 'succeeded', error: null });
  return end;
}

async function jobsOf(varve: Varve, type: JobType): Promise<Job[]> {
  return (await varve.listJobs({ limit: 500 })).filter((job) => job.type === type);
}

async function packBytes(repository: string): Promise<number> {
  const entries = await readdir(join(repository, 'data'), { recursive: true, withFileTypes: true });
  const sizes = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => stat(join(parentPath, name)));
  return (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0);
}

describe('the space of what was forgotten', () => {
  test('is shown by a preview and given back by a job, and nothing else is touched', async () => {
    await using i = await installation();
    await using varve = await i.open();
    await expect(varve.previewPrune()).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' });
    await expect(varve.startPrune('test')).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' });
    expect(await varve.getMaintenance()).toBeNull();
    await i.addApp(varve);
    await i.snapshotAndForget(varve);
    expect((await varve.getMaintenance())?.prune).toEqual({ pendingSince: null, nextAt: null, last: null });
    await i.snapshotAndForget(varve);
    const maintenance = await varve.getMaintenance();
    expect(maintenance?.prune.pendingSince).not.toBeNull();
    expect(maintenance?.prune.nextAt).toBe(maintenance?.prune.pendingSince);

    const before = await packBytes(i.repository);
    const preview = await varve.previewPrune();
    expect(preview).toMatchObject({ snapshots: 1, sizeBytes: before, maxUnusedPercent: 5 });
    expect(preview.freedBytes).toBeGreaterThan(2_000_000);
    expect(preview.sizeAfterBytes).toBe(before - preview.freedBytes);
    expect(await packBytes(i.repository)).toBe(before);

    const job = await ended(varve, await varve.startPrune('test'));
    const after = await packBytes(i.repository);
    expect(job).toMatchObject({ type: 'prune', appId: null, result: { type: 'prune' } });
    if (job.result?.type !== 'prune') throw new Error('no result');
    expect(job.result.bytesRemoved - job.result.bytesWritten).toBe(before - after);
    expect(after).toBeLessThan(before - 2_000_000);
    expect(await varve.getMaintenance()).toMatchObject({ prune: { pendingSince: null, last: { id: job.id } } });
    // The open repository knows what went: the next snapshot and a check of all data are good.
    await i.snapshotAndForget(varve);
    await ended(varve, await varve.startCheck({ readData: true }, 'test'));
    if (hasRestic) {
      await expectResticCheck(
        { repo: i.repository, password: (await varve.recoveryKit()).password },
        { readData: true },
      );
    }
  });

  test('comes back by itself, once a day, across restarts, and never beside a check', { timeout: 60_000 }, async () => {
    const clock = new FakeClock('2026-01-01T00:00:00Z');
    await using i = await installation({ clock });
    {
      await using varve = await i.open();
      await i.addApp(varve);
      await i.snapshotAndForget(varve);
      await i.snapshotAndForget(varve);
      // Nobody runs schedules here.
      expect(await jobsOf(varve, 'prune')).toEqual([]);
    }
    {
      await using varve = await i.open({ runInBackground: true });
      await expect.poll(async () => (await jobsOf(varve, 'prune'))[0]?.state, { timeout: 20_000 }).toBe('succeeded');
      clock.advance(dayMs / 2);
      await i.snapshotAndForget(varve);
      expect((await varve.getMaintenance())?.prune.nextAt).toBe('2026-01-02T00:00:00.000Z');
    }
    clock.advance(dayMs / 2 - 1);
    {
      await using varve = await i.open({ runInBackground: true });
      const check = await ended(varve, await varve.startCheck({ readData: false }, 'test'));
      expect(check.result).toMatchObject({ type: 'check', scope: { data: 'none' }, affected: [] });
      expect(await jobsOf(varve, 'prune')).toHaveLength(1);
    }
    clock.advance(1);
    {
      await using varve = await i.open({ runInBackground: true });
      await expect
        .poll(async () => (await jobsOf(varve, 'prune')).map(({ state }) => state), { timeout: 20_000 })
        .toEqual(['succeeded', 'succeeded']);
      expect((await varve.getMaintenance())?.prune).toMatchObject({ pendingSince: null, nextAt: null });
      const both = await Promise.allSettled([varve.startPrune('test'), varve.startCheck({ readData: false }, 'test')]);
      expect(both.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'APP_BUSY' } });
    }
  });

  test('is noticed when another program forgot the snapshots', { timeout: 30_000 }, async (context) => {
    if (!hasRestic) context.skip('restic is not installed');
    await using i = await installation();
    await using varve = await i.open();
    await i.addApp(varve);
    await i.snapshotAndForget(varve);
    const [snapshot] = await varve.listSnapshots('shop');
    await rm(join(i.repository, 'snapshots', snapshot?.id ?? ''));
    await varve.previewRetention('shop');
    expect((await varve.getMaintenance())?.prune.pendingSince).not.toBeNull();
  });

  test('that cannot be given back alerts, and is tried again the next day', { timeout: 30_000 }, async () => {
    const clock = new FakeClock('2026-01-01T00:00:00Z');
    await using i = await installation({ clock });
    await using varve = await i.open();
    await i.addApp(varve);
    await i.snapshotAndForget(varve);
    await i.snapshotAndForget(varve);
    const index = join(i.repository, 'index');
    const [name = ''] = await readdir(index);
    await writeFile(join(index, name), 'ruined').catch(async () => {
      await rm(join(index, name));
      await writeFile(join(index, name), 'ruined');
    });
    const job = await varve.waitForJob((await varve.startPrune('schedule')).id);
    expect(job).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_DAMAGED' } });
    expect(await varve.listAlerts({ open: true })).toContainEqual(
      expect.objectContaining({
        code: 'job-failed',
        appId: null,
        message: expect.stringContaining('Unused space of the repository could not be given back') as string,
      }),
    );
    const { prune } = (await varve.getMaintenance()) ?? {};
    expect(prune).toMatchObject({ nextAt: '2026-01-02T00:00:00.000Z', last: { state: 'failed' } });
    expect(prune?.pendingSince).not.toBeNull();
  });
});

describe('the scheduled check', () => {
  test(
    'reads the parts of the data in turn, and one with damage again, which alerts with the files named',
    {
      timeout: 60_000,
    },
    async () => {
      const clock = new FakeClock('2026-01-01T00:00:00Z');
      await using i = await installation({ clock });
      {
        await using varve = await i.open();
        await i.addApp(varve);
        // Until there is one in the second half, by the first byte of its name.
        for (let number = 0; (await dataPacks(i.repository, 2)).length === 0; number++) {
          await writeFile(join(i.files, `data-${number}`), randomBytes(200_000));
          await ended(varve, await varve.startSnapshot('shop', newSnapshotSchema.parse({}), 'test'));
        }
        await varve.updateSettings({
          maintenance: { prune: true, check: true, checkEveryDays: 7, readDataDays: 14 },
        });
        expect((await varve.getMaintenance())?.check).toMatchObject({
          nextAt: '2026-01-08T00:00:00.000Z',
          nextScope: { data: 'part', part: 1, parts: 2 },
          last: null,
        });
      }
      const nextCheck = async (count: number): Promise<Job | undefined> => {
        clock.advance(7 * dayMs);
        await using varve = await i.open({ runInBackground: true });
        await expect
          .poll(async () => (await jobsOf(varve, 'check')).filter(({ finishedAt }) => finishedAt !== null).length, {
            timeout: 20_000,
          })
          .toBe(count);
        return (await jobsOf(varve, 'check'))[0];
      };
      const first = await nextCheck(1);
      expect(first).toMatchObject({ state: 'succeeded', result: { scope: { data: 'part', part: 1, parts: 2 } } });
      await damage(await dataPacks(i.repository, 2));
      for (const count of [2, 3]) {
        const damaged = await nextCheck(count);
        expect(damaged).toMatchObject({
          state: 'failed',
          error: { code: 'REPOSITORY_DAMAGED' },
          result: { scope: { data: 'part', part: 2, parts: 2 } },
        });
      }
      await using varve = await i.open();
      const [job] = await jobsOf(varve, 'check');
      if (job?.result?.type !== 'check') throw new Error('no result');
      expect(job.result.errors).toBeGreaterThan(0);
      const ofCheck = async () => (await varve.listAlerts({ open: true })).filter(({ appId }) => appId === null);
      const [alert] = await ofCheck();
      expect(alert).toMatchObject({ code: 'job-failed', appId: null });
      expect(alert?.message).toContain(job.result.affected[0]?.path);
      // The structure is good, which says nothing of the data.
      await ended(varve, await varve.startCheck({ readData: false }, 'test'));
      expect(await ofCheck()).toHaveLength(1);
    },
  );

  test('of everything names each damaged file with its snapshot in its result', async () => {
    await using i = await installation();
    await using varve = await i.open();
    await i.addApp(varve);
    await i.snapshotAndForget(varve);
    await damage(await dataPacks(i.repository));
    const job = await varve.waitForJob((await varve.startCheck({ readData: true }, 'test')).id);
    expect(job).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_DAMAGED' } });
    if (job.result?.type !== 'check') throw new Error('no result');
    expect(job.result.affectedCount).toBeGreaterThan(0);
    const path = '/volumes/files/data';
    expect(job.result.affected).toContainEqual(expect.objectContaining({ path, type: 'file' }));
    expect(job.error?.message).toContain('Affected: ');
  });
});

/** Packs that hold contents of files; those of the first or second half when asked. */
async function dataPacks(repository: string, part?: 1 | 2): Promise<string[]> {
  const entries = await readdir(join(repository, 'data'), { recursive: true, withFileTypes: true });
  const packs: string[] = [];
  for (const { name, parentPath } of entries.filter((entry) => entry.isFile())) {
    const path = join(parentPath, name);
    const isWanted = part === undefined || Number.parseInt(name.slice(0, 2), 16) % 2 === part - 1;
    if (isWanted && (await stat(path)).size > 100_000) packs.push(path);
  }
  return packs;
}

/** Flips a bit in the middle of each. */
async function damage(packs: readonly string[]): Promise<void> {
  for (const path of packs) {
    const bytes = await readFile(path);
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    await chmod(path, 0o600);
    await writeFile(path, bytes);
  }
}
