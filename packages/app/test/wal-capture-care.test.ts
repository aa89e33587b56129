// What a capture looks after: that there is a base backup, that slots go with their apps, that only one process captures, that a
// repository that cannot be reached and a spool that is full take nothing down.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { newAppSchema } from '@varve/contract';
import { findPostgresBinaries, startPostgres, type PostgresServer } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openVarve, type Varve } from '../src/index.ts';
import { addCapturedApp, captureOf, query, reachCommit, readArchive, withRepository } from './capture-fixture.ts';
import { temporaryFolder } from './engine-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
const noDocker = 'unix:///no.sock';

describe.skipIf(binDir === '')('capture', () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await startPostgres({ binDir, initdbOptions: ['--wal-segsize=1'], settings: { wal_keep_size: '0' } });
    await query(server, 'create table notes (note text)');
  });

  afterAll(() => server[Symbol.asyncDispose]());

  async function install() {
    const folder = await temporaryFolder();
    const dataDirectory = join(folder.path, 'data');
    return {
      dataDirectory,
      open: (runInBackground = true): Promise<Varve> =>
        openVarve({ dataDirectory, dockerHost: noDocker, runInBackground }),
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  }

  const slotsLike = (pattern: string): Promise<string> =>
    query(server, `select count(*) from pg_replication_slots where slot_name like '${pattern}'`);
  const write = (): Promise<string> =>
    query(server, 'insert into notes select repeat(md5(n::text), 30) from generate_series(1, 1000) n');

  test('makes the first base backup by itself, after the slot', async () => {
    await using all = await install();
    await using varve = await all.open();
    await addCapturedApp(varve, server, { method: 'base', dataDirectory: server.dataDir });
    await expect.poll(async () => (await captureOf(varve)).hasBaseBackup, { timeout: 60_000 }).toBe(true);
    const [job] = await varve.listJobs({ appId: 'shop' });
    expect(job).toMatchObject({ type: 'snapshot', state: 'succeeded', requestedBy: 'schedule' });
    await reachCommit(varve, server);
    const kit = await varve.recoveryKit();
    const start = await withRepository(
      kit,
      async (repository) => (await readArchive(repository)).archive.blocks[0]?.block,
    );
    const [snapshot] = await varve.listSnapshots('shop');
    const details = await varve.getSnapshot('shop', snapshot?.id ?? '');
    const saved = details.manifest.components.find(({ kind }) => kind === 'database');
    expect(saved).toMatchObject({ method: 'base', systemId: start?.systemId });
    expect((await varve.listJobs({ appId: 'shop' })).filter(({ type }) => type === 'snapshot')).toHaveLength(1);
    await varve.removeApp('shop');
    await expect.poll(() => slotsLike('varve%'), { timeout: 30_000 }).toBe('0');
  });

  test('drops the slot when it is turned off, or the app is removed without a server that runs', async () => {
    await using all = await install();
    {
      await using varve = await all.open();
      await addCapturedApp(varve, server);
      await reachCommit(varve, server);
      expect(await slotsLike('varve%')).toBe('1');
      await varve.setWalCapture('shop', { enabled: false });
      await expect.poll(() => slotsLike('varve%'), { timeout: 30_000 }).toBe('0');
      expect(await varve.listWalCaptures('shop')).toEqual([]);
      await varve.setWalCapture('shop', { enabled: true });
      await expect.poll(async () => (await captureOf(varve)).state, { timeout: 30_000 }).toBe('streaming');
      await reachCommit(varve, server);
    }
    await using varve = await all.open(false);
    expect(await captureOf(varve)).toMatchObject({ state: 'off' });
    await varve.removeApp('shop');
    expect(await slotsLike('varve%')).toBe('0');
  });

  test('remembers the slot of a removed app while its server does not answer', async () => {
    await using all = await install();
    {
      await using varve = await all.open();
      await addCapturedApp(varve, server);
      await reachCommit(varve, server);
    }
    await server.stop();
    {
      await using varve = await all.open(false);
      await varve.removeApp('shop');
    }
    await server.start();
    expect(await slotsLike('varve%')).toBe('1');
    await using _ = await all.open();
    await expect.poll(() => slotsLike('varve%'), { timeout: 30_000 }).toBe('0');
  });

  test('is done by one process, and taken over when that one is dead', async () => {
    await using all = await install();
    {
      await using varve = await all.open(false);
      await addCapturedApp(varve, server);
    }
    const script = join(import.meta.dirname, 'processes', 'capture.ts');
    const child = spawn(process.execPath, [script, all.dataDirectory], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    await expect.poll(() => slotsLike('varve%'), { timeout: 30_000 }).toBe('1');
    await using varve = await all.open();
    await expect.poll(async () => (await captureOf(varve)).state, { timeout: 30_000 }).toBe('streaming');
    const walsender = await query(server, "select pid from pg_stat_replication where application_name = 'varve_wal'");
    await write();
    await reachCommit(varve, server);
    expect(await query(server, "select pid from pg_stat_replication where application_name = 'varve_wal'")).toBe(
      walsender,
    );
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
    await expect
      .poll(() => query(server, "select pid from pg_stat_replication where application_name = 'varve_wal'"), {
        timeout: 60_000,
      })
      .not.toBeOneOf([walsender, '']);
    await write();
    await reachCommit(varve, server);
    expect(await captureOf(varve)).toMatchObject({ state: 'streaming', gap: null });
    await varve.removeApp('shop');
    await expect.poll(() => slotsLike('varve%'), { timeout: 30_000 }).toBe('0');
  });

  test('goes on into the spool while the repository cannot be reached, and stores it afterwards', async () => {
    await using all = await install();
    await using varve = await all.open();
    await addCapturedApp(varve, server);
    await reachCommit(varve, server);
    const kit = await varve.recoveryKit();
    await rename(kit.location, `${kit.location}.away`);
    for (let turn = 0; turn < 5; turn++) await write();
    await expect.poll(async () => (await captureOf(varve)).commitProblem, { timeout: 30_000 }).not.toBeNull();
    const away = await captureOf(varve);
    expect(away.state).toBe('streaming');
    await rename(`${kit.location}.away`, kit.location);
    await reachCommit(varve, server);
    expect(await captureOf(varve)).toMatchObject({ commitProblem: null, gap: null });
    await withRepository(kit, async (repository) => {
      expect((await readArchive(repository)).archive.blocks.map(({ block }) => block.gap)).toEqual([null]);
    });
    await varve.removeApp('shop');
    await expect.poll(() => slotsLike('varve%'), { timeout: 30_000 }).toBe('0');
  });

  test('is refused where it cannot work', async () => {
    await using all = await install();
    await using varve = await all.open(false);
    await query(server, "create role clerk login password 'clerk-secret'");
    const url = new URL(server.url);
    url.username = 'clerk';
    url.password = 'clerk-secret';
    const add = (wal: boolean) =>
      varve.addApp(newAppSchema.parse({ type: 'host', id: 'shop', databases: [{ url: url.href, wal }] }));
    await expect(add(true)).rejects.toMatchObject({ code: 'DATABASE_DENIED' });
    expect(await varve.listApps()).toEqual([]);
    await add(false);
    await expect(varve.setWalCapture('shop', { enabled: true })).rejects.toMatchObject({ code: 'DATABASE_DENIED' });
    await expect(varve.setWalCapture('shop', { enabled: true, component: 'other' })).rejects.toMatchObject({
      code: 'APP_INVALID',
    });
    await query(server, 'alter role clerk replication');
    const slots = Number(await query(server, "select current_setting('max_replication_slots')"));
    for (let slot = 0; slot < slots; slot++)
      await query(server, `select pg_create_physical_replication_slot('other${slot}')`);
    await expect(varve.setWalCapture('shop', { enabled: true })).rejects.toMatchObject({
      code: 'APP_INVALID',
      message: expect.stringContaining('slots are taken'),
    });
    for (let slot = 0; slot < slots; slot++) await query(server, `select pg_drop_replication_slot('other${slot}')`);
    expect((await varve.setWalCapture('shop', { enabled: true })).components[0]).toMatchObject({ wal: true });
  });
});
