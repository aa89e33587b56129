// Databases in containers by their files: base backups through whatever way leads to the server, alone or with dumps, and what
// a restore in place makes of them.

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { App, DatabaseComponent, SavedDatabase } from '@varve/contract';
import { appLabel, connectDocker } from '@varve/docker';
import { connectPostgres } from '@varve/postgres';
import {
  dockerLab,
  expectResticCheck,
  findPostgresBinaries,
  freePort,
  runRestic,
  startBusinessApp,
  suiteName,
} from '@varve/testing';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { discoverApps } from '../src/discovery/discover-apps.ts';
import { planRestore } from '../src/restore/plan-restore.ts';
import type { TakenSnapshot } from '../src/use-case.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';

const lab = await dockerLab();
afterAll(() => lab[Symbol.asyncDispose]());
const timeout = 300_000;
const binaries = await findPostgresBinaries();

function savedOf(taken: TakenSnapshot): SavedDatabase {
  const saved = taken.manifest.components.find((component) => component.kind === 'database');
  if (saved?.kind !== 'database') throw new Error('there is no database in the snapshot');
  return saved;
}

/** Rows of a table in the files that restic alone brings back, read by a server of this host in single-user mode. */
async function rowsInFiles(fixture: RunFixture, saved: SavedDatabase, statement: string): Promise<string> {
  const target = join(fixture.folder, `restored-${randomBytes(4).toString('hex')}`);
  await runRestic(fixture, ['restore', 'latest', '--target', target]);
  const dataDir = join(target, saved.path);
  const major = Number(await readFile(join(dataDir, 'PG_VERSION'), 'utf8'));
  const binDir = binaries.find((installed) => installed.major === major)?.binDir ?? '';
  const port = await freePort();
  const owner = { uid: 65_534, gid: 65_534 };
  await execa('chown', ['-R', '65534:65534', dataDir]);
  await execa('chmod', ['-R', 'a+X', target]);
  await execa('chmod', ['0700', dataDir]);
  const options = `-c listen_addresses= -c unix_socket_directories=${dataDir} -c port=${port} -c fsync=off`;
  const control = (...parameters: string[]) =>
    execa(join(binDir, 'pg_ctl'), ['-D', dataDir, '-w', ...parameters], { ...owner, cwd: '/', stdio: 'ignore' });
  await control('-o', options, '-l', join(dataDir, 'log'), 'start');
  try {
    const place = { host: 'localhost', port, socketPath: dataDir };
    await using connection = await connectPostgres({ ...place, user: 'shop', database: 'shop' });
    return (await connection.query(statement)).at(-1)?.rows[0]?.[0] ?? '';
  } finally {
    await control('-m', 'immediate', 'stop');
  }
}

describe.skipIf(!lab.available)(suiteName('a database in a container that is saved by its files', lab), () => {
  const ordersHash = "SELECT count(*) || ' ' || md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o";

  test(
    'and by dumps: restic brings back a folder that starts, and a restore in place uses the dumps',
    { timeout },
    async () => {
      await using fixture = await runFixture({ dockerHost: lab.host });
      await using business = await startBusinessApp(lab, { documents: 3 });
      const docker = await connectDocker({ host: lab.host });
      const discovered = (await discoverApps({ docker, apps: [] })).find(({ name }) => name === business.project);
      const appBy = (change: Partial<DatabaseComponent>): App =>
        fixture.app(
          (discovered?.components ?? []).map((component) =>
            component.kind === 'database' ? Object.assign(structuredClone(component), change) : component,
          ),
          { origin: discovered?.origin ?? { type: 'host' } },
        );
      const before = await business.sql(ordersHash);

      const streamed = await fixture.snapshot(appBy({ method: 'both', readThrough: 'stream' }));
      expect(streamed.problems).toEqual([]);
      const saved = savedOf(streamed);
      expect(saved).toMatchObject({
        method: 'base',
        readThrough: 'stream',
        path: '/databases/db/base',
        walEndLsn: expect.any(String),
        dump: { path: '/databases/db/dump', databases: [{ name: 'shop', path: '/databases/db/dump/shop.dump' }] },
      });
      expect(await rowsInFiles(fixture, saved, ordersHash)).toBe(before);

      const read = await fixture.snapshot(appBy({ method: 'both', readThrough: 'volume' }));
      expect(read.problems).toEqual([]);
      expect(savedOf(read)).toMatchObject({
        method: 'base',
        readThrough: 'volume',
        dump: { path: '/databases/db/dump' },
      });
      expect(await rowsInFiles(fixture, savedOf(read), ordersHash)).toBe(before);

      await business.sql("DELETE FROM orders WHERE id % 2 = 0; UPDATE orders SET note = 'damaged'");
      const app = appBy({ method: 'both' });
      const plan = await planRestore(fixture.context(), {
        app,
        snapshotId: streamed.snapshot.id,
        manifest: streamed.manifest,
        components: ['db'],
        safetySnapshot: false,
      });
      expect(plan.steps.find(({ type }) => type === 'restore-database')).toMatchObject({
        method: 'dump',
        databases: ['shop'],
        bytes: saved.dump?.bytes,
      });
      expect((await fixture.restore(app, streamed, { components: ['db'] })).problems).toEqual([]);
      expect(await business.sql(ordersHash)).toBe(before);
      await expectResticCheck(fixture);
    },
  );

  test(
    'alone is sent through the container when nothing else leads to it, and is refused as a restore in place',
    { timeout },
    async () => {
      await using fixture = await runFixture({ dockerHost: lab.host });
      const project = `files-${randomBytes(4).toString('hex')}`;
      const labels = ['--name', project, '--label', `${appLabel}=${project}`];
      const user = ['-e', 'POSTGRES_USER=shop', '-e', 'POSTGRES_PASSWORD=secret'];
      const memory = ['--tmpfs', '/var/lib/postgresql/data'];
      await lab.docker('run', '-d', ...labels, ...user, ...memory, '--network', 'none', lab.image);
      try {
        const sql = (statement: string): Promise<string> =>
          lab.docker('exec', project, 'psql', '-XAt', '-U', 'shop', '-c', statement);
        await vi.waitFor(() => sql('SELECT 1'), 60_000);
        await sql('CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS note FROM generate_series(1, 50000) n');
        const before = await sql(ordersHash);
        const component: DatabaseComponent = {
          kind: 'database',
          name: 'db',
          engine: 'postgresql',
          method: 'base',
          source: { type: 'container', service: project, user: 'shop', port: 5432 },
          excludes: [],
        };
        const app = fixture.app([component], { origin: { type: 'docker', project, grouping: 'label' } });
        const taken = await fixture.snapshot(app);
        expect(taken.problems).toEqual([]);
        expect(savedOf(taken)).toMatchObject({ method: 'base', readThrough: 'stream' });
        expect(savedOf(taken).dump).toBeUndefined();
        expect(await rowsInFiles(fixture, savedOf(taken), ordersHash)).toBe(before);
        await expect(fixture.restore(app, taken)).rejects.toMatchObject({
          code: 'RESTORE_TARGET_INVALID',
          message: expect.stringContaining('by its files alone'),
          hint: expect.stringContaining('point in time'),
        });
      } finally {
        await lab.docker('rm', '-f', '-v', project);
      }
    },
  );
});
