// The whole path with a real Docker Engine: a Compose app with PostgreSQL, volumes and a git bind mount is snapshotted while
// it is written to, loses its data, and is brought back.

import { execa } from 'execa';
import { appendFile, chmod, mkdir, readFile, rm, writeFile, readdir } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { sleep } from '@varve/base';
import type { App, DiscoveredApp } from '@varve/contract';
import { connectDocker } from '@varve/docker';
import {
  dockerLab,
  expectResticCheck,
  resticAvailable,
  startBusinessApp,
  suiteName,
  type BusinessApp,
} from '@varve/testing';
import { afterAll, describe, expect, test } from 'vitest';
import { discoverApps } from '../src/discovery/discover-apps.ts';
import { restartStopped } from '../src/quiesce/restart-stopped.ts';
import { planRestore } from '../src/restore/plan-restore.ts';
import { runRestore } from '../src/restore/run-restore.ts';
import { takeSnapshot } from '../src/snapshot/take-snapshot.ts';
import { describeTree } from './file-tree.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';

const lab = await dockerLab();
afterAll(() => lab[Symbol.asyncDispose]());
const timeout = 300_000;

async function discover(business: BusinessApp): Promise<DiscoveredApp> {
  const docker = await connectDocker({ host: lab.host });
  const found = (await discoverApps({ docker, apps: [] })).find(({ name }) => name === business.project);
  if (found === undefined) throw new Error(`${business.project} was not discovered`);
  return found;
}

async function appOf(
  fixture: RunFixture,
  business: BusinessApp,
  consistency: App['policy']['consistency'] = 'live',
): Promise<App> {
  const { components, origin } = await discover(business);
  return fixture.app(components, { origin, policy: { consistency } });
}

const git = async (business: BusinessApp, ...parameters: readonly string[]): Promise<string> =>
  (
    await execa(
      'git',
      [
        '-c',
        'user.name=T',
        '-c',
        'user.email=t@example.org',
        '-c',
        `safe.directory=${business.checkout}`,
        ...parameters,
      ],
      { cwd: business.checkout },
    )
  ).stdout;

const volumePath = (business: BusinessApp, name: string): Promise<string> =>
  lab.docker('volume', 'inspect', '--format', '{{.Mountpoint}}', `${business.project}_${name}`);

const ordersHash = (business: BusinessApp): Promise<string> =>
  business.sql("SELECT count(*) || ' ' || md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o");

const stateOf = async (business: BusinessApp, service: 'db' | 'web'): Promise<string> =>
  lab.docker('inspect', '--format', '{{.State.Status}}', await business.containerId(service));

/** What a restore must bring back, of the parts that the app does not write to by itself. */
async function facts(business: BusinessApp) {
  return {
    orders: await ordersHash(business),
    documents: await describeTree(join(await volumePath(business, 'files'), 'documents'), { folderTimes: true }),
    commit: await git(business, 'rev-parse', 'HEAD'),
    status: await git(business, 'status', '--porcelain=v1', '--branch'),
    checkout: await describeTree(business.checkout, { without: ['.git'] }),
    roles: await business.sql("SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles WHERE rolname !~ '^pg_'"),
  };
}

/** Rows that name a file which is not in the volume: none, when the database's point is before the files'. */
async function rowsWithoutFile(business: BusinessApp): Promise<string[]> {
  // Rows first: the app goes on writing a file, then its row.
  const rows = (await business.sql('SELECT path FROM uploads')).split('\n').filter((path) => path !== '');
  const files = await describeTree(await volumePath(business, 'files'));
  return rows.filter((path) => files[path] === undefined);
}

async function destroyData(business: BusinessApp): Promise<void> {
  await business.sql(
    "DELETE FROM orders WHERE id % 2 = 0; UPDATE orders SET note = 'damaged'; DROP TABLE uploads; DROP OWNED BY clerk; DROP ROLE clerk",
  );
  const files = await volumePath(business, 'files');
  await rm(join(files, 'documents'), { recursive: true });
  await writeFile(join(files, 'intruder.txt'), 'was not there');
  await appendFile(join(business.checkout, 'settings.ini'), 'broken = yes\n');
  await git(business, 'commit', '-qam', 'bad commit');
}

