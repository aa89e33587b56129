import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Secret } from '@varve/base';
import {
  newAppSchema,
  newSnapshotSchema,
  policySchema,
  settingsUpdateSchema,
  type App,
  type PolicyInput,
  type VarveEvent,
} from '@varve/contract';
import { FakeClock, startMailSink } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve } from '../src/index.ts';
import type { Varve } from '../src/facade.ts';
import { temporaryFolder } from './engine-fixture.ts';

const manual = newSnapshotSchema.parse({});

function resticVersion(): string | undefined {
  try {
    return execFileSync('restic', ['version'], { encoding: 'utf8' });
  } catch {
    return undefined;
  }
}
const hasRestic = resticVersion() !== undefined;

/** A host app of one folder with some files, in an installation of its own. */
async function startInstallation(options: { policy?: PolicyInput; clock?: FakeClock } = {}) {
  const folder = await temporaryFolder();
  const dataDirectory = join(folder.path, 'data');
  const files = join(folder.path, 'files');
  await mkdir(files);
  await writeFile(join(files, 'a.txt'), 'first');
  const open = (more: { runInBackground?: boolean } = {}): Promise<Varve> =>
    openVarve({ dataDirectory, dockerHost: `unix://${folder.path}/no.sock`, clock: options.clock, ...more });
  return {
    path: folder.path,
    dataDirectory,
    files,
    open,
    addApp: (varve: Varve): Promise<App> =>
      varve.addApp(newAppSchema.parse({ type: 'host', id: 'shop', folders: [files], policy: options.policy ?? {} })),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

async function snapshotNow(varve: Varve, appId = 'shop') {
  const job = await varve.startSnapshot(appId, manual, 'test');
  return varve.waitForJob(job.id);
}

function restic(kit: { location: string; password: string }, ...parameters: string[]): string {
  return execFileSync('restic', ['-r', kit.location, ...parameters], {
    encoding: 'utf8',
    env: { ...process.env, RESTIC_PASSWORD: kit.password },
  });
}

describe('an installation', () => {
  test('makes a private local repository with a strong password when the first app is added', async () => {
    await using installation = await startInstallation();
    await using varve = await installation.open();
    expect(await varve.getRepository()).toBeNull();
    await expect(varve.recoveryKit()).rejects.toMatchObject({ code: 'REPOSITORY_NOT_FOUND' });
    const app = await installation.addApp(varve);
    expect(app).toMatchObject({ id: 'shop', policy: { schedule: { cron: '0 */4 * * *' } } });
    expect(await varve.getRepository()).toMatchObject({ state: 'ready', problem: null, recoveryKitConfirmed: false });
    const kit = await varve.recoveryKit();
    expect(kit.password).toMatch(/^(\w{4}-){6}\w{4}$/);
    expect(kit.commands).toHaveLength(3);
    await varve.confirmRecoveryKit();
    expect((await varve.getRepository())?.recoveryKitConfirmed).toBe(true);
    expect((await stat(installation.dataDirectory)).mode & 0o777).toBe(0o700);
    await expect(installation.addApp(varve)).rejects.toMatchObject({ code: 'APP_EXISTS' });
    for (const file of await readdir(installation.dataDirectory, { recursive: true, withFileTypes: true })) {
      if (!file.isFile()) continue;
      const bytes = await readFile(join(file.parentPath, file.name));
      expect(bytes.includes(kit.password), `${file.name} holds the password`).toBe(false);
    }
  });

  test('refuses an app with a schedule that is none, and makes nothing', async () => {
    await using installation = await startInstallation({ policy: { schedule: { cron: 'often' } } });
    await using varve = await installation.open();
    await expect(installation.addApp(varve)).rejects.toMatchObject({ code: 'SETTINGS_INVALID' });
    expect(await varve.getRepository()).toBeNull();
    await expect(varve.getApp('shop')).rejects.toMatchObject({ code: 'APP_NOT_FOUND' });
  });

  test('takes snapshots as jobs and says how well the app is protected', async () => {
    await using installation = await startInstallation();
    await using varve = await installation.open();
    await installation.addApp(varve);
    expect((await varve.getApp('shop')).protection).toMatchObject({ level: 'never', snapshotCount: 0 });
    const events: VarveEvent[] = [];
    const started = await varve.startSnapshot('shop', newSnapshotSchema.parse({ name: 'Before the sale' }), 'user:ana');
    const job = await varve.waitForJob(started.id, { onEvent: (event) => events.push(event) });
    expect(job).toMatchObject({ state: 'succeeded', error: null, requestedBy: 'user:ana' });
    expect(events.some((event) => event.type === 'job' && event.job.state === 'succeeded')).toBe(true);
    const [snapshot] = await varve.listSnapshots('shop');
    expect(snapshot).toMatchObject({ id: job.snapshotId, name: 'Before the sale', kind: 'manual', partial: false });
    const details = await varve.getSnapshot('shop', (job.snapshotId ?? '').slice(0, 8));
    expect(details.manifest.app.id).toBe('shop');
    expect(await varve.getApp('shop')).toMatchObject({
      protection: { level: 'protected', lastSnapshotId: job.snapshotId, snapshotCount: 1, runningJobId: null },
    });
    expect((await varve.getJob(job.id)).log.length).toBeGreaterThan(0);
    await expect(varve.startSnapshot('nope', manual, 'test')).rejects.toMatchObject({ code: 'APP_NOT_FOUND' });
    await expect(varve.waitForJob('nope')).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' });
  });

  test('fails a snapshot whose folder is gone, opens an alert, and closes it with the next success', async () => {
    await using installation = await startInstallation();
    await using varve = await installation.open();
    await installation.addApp(varve);
    await snapshotNow(varve);
    await rm(installation.files, { recursive: true });
    const failed = await snapshotNow(varve);
    expect(failed).toMatchObject({ state: 'failed', snapshotId: null, error: { code: 'ARCHIVE_SOURCE_MISSING' } });
    expect(await varve.listSnapshots('shop')).toHaveLength(1);
    expect((await varve.getApp('shop')).protection).toMatchObject({
      level: 'failing',
      failure: { code: 'ARCHIVE_SOURCE_MISSING' },
    });
    expect(await varve.listAlerts({ open: true })).toMatchObject([{ code: 'job-failed', appId: 'shop' }]);
    await mkdir(installation.files);
    await snapshotNow(varve);
    expect(await varve.listAlerts({ open: true })).toEqual([]);
  });

  test('restores after a plan, with a safety snapshot first', async () => {
    await using installation = await startInstallation();
    await using varve = await installation.open();
    await installation.addApp(varve);
    const taken = await snapshotNow(varve);
    await writeFile(join(installation.files, 'a.txt'), 'spoiled');
    const request = { snapshotId: taken.snapshotId ?? '', safetySnapshot: true };
    const plan = await varve.planRestore('shop', request);
    const stale = await varve.startRestore('shop', { ...request, fingerprint: 'outdated' }, 'test');
    expect(await varve.waitForJob(stale.id)).toMatchObject({ state: 'failed', error: { code: 'RESTORE_PLAN_STALE' } });
    expect(await readFile(join(installation.files, 'a.txt'), 'utf8')).toBe('spoiled');
    const job = await varve.startRestore('shop', { ...request, fingerprint: plan.fingerprint }, 'test');
    expect(await varve.waitForJob(job.id)).toMatchObject({ state: 'succeeded', snapshotId: taken.snapshotId });
    expect(await readFile(join(installation.files, 'a.txt'), 'utf8')).toBe('first');
    expect((await varve.listSnapshots('shop')).map(({ kind }) => kind)).toEqual(['pre-restore', 'manual']);
  });

  test('removes by retention exactly what the preview showed', async () => {
    const clock = new FakeClock('2026-03-01T00:00:00Z');
    await using installation = await startInstallation({ clock });
    await using varve = await installation.open();
    await installation.addApp(varve);
    for (let day = 0; day < 3; day++) {
      await writeFile(join(installation.files, 'a.txt'), `day ${day}`);
      await snapshotNow(varve);
      clock.advance(86_400_000);
    }
    const retention = { keepLast: 1, keepDaily: 0, keepWeekly: 0, keepMonthly: 0 };
    await varve.updatePolicy('shop', policySchema.parse({ retention }));
    const seen = await varve.previewRetention('shop');
    expect(seen.remove).toHaveLength(2);
    await snapshotNow(varve);
    const stale = await varve.startForget('shop', { fingerprint: seen.fingerprint }, 'test');
    expect(await varve.waitForJob(stale.id)).toMatchObject({
      state: 'failed',
      error: { code: 'RETENTION_PLAN_STALE' },
    });
    expect(await varve.listSnapshots('shop')).toHaveLength(4);
    const { fingerprint, keep } = await varve.previewRetention('shop');
    const job = await varve.startForget('shop', { fingerprint }, 'test');
    expect((await varve.waitForJob(job.id)).state).toBe('succeeded');
    expect((await varve.listSnapshots('shop')).map(({ id }) => id)).toEqual(keep.map(({ snapshot }) => snapshot.id));
    const check = await varve.startCheck({ readData: true }, 'test');
    expect(await varve.waitForJob(check.id)).toMatchObject({ state: 'succeeded', appId: null });
  });

  test('rebuilds a lost catalogue by itself, apps, snapshots and access to the repository', async () => {
    await using installation = await startInstallation();
    let snapshotId: string | null = null;
    {
      await using varve = await installation.open();
      await installation.addApp(varve);
      ({ snapshotId } = await snapshotNow(varve));
    }
    for (const suffix of ['', '-wal', '-shm']) {
      await rm(join(installation.dataDirectory, `catalogue.sqlite${suffix}`), { force: true });
    }
    await using varve = await installation.open();
    expect((await varve.getApp('shop')).protection).toMatchObject({ lastSnapshotId: snapshotId, snapshotCount: 1 });
    expect((await snapshotNow(varve)).state).toBe('succeeded');
    expect(await varve.rebuildCatalogue()).toEqual({ apps: 0, snapshots: 2 });
  });

  test('connects the repository of another host with its password, and no other while apps use one', async () => {
    await using first = await startInstallation();
    const location = join(first.path, 'elsewhere');
    {
      await using varve = await first.open();
      const info = await varve.connectRepository({
        location,
        password: new Secret('long enough to be taken'),
        create: true,
      });
      expect(info).toMatchObject({ location, state: 'ready' });
      await first.addApp(varve);
      await snapshotNow(varve);
      await expect(
        varve.connectRepository({ location: join(first.path, 'third'), create: true }),
      ).rejects.toMatchObject({ code: 'REPOSITORY_EXISTS' });
    }
    await using second = await startInstallation();
    await using varve = await second.open();
    const password = new Secret('not the password at all');
    await expect(varve.connectRepository({ location, password, create: false })).rejects.toMatchObject({
      code: 'REPOSITORY_PASSWORD_WRONG',
    });
    await expect(varve.connectRepository({ location, create: false })).rejects.toMatchObject({
      code: 'REPOSITORY_PASSWORD_MISSING',
    });
    await expect(varve.connectRepository({ location: second.files, password, create: false })).rejects.toMatchObject({
      code: 'REPOSITORY_NOT_FOUND',
    });
    expect(await varve.getRepository()).toBeNull();
    await varve.connectRepository({ location, password: new Secret('long enough to be taken'), create: false });
    expect(await varve.rebuildCatalogue()).toEqual({ apps: 1, snapshots: 1 });
    expect(await varve.listSnapshots('shop')).toHaveLength(1);
  });

  test.skipIf(!hasRestic)('refuses to save to a repository of format 1, and names the remedy', async () => {
    await using installation = await startInstallation();
    const location = join(installation.path, 'old');
    restic({ location, password: 'the old password' }, 'init', '--repository-version', '1');
    await using varve = await installation.open();
    await expect(
      varve.connectRepository({ location, password: new Secret('the old password'), create: false }),
    ).rejects.toMatchObject({
      code: 'REPOSITORY_VERSION_UNSUPPORTED',
      hint: expect.stringContaining('migrate upgrade_repo_v2'),
    });
    expect(await varve.getRepository()).toBeNull();
  });

  test.skipIf(!hasRestic)(
    'gives a recovery kit with which plain restic lists, checks and restores (needs restic)',
    async () => {
      await using installation = await startInstallation();
      await using varve = await installation.open();
      await installation.addApp(varve);
      const { snapshotId } = await snapshotNow(varve);
      const kit = await varve.recoveryKit();
      expect(restic(kit, 'snapshots', '--json')).toContain(snapshotId);
      restic(kit, 'check', '--read-data');
      const target = join(installation.path, 'restored');
      restic(kit, 'restore', 'latest', '--tag', 'app:shop', '--target', target);
      const found = (await readdir(target, { recursive: true })).find((path) => path.endsWith('a.txt'));
      expect(await readFile(join(target, found ?? ''), 'utf8')).toBe('first');
    },
  );

  test('finds a missing pack and says so, and only warns of what a killed run left', async () => {
    await using installation = await startInstallation();
    await using varve = await installation.open();
    await installation.addApp(varve);
    await snapshotNow(varve);
    const data = join(installation.dataDirectory, 'repository', 'data');
    const orphan = 'ab'.repeat(32);
    await writeFile(join(data, 'ab', orphan), 'left by a run that was killed');
    const warned = await varve.startCheck({ readData: false }, 'test');
    expect((await varve.waitForJob(warned.id)).state).toBe('succeeded');
    const { log } = await varve.getJob(warned.id);
    expect(log).toContainEqual(expect.objectContaining({ level: 'warning', message: expect.stringContaining(orphan) }));
    await rm(join(data, 'ab', orphan));
    const pack = (await readdir(data, { recursive: true })).find((path) => /[0-9a-f]{64}$/.test(path));
    await rm(join(data, pack ?? 'no pack'));
    const check = await varve.startCheck({ readData: false }, 'test');
    expect(await varve.waitForJob(check.id)).toMatchObject({ state: 'failed', error: { code: 'REPOSITORY_DAMAGED' } });
    expect(await varve.listAlerts({ open: true })).toMatchObject([{ code: 'job-failed', appId: null }]);
  });

  test('cancels what runs when it is closed, and leaves no snapshot of it', async () => {
    await using installation = await startInstallation();
    await writeFile(join(installation.files, 'big'), Buffer.alloc(64 * 1024 * 1024, 7));
    const first = await installation.open();
    await installation.addApp(first);
    const { id } = await first.startSnapshot('shop', manual, 'test');
    await expect(first.startSnapshot('shop', manual, 'test')).rejects.toMatchObject({
      code: 'APP_BUSY',
      context: { jobId: id },
    });
    await expect(first.removeApp('shop')).rejects.toMatchObject({ code: 'APP_BUSY' });
    await first[Symbol.asyncDispose]();
    await using second = await installation.open();
    const { job } = await second.getJob(id);
    expect(['cancelled', 'succeeded']).toContain(job.state);
    expect(await second.listSnapshots('shop')).toHaveLength(job.state === 'succeeded' ? 1 : 0);
    await second.rebuildCatalogue();
    expect(await second.listSnapshots('shop')).toHaveLength(job.state === 'succeeded' ? 1 : 0);
  });

  test('that nobody uses any more can be moved as a folder', async () => {
    await using installation = await startInstallation();
    {
      await using varve = await installation.open();
      await installation.addApp(varve);
      await snapshotNow(varve);
      await varve.removeApp('shop');
      expect(await varve.listApps()).toEqual([]);
    }
    const copy = join(installation.path, 'copy');
    await cp(installation.dataDirectory, copy, { recursive: true });
    await using varve = await openVarve({ dataDirectory: copy });
    expect((await varve.getRepository())?.state).toBe('ready');
  });
});

describe('what the server needs', () => {
  test('a sealed secret and the name of the host stay the same, and accounts have a private file', async () => {
    await using installation = await startInstallation();
    const open = (hostName: string) => openVarve({ dataDirectory: installation.dataDirectory, hostName });
    let first: string;
    {
      await using varve = await open('srv1');
      first = (await varve.serverSecret('session')).reveal();
      expect(first).toMatch(/^[\w-]{43}$/);
      const database = varve.openAccountsDatabase();
      database.exec('CREATE TABLE t (a)');
      database.close();
    }
    await using varve = await open('renamed');
    expect((await varve.serverSecret('session')).reveal()).toBe(first);
    expect((await varve.serverSecret('other')).reveal()).not.toBe(first);
    expect(varve.hostName).toBe('srv1');
    const mode = async (name: string) => (await stat(join(installation.dataDirectory, name))).mode & 0o777;
    expect(await mode('accounts.sqlite')).toBe(0o600);
  });

  test('an e-mail arrives when a snapshot fails while the server runs, and a test message when asked', async () => {
    await using sink = await startMailSink();
    await using installation = await startInstallation();
    await using varve = await installation.open({ runInBackground: true });
    await expect(varve.sendTestEmail()).rejects.toMatchObject({ code: 'SETTINGS_INVALID' });
    const { email } = await varve.getSettings();
    const mail = { host: '127.0.0.1', port: sink.port, security: 'none', from: 'v@example.com', to: ['a@example.com'] };
    await varve.updateSettings(
      settingsUpdateSchema.parse({ email: { ...email, ...mail, enabled: true, language: 'es' } }),
    );
    await varve.sendTestEmail();
    expect(sink.mails[0]?.subject).toBe('[Varve] Mensaje de prueba');
    await installation.addApp(varve);
    await rm(installation.files, { recursive: true });
    await snapshotNow(varve);
    await until(() => Promise.resolve(sink.mails.length === 2));
    expect(sink.mails[1]?.subject).toBe('[Varve] La instantánea de shop ha fallado');
    await until(async () => (await varve.listAlerts({ open: true }))[0]?.notifiedAt !== null);
  });
});

describe('several processes on one data directory', () => {
  test(
    'see each other’s jobs, and a killed one’s job ends as interrupted with the repository sound',
    { timeout: 60_000 },
    async () => {
      await using installation = await startInstallation();
      await writeFile(join(installation.files, 'big'), Buffer.alloc(8 * 1024 * 1024, 7));
      await using varve = await installation.open();
      await installation.addApp(varve);
      const stop = new AbortController();
      const events = varve.events({ signal: stop.signal })[Symbol.asyncIterator]();
      const program = join(import.meta.dirname, 'processes', 'snapshot-and-hang.ts');
      const next = events.next();
      const child = spawn(process.execPath, [program, installation.dataDirectory, 'shop'], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      try {
        await once(child.stdout, 'data');
        const seen = await next;
        expect(seen.done).toBe(false);
        const [running] = await varve.listJobs({ appId: 'shop' });
        expect(running?.requestedBy).toBe('another process');
        await expect(varve.startSnapshot('shop', manual, 'test')).rejects.toMatchObject({ code: 'APP_BUSY' });
        child.kill('SIGKILL');
        await once(child, 'exit');
        // The dead job is in nobody's way: starting one looks whether its process lives.
        expect((await snapshotNow(varve)).state).toBe('succeeded');
        expect(await varve.getJob(running?.id ?? '')).toMatchObject({
          job: { state: 'failed', error: { code: 'JOB_INTERRUPTED' } },
        });
        if (hasRestic) restic(await varve.recoveryKit(), 'check', '--read-data');
      } finally {
        child.kill('SIGKILL');
        stop.abort();
      }
    },
  );
});

describe('the background work', () => {
  test(
    'catches up the scheduled snapshot that was missed and removes what retention does not keep',
    { timeout: 60_000 },
    async () => {
      const clock = new FakeClock('2026-03-01T00:30:00Z');
      const retention = { keepLast: 1, keepDaily: 0, keepWeekly: 0, keepMonthly: 0 };
      await using installation = await startInstallation({ clock, policy: { retention } });
      {
        await using varve = await installation.open({ runInBackground: true });
        await installation.addApp(varve);
        await snapshotNow(varve);
        await until(async () => (await varve.getApp('shop')).protection.nextRunAt !== null);
        await wait(100);
      }
      clock.set('2026-03-03T00:10:00Z');
      await using varve = await installation.open({ runInBackground: true });
      await until(async () =>
        (await varve.listJobs({ appId: 'shop' })).some(({ type, state }) => type === 'forget' && state === 'succeeded'),
      );
      const snapshots = await varve.listSnapshots('shop');
      expect(snapshots).toMatchObject([{ kind: 'scheduled' }]);
      // What was removed leaves space, which comes back right after; that job may still run.
      const scheduled = (await varve.listJobs()).filter(({ requestedBy }) => requestedBy === 'schedule');
      expect(scheduled.map(({ type }) => type).filter((type) => type !== 'prune')).toEqual(['forget', 'snapshot']);
      expect((await varve.getApp('shop')).protection).toMatchObject({ level: 'protected' });
      expect((await varve.getApp('shop')).protection.nextRunAt).toMatch(/^2026-03-03T04:00/);
    },
  );
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await wait(50);
}

describe('doctor', () => {
  test('looks at everything and says what to do', async () => {
    await using installation = await startInstallation();
    await using varve = await installation.open();
    const before = new Map((await varve.doctor()).map((check) => [check.name, check]));
    expect([...before.keys()]).toEqual([
      'node',
      'data-directory',
      'catalogue',
      'repository',
      'docker',
      'git',
      'clock',
      'email',
    ]);
    expect(before.get('node')?.state).toBe('ok');
    expect(before.get('docker')).toMatchObject({ state: 'warning', hint: expect.any(String) });
    expect(before.get('repository')).toMatchObject({ state: 'warning', hint: expect.stringContaining('Add an app') });
    await installation.addApp(varve);
    await varve.confirmRecoveryKit();
    const after = new Map((await varve.doctor()).map((check) => [check.name, check.state]));
    expect(after.get('repository')).toBe('ok');
    expect(after.get('app:shop:schedule')).toBe('ok');
    await rm(installation.files, { recursive: true });
    await rm(join(installation.dataDirectory, 'repository', 'config'));
    const broken = (await varve.doctor()).filter(({ state }) => state === 'failed');
    expect(broken.map(({ name }) => name)).toEqual(['repository', expect.stringMatching(/^app:shop:/)]);
    expect(broken.every(({ hint }) => hint !== null)).toBe(true);
  });
});
