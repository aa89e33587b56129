// What doctor says about databases: the way to them, and whether their WAL can be captured.

import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import type { App, DatabaseComponent, DoctorCheck } from '@varve/contract';
import { appLabel, connectDocker } from '@varve/docker';
import { archiveCommand, captureObstacles, connectPostgres, type CaptureFacts } from '@varve/postgres';
import { dockerLab, findPostgresMajors, startPostgres, suiteName, type PostgresServer } from '@varve/testing';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { databaseChecks } from '../src/doctor/database-checks.ts';
import type { Installation } from '../src/installation.ts';
import { temporaryFolder } from './engine-fixture.ts';

const lab = await dockerLab();
afterAll(() => lab[Symbol.asyncDispose]());
const [newest] = await findPostgresMajors();

const component: DatabaseComponent = {
  kind: 'database',
  name: 'db',
  engine: 'postgresql',
  method: 'base',
  source: { type: 'url', urlSecret: 'url', display: '' },
  excludes: [],
};

async function checksOf(
  app: Pick<App, 'origin'>,
  database: DatabaseComponent,
  url = '',
): Promise<readonly DoctorCheck[]> {
  const parts = {
    docker: { get: () => connectDocker({ host: lab.host }) },
    secrets: { get: async () => new Secret(url) },
  } as unknown as Installation;
  return databaseChecks(app as App, database, { parts, label: 'app:shop:db', signal: AbortSignal.timeout(60_000) });
}

async function run(server: PostgresServer, sql: string): Promise<void> {
  const { host, port, user } = server;
  const password = new Secret(server.password);
  await using connection = await connectPostgres({ host, port, user, password, database: 'postgres' });
  await connection.query(sql);
}

/** In memory: making a cluster is slow where many fsyncs are. */
const dataFolder = '/var/lib/postgresql/data';

const host = { origin: { type: 'host' as const } };

describe.skipIf(newest === undefined)('a server of this host', () => {
  test('can be captured; without a limit to what a slot keeps there is a warning with the remedy', async () => {
    await using server = await startPostgres();
    const [answer, unlimited] = await checksOf(host, component, server.url);
    expect(answer).toMatchObject({ state: 'ok', message: expect.stringContaining('lets Varve take base backups') });
    expect(unlimited).toMatchObject({
      name: 'app:shop:db:capture',
      state: 'warning',
      message: expect.stringContaining('max_slot_wal_keep_size is unlimited'),
      hint: expect.stringContaining('ALTER SYSTEM SET max_slot_wal_keep_size'),
    });
    const archived = { ...component, wal: true, walArchive: { directory: '/var/lib/wal archive' } };
    expect((await checksOf(host, archived, server.url))[1]).toMatchObject({
      name: 'app:shop:db:capture',
      state: 'failed',
      message: expect.stringMatching(/does not come.*archive_mode is off; The archive folder cannot be used/),
      hint: expect.stringMatching(/archive_mode = on and archive_command = .*restart the server/),
    });
    await run(server, "alter system set max_slot_wal_keep_size = '2GB'");
    await run(server, 'select pg_reload_conf()');
    await vi.waitFor(async () => {
      const [, capture] = await checksOf(host, component, server.url);
      expect(capture).toMatchObject({ state: 'ok', message: expect.stringContaining('a slot may keep 2.0 GiB') });
    });
  });

  test('says which setting or right keeps its WAL from being captured', async () => {
    await using server = await startPostgres({ settings: { max_replication_slots: '0' } });
    const [, noSlot] = await checksOf(host, component, server.url);
    expect(noSlot).toMatchObject({
      state: 'failed',
      message: expect.stringContaining('0 replication slots are taken'),
    });
    await run(server, "create role plain login password 'plain'");
    const plain = `postgresql://plain:plain@127.0.0.1:${server.port}/postgres`;
    const [, noRight] = await checksOf(host, component, plain);
    expect(noRight).toMatchObject({ state: 'failed', hint: expect.stringContaining('ALTER ROLE "plain" REPLICATION') });
    // Saved by dumps it is not a fault.
    const [, dumped] = await checksOf(host, { ...component, method: 'dump' }, plain);
    expect(dumped).toMatchObject({ state: 'warning' });
  });
});