/** A loopback port that leads to a Unix socket. */
async function tcpTo(socketPath: string): Promise<{ readonly url: string } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ path: socketPath, allowHalfOpen: true });
    for (const socket of [near, far]) sockets.add(socket.on('error', () => socket.destroy()));
    near.pipe(far).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `tcp://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

describe.skipIf(!lab.available)(suiteName('a Compose app', lab), () => {
  test('is discovered with its database, volumes, checkout and Compose files', { timeout }, async () => {
    await using business = await startBusinessApp(lab, { orders: 10, documents: 3 });
    const app = await discover(business);
    expect(app.components).toMatchObject([
      { kind: 'database', name: 'db', method: 'dump', source: { type: 'container', service: 'db', user: 'shop' } },
      { kind: 'code', path: business.checkout },
      { kind: 'volume', name: 'files', source: { type: 'docker-volume', volume: `${business.project}_files` } },
      { kind: 'config', files: [join(business.folder, '.env'), business.composeFile] },
    ]);
    expect(app.notSaved).toMatchObject([
      { what: expect.stringContaining('db-data'), reason: expect.stringContaining('pg_dump') },
    ]);
    expect(app.containers.map(({ service, state }) => `${service} ${state}`)).toEqual(['db running', 'web running']);
    expect(app).toMatchObject({
      addedAs: null,
      isOdoo: false,
      origin: { type: 'docker', project: business.project, grouping: 'compose' },
    });
  });

  test('has as many files in its snapshot as in its volume', { timeout }, async () => {
    await using fixture = await runFixture({ dockerHost: lab.host });
    await using business = await startBusinessApp(lab, { orders: 10, documents: 3 });
    const app = await appOf(fixture, business);
    await lab.docker('stop', '--time', '2', await business.containerId('web'));
    const { manifest } = await fixture.snapshot(app);
    const files = await readdir(await volumePath(business, 'files'), { recursive: true, withFileTypes: true });
    expect(manifest.components.find(({ kind }) => kind === 'volume')).toMatchObject({
      files: files.filter((entry) => entry.isFile()).length,
    });
  });

  test('snapshotted under writes comes back after its rows, files and commit were damaged', { timeout }, async () => {
    await using fixture = await runFixture({ dockerHost: lab.host });
    await using business = await startBusinessApp(lab);
    await business.sql("CREATE ROLE clerk LOGIN PASSWORD 'clerk'; GRANT SELECT ON orders TO clerk");
    const app = await appOf(fixture, business);
    await sleep(3000);
    const before = await facts(business);
    const taken = await fixture.snapshot(app);
    expect(taken.problems).toEqual([]);
    expect(taken.snapshot).toMatchObject({
      commit: before.commit,
      walLsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/),
    });
    expect(JSON.stringify(taken.manifest)).not.toContain(business.database.password);

    await destroyData(business);
    expect(await ordersHash(business)).not.toBe(before.orders);
    const restored = await fixture.restore(app, taken, { safetySnapshot: true });
    expect(restored.problems).toEqual([]);
    expect(restored.safetySnapshotId).not.toBeNull();
    expect(await facts(business)).toEqual(before);
    expect(await rowsWithoutFile(business)).toEqual([]);
    expect([await stateOf(business, 'db'), await stateOf(business, 'web')]).toEqual(['running', 'running']);
    expect(fixture.journal.size).toBe(0);
    // The app goes on working on what was restored.
    const rows = Number(await business.sql('SELECT count(*) FROM uploads'));
    await expect
      .poll(() => business.sql('SELECT count(*) FROM uploads').then(Number), { timeout: 10_000 })
      .toBeGreaterThan(rows);
    if ((await resticAvailable()) !== undefined) await expectResticCheck(fixture, { readData: true });
  });

  test('comes back after its containers, volumes, Compose file and checkout were removed', { timeout }, async () => {
    await using fixture = await runFixture({ dockerHost: lab.host });
    await using business = await startBusinessApp(lab, { orders: 200, documents: 10 });
    await business.sql("CREATE ROLE clerk LOGIN PASSWORD 'clerk'");
    const app = await appOf(fixture, business);
    await sleep(2000);
    const before = await facts(business);
    const taken = await fixture.snapshot(app);
    await business.compose('down', '--volumes');
    await rm(business.composeFile);
    await rm(join(business.folder, '.env'));
    await rm(business.checkout, { recursive: true });

    const plan = await planRestore(fixture.context(), {
      app,
      snapshotId: taken.snapshot.id,
      manifest: taken.manifest,
      safetySnapshot: true,
    });
    expect(plan.warnings.map(({ code }) => code)).toContain('containers-missing');
    expect(plan.steps).toContainEqual(expect.objectContaining({ type: 'restore-volume', recreate: true }));
    const restored = await fixture.restore(app, taken, { safetySnapshot: true });
    expect(restored.problems).toEqual([]);
    expect(await facts(business)).toEqual(before);
    expect(await rowsWithoutFile(business)).toEqual([]);
    expect([await stateOf(business, 'db'), await stateOf(business, 'web')]).toEqual(['running', 'running']);
  });

  test(
    'with consistency "stop" or "pause" rests only while it is read, and runs again when a producer failed',
    { timeout },
    async () => {
      await using fixture = await runFixture({ dockerHost: lab.host });
      await using business = await startBusinessApp(lab, { orders: 10, documents: 3 });
      const web = await business.containerId('web');
      for (const consistency of ['stop', 'pause'] as const) {
        const app = await appOf(fixture, business, consistency);
        const states: string[] = [];
        const context = fixture.context();
        const watching = {
          ...context,
          stopped: {
            ...context.stopped,
            clear: async (id: string) => {
              states.push(`clear ${fixture.journal.get(id)?.kind}`);
              await context.stopped.clear(id);
            },
          },
        };
        const taken = await takeSnapshot(watching, { app, kind: 'manual' });
        expect(taken.manifest.consistency).toBe(consistency);
        expect(states).toEqual(['clear container']);
        expect(fixture.log.some((line) => line.includes(consistency === 'stop' ? 'Stopping' : 'Pausing'))).toBe(true);
        expect(await stateOf(business, 'web')).toBe('running');
      }
      const app = await appOf(fixture, business, 'stop');
      const count = await fixture.snapshotCount();
      // pg_dump of the container is replaced by one that fails.
      await lab.docker(
        'exec',
        await business.containerId('db'),
        'sh',
        '-c',
        String.raw`printf '#!/bin/sh\necho "out of luck" >&2\nexit 1\n' > /tmp/failing && chmod 755 /tmp/failing && mv /tmp/failing "$(command -v pg_dump)"`,
      );
      const failed = fixture.snapshot(app);
      await expect(failed).rejects.toMatchObject({
        code: 'DATABASE_DUMP_FAILED',
        message: expect.stringMatching(/database "db".*out of luck/s),
      });
      expect(await fixture.snapshotCount()).toBe(count);
      expect(await stateOf(business, 'web')).toBe('running');
      expect(await business.containerId('web')).toBe(web);
      expect(fixture.journal.size).toBe(0);
      expect(await fixture.repository.listFiles('lock')).toEqual([]);
    },
  );

  test(
    'of an engine whose host cannot be seen is read and put back through the archive calls',
    { timeout },
    async () => {
      // The same engine over TCP: then its paths are not taken for ours.
      await using proxy = await tcpTo(lab.host.replace('unix://', ''));
      await using fixture = await runFixture({ dockerHost: proxy.url });
      await using business = await startBusinessApp(lab, { orders: 10, documents: 8 });
      const { components, origin } = await discover(business);
      const app = fixture.app(
        components.filter(({ kind }) => kind === 'volume'),
        { origin },
      );
      const path = await volumePath(business, 'files');
      const described = () => describeTree(join(path, 'documents'), { wholeSeconds: true });
      const before = await described();
      const owner = await lab.docker(
        'exec',
        await business.containerId('web'),
        'stat',
        '-c',
        '%u:%g %a',
        '/var/lib/app/files',
      );
      const taken = await fixture.snapshot(app);
      expect(taken.manifest.components).toMatchObject([{ kind: 'volume', readThrough: 'archive' }, { kind: 'config' }]);
      await rm(join(path, 'documents'), { recursive: true });
      await writeFile(join(path, 'intruder.txt'), 'was not there');
      expect((await fixture.restore(app, taken)).problems).toEqual([]);
      expect(await described()).toEqual(before);
      await expect(readFile(join(path, 'intruder.txt'))).rejects.toMatchObject({ code: 'ENOENT' });
      expect(
        await lab.docker('exec', await business.containerId('web'), 'stat', '-c', '%u:%g %a', '/var/lib/app/files'),
      ).toBe(owner);
      expect(await stateOf(business, 'web')).toBe('running');
      // No helper container is left.
      expect(await lab.docker('ps', '-aq', '--filter', 'label=varve.helper=test-run')).toBe('');
    },
  );

  test(
    'made of labelled containers is found; one that is removed by stopping it is paused instead',
    { timeout },
    async () => {
      await using fixture = await runFixture({ dockerHost: lab.host });
      const name = `solo-${process.pid}`;
      const data = join(fixture.folder, 'data');
      await mkdir(data);
      await writeFile(join(data, 'a.txt'), 'a');
      const parameters = [
        '-d',
        '--rm',
        '--init',
        '--name',
        name,
        '--label',
        `varve.app=${name}`,
        '-v',
        `${data}:/data`,
        '-v',
        '/etc/localtime:/etc/localtime:ro',
        '--tmpfs',
        '/scratch',
      ];
      const id = await lab.docker('run', ...parameters, '--entrypoint', 'sleep', lab.image, '600');
      try {
        const docker = await connectDocker({ host: lab.host });
        const found = (await discoverApps({ docker, apps: [] })).find((app) => app.name === name);
        expect(found).toMatchObject({ origin: { project: name, grouping: 'label' } });
        expect(found?.components).toMatchObject([
          { kind: 'volume', name: 'data', source: { path: data } },
          { kind: 'config', files: [] },
        ]);
        expect(found?.notSaved.map(({ what }) => what)).toEqual(
          expect.arrayContaining([expect.stringContaining('/etc/localtime'), expect.stringContaining('/scratch')]),
        );
        if (found === undefined) return;
        await fixture.snapshot(
          fixture.app(found.components, { origin: found.origin, policy: { consistency: 'stop' } }),
        );
        expect(await lab.docker('inspect', '--format', '{{.State.Status}}', id)).toBe('running');
        expect(fixture.log).toContainEqual(expect.stringContaining('--rm'));
      } finally {
        await lab.docker('rm', '-f', '-v', id);
      }
    },
  );

  test(
    'whose restore is cancelled midway runs again, and the error says what each part is in',
    { timeout },
    async () => {
      await using fixture = await runFixture({ dockerHost: lab.host });
      await using business = await startBusinessApp(lab, { orders: 10, documents: 3 });
      const app = await appOf(fixture, business);
      const taken = await fixture.snapshot(app);
      const before = await ordersHash(business);
      const input = { app, snapshotId: taken.snapshot.id, manifest: taken.manifest, safetySnapshot: false };
      const { fingerprint } = await planRestore(fixture.context(), input);
      const abort = new AbortController();
      const context = fixture.context(abort.signal);
      const report: typeof context.report = ({ step }) => {
        if (step === 'restore-database:db') abort.abort();
      };
      const run = runRestore(
        { ...context, report },
        {
          ...input,
          fingerprint,
          recoveries: fixture.recoveries,
          takeSafetySnapshot: () => Promise.reject(new Error('not asked for')),
        },
      );
      await expect(run).rejects.toMatchObject({
        code: 'RESTORE_FAILED',
        message: expect.stringMatching(/cancelled.*files: restored.*checkout: restored.*db: as before/s),
      });
      expect(await stateOf(business, 'web')).toBe('running');
      expect(await ordersHash(business)).toBe(before);
      expect(fixture.journal.size).toBe(0);
      expect(await fixture.repository.listFiles('lock')).toEqual([]);
    },
  );

  test('whose container was left stopped by a dead run is started by the next one', { timeout }, async () => {
    await using fixture = await runFixture({ dockerHost: lab.host });
    await using business = await startBusinessApp(lab, { orders: 10, documents: 3 });
    const id = await business.containerId('web');
    const records = await fixture
      .context()
      .stopped.record([{ kind: 'container', containerId: id, name: 'web', how: 'stopped' }]);
    await lab.docker('stop', id);
    expect(await restartStopped(fixture.context(), records)).toEqual([]);
    expect(await stateOf(business, 'web')).toBe('running');
    // Again, and for one that is gone: nothing to do, said in words.
    const gone = await fixture
      .context()
      .stopped.record([{ kind: 'container', containerId: 'f'.repeat(64), name: 'gone', how: 'paused' }]);
    expect(await restartStopped(fixture.context(), [...records, ...gone])).toMatchObject([{ path: 'container gone' }]);
    expect(fixture.journal.size).toBe(0);
  });

  test('whose volume vanished fails the snapshot before anything is stopped', { timeout }, async () => {
    await using fixture = await runFixture({ dockerHost: lab.host });
    await using business = await startBusinessApp(lab, { orders: 10, documents: 3 });
    const app = await appOf(fixture, business);
    const vanished: App['components'][number] = {
      kind: 'volume',
      name: 'gone',
      source: { type: 'docker-volume', volume: `${business.project}_gone` },
      excludes: [],
    } as const;
    await expect(fixture.snapshot({ ...app, components: [...app.components, vanished] })).rejects.toMatchObject({
      code: 'ARCHIVE_SOURCE_MISSING',
      message: expect.stringContaining(`${business.project}_gone`),
    });
    expect(await fixture.snapshotCount()).toBe(0);
  });

  test(
    'that is restored while its database container is stopped by the user gets it started and stopped again',
    { timeout },
    async () => {
      await using fixture = await runFixture({ dockerHost: lab.host });
      await using business = await startBusinessApp(lab, { orders: 50, documents: 3 });
      const app = await appOf(fixture, business);
      const before = await ordersHash(business);
      const taken = await fixture.snapshot(app);
      await business.sql('TRUNCATE orders');
      const db = await business.containerId('db');
      await business.compose('stop');
      await fixture.restore(app, taken, { components: ['db'] });
      expect(await lab.docker('inspect', '--format', '{{.State.Status}}', db)).toBe('exited');
      await business.compose('start');
      await expect.poll(() => ordersHash(business).catch(() => ''), { timeout: 30_000 }).toBe(before);
    },
  );

  test('is told apart from a plan that was made before a container changed', { timeout }, async () => {
    await using fixture = await runFixture({ dockerHost: lab.host });
    await using business = await startBusinessApp(lab, { orders: 10, documents: 3 });
    const app = await appOf(fixture, business);
    const taken = await fixture.snapshot(app);
    const input = { app, snapshotId: taken.snapshot.id, manifest: taken.manifest, safetySnapshot: false };
    const first = await planRestore(fixture.context(), input);
    expect((await planRestore(fixture.context(), input)).fingerprint).toBe(first.fingerprint);
    expect(first.steps.map(({ type }) => type)).toEqual([
      'stop-containers',
      'restore-volume',
      'restore-code',
      'restore-database',
      'start-containers',
      'wait-healthy',
    ]);
    await chmod(business.checkout, 0o755);
    await lab.docker('stop', await business.containerId('web'));
    const second = await planRestore(fixture.context(), input);
    expect(second.fingerprint).not.toBe(first.fingerprint);
    expect(await readFile(join(business.checkout, 'settings.ini'), 'utf8')).toContain('currency');
  });
});