test('every obstacle has a remedy, and what blocks comes first', () => {
  const good: CaptureFacts = {
    user: 'varve',
    walLevel: 'replica',
    maxWalSenders: 10,
    usedWalSenders: 1,
    maxSlots: 10,
    usedSlots: 0,
    slotKeepBytes: 1 << 30,
    mayReplicate: true,
  };
  expect(captureObstacles(good)).toEqual([]);
  const bad = {
    ...good,
    walLevel: 'minimal',
    usedWalSenders: 10,
    usedSlots: 10,
    mayReplicate: false,
    slotKeepBytes: null,
  };
  const obstacles = captureObstacles(bad);
  expect(obstacles.map(({ severity }) => severity)).toEqual(['blocks', 'blocks', 'blocks', 'blocks', 'risk']);
  expect(obstacles.every(({ hint }) => hint.length > 20)).toBe(true);
  expect(captureObstacles({ ...good, usedWalSenders: 10, usedSlots: 10 }, { ownSlots: 1, ownSenders: 1 })).toEqual([]);
});

describe.skipIf(!lab.available)(suiteName('a server in a container', lab), () => {
  test('is told with the way that works and why the others do not', async () => {
    const project = `doctor-${randomBytes(4).toString('hex')}`;
    const labels = ['--name', project, '--label', `${appLabel}=${project}`];
    await using folder = await temporaryFolder();
    const archive = join(folder.path, 'archive');
    await mkdir(archive);
    await chmod(folder.path, 0o755);
    await chmod(archive, 0o777);
    const archiving = [
      'archive_mode=on',
      `archive_command=${archiveCommand('/wal-archive/archive')}`,
      'archive_timeout=60',
    ];
    await lab.docker(
      'run',
      '-d',
      ...labels,
      '--network',
      'none',
      '--tmpfs',
      dataFolder,
      '-v',
      `${folder.path}:/wal-archive`,
      '-e',
      'POSTGRES_PASSWORD=secret',
      lab.image,
      'postgres',
      ...archiving.flatMap((setting) => ['-c', setting]),
    );
    try {
      await vi.waitFor(() => lab.docker('exec', project, 'pg_isready', '-q'), 90_000);
      const inContainer: DatabaseComponent = {
        ...component,
        source: { type: 'container', service: project, user: 'postgres', port: 5432 },
      };
      const origin = { type: 'docker' as const, project, grouping: 'label' as const };
      const [answer, way, capture] = await checksOf({ origin }, inContainer);
      expect(answer).toMatchObject({ state: 'ok' });
      expect(way).toMatchObject({ name: 'app:shop:db:way', state: 'ok', hint: null });
      expect(way?.message).toMatch(/reached through its container \(port 5432 in container/);
      expect(way?.message).toMatch(/over the Docker network: the container has no address of its own/);
      expect(way?.message).toMatch(/published port: port 5432 is not published/);
      expect(capture).toMatchObject({ state: 'warning', message: expect.stringContaining('unlimited') });

      // Its own archive_command, in its own image, into a mount that is found by the path that the server sees.
      const checkArchive = async (directory: string) =>
        (await checksOf({ origin }, { ...inContainer, wal: true, walArchive: { directory } }))[2];
      expect(await checkArchive('/elsewhere')).toMatchObject({
        state: 'failed',
        message: expect.stringMatching(/No mount of the container .* holds \/elsewhere/),
      });
      // Again and again: what answers at first may be the server that makes the cluster, which archives nothing.
      const archived = async (): Promise<void> => {
        await lab.docker('exec', project, 'psql', '-U', 'postgres', '-c', 'select txid_current(), pg_switch_wal()');
        expect(await readdir(archive)).toContainEqual(expect.stringMatching(/^[0-9A-F]{24}$/));
      };
      await vi.waitFor(archived, { timeout: 90_000, interval: 500 });
      expect(await checkArchive('/wal-archive/archive')).toMatchObject({
        state: 'ok',
        message: expect.stringContaining(`through ${archive}, at most about 60 s late`),
      });
    } finally {
      await lab.docker('rm', '-f', '-v', project);
    }
  }, 240_000);
});
