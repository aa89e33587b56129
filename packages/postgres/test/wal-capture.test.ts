// Capturing from a real server of every major: bytes equal to the server's own, through restarts, crashes, promotions; slots.
// Each test has a spool and a slot of its own.

import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError, Secret, sleep } from '@varve/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createPhysicalSlot,
  dropSlot,
  formatLsn,
  listSlots,
  parseLsn,
  readSlot,
  readSpoolState,
  receiveWal,
  WalSpool,
} from '../src/index.ts';
import {
  expectSamePartial,
  expectSameSegments,
  installedServers,
  spoolFolder,
  startCapture,
  startStandby,
  startWalServer,
  type WalServer,
} from './wal-server.ts';

async function failureOf(promise: Promise<unknown>): Promise<{ code: string; reason: unknown; hint: string }> {
  const error = await promise.then(
    (value) => value,
    (error: unknown) => error,
  );
  if (!isAppError(error)) throw new Error('it did not fail', { cause: error });
  return { code: error.code, reason: error.context['reason'], hint: error.hint ?? '' };
}

test.skipIf(installedServers.length === 0)('there is a PostgreSQL server to capture from', () => {
  expect(installedServers.length).toBeGreaterThan(0);
});

describe.each([...installedServers])('PostgreSQL $major ($origin)', ({ binDir, major }) => {
  let server: WalServer;

  beforeAll(async () => {
    server = await startWalServer({ binDir });
  }, 30_000);

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test('the segments are those of the server, bytes and all, and the slot follows what is durable', async () => {
    await using capture = await startCapture({
      folder: spoolFolder(server),
      location: () => server.location,
      slot: 'equal',
      createSlot: true,
    });
    await capture.waitFor('streaming');
    await server.load();
    await server.sql('select pg_switch_wal()');
    await server.load();
    const end = await server.position();
    await capture.reach(end);
    const names = await expectSameSegments(capture.folder, server);
    expect(names.length).toBeGreaterThan(3);
    await expectSamePartial(capture, server);
    await using connection = await server.replication();
    const slotIs = async (): Promise<boolean> => (await readSlot(connection, 'equal'))?.restartLsn === end;
    while (!(await slotIs())) await sleep(50);
    await capture.waitFor('progress', ({ lagBytes, lagMs }) => lagBytes === 0 && lagMs === 0);
    expect(await capture.stop()).toMatchObject({ code: 'CANCELLED' });
    await dropSlot(connection, 'equal', { wait: true });
  });

  test('slots: made, read, listed, dropped; every refusal says why', async () => {
    await using connection = await server.replication();
    const made = await createPhysicalSlot(connection, 'keep_me');
    expect(made).toMatchObject({ name: 'keep_me', isPhysical: true, isActive: false, walStatus: 'reserved' });
    expect(made.keepLimitBytes).toBeUndefined();
    expect((await listSlots(connection)).map(({ name }) => name)).toEqual(['keep_me']);
    expect(await failureOf(createPhysicalSlot(connection, 'keep_me'))).toMatchObject({ reason: 'exists' });
    expect(await failureOf(createPhysicalSlot(connection, 'Bad-Name'))).toMatchObject({ code: 'USAGE_INVALID' });
    expect(await readSlot(connection, 'nobody')).toBeUndefined();
    expect(await failureOf(dropSlot(connection, 'nobody'))).toMatchObject({ reason: 'missing' });
    await server.sql("alter system set max_slot_wal_keep_size = '64MB'");
    await server.sql('select pg_reload_conf()');
    while ((await readSlot(connection, 'keep_me'))?.keepLimitBytes === undefined) await sleep(20);
    const limited = await readSlot(connection, 'keep_me');
    expect(limited?.keepLimitBytes).toBe(64 * 1024 * 1024);
    expect(limited?.safeWalBytes).toBeGreaterThan(50 * 1024 * 1024);
    await server.sql('alter system reset max_slot_wal_keep_size');
    await server.sql('select pg_reload_conf()');
    const rest = Array.from({ length: 9 }, (_, index) => `fill_${index}`);
    for (const name of rest) await createPhysicalSlot(connection, name);
    expect(await failureOf(createPhysicalSlot(connection, 'too_many'))).toMatchObject({ reason: 'none-free' });
    for (const name of [...rest, 'keep_me']) await dropSlot(connection, name);
    await server.sql("create role nobody_special login password 'x'");
    const other = { ...server.location, user: 'nobody_special', password: new Secret('x') };
    await using spool = await WalSpool.open({ folder: spoolFolder(server) });
    expect(await failureOf(receiveWal({ location: () => other, spool, slot: 'x', createSlot: true }))).toMatchObject({
      code: 'DATABASE_DENIED',
      hint: 'Run as a superuser: ALTER ROLE "nobody_special" REPLICATION;',
    });
  });

  test('goes on through a restart and a crash of the server, under load', async () => {
    await using capture = await startCapture({
      folder: spoolFolder(server),
      location: () => server.location,
      slot: 'restart',
      createSlot: true,
    });
    await capture.waitFor('streaming');
    for (const mode of ['fast', 'immediate'] as const) {
      const loading = server.load(10_000).catch(() => {});
      await server.stop(mode);
      await loading;
      await server.start();
      await server.load();
    }
    await capture.reach(await server.position());
    expect((await expectSameSegments(capture.folder, server)).length).toBeGreaterThan(3);
    await expectSamePartial(capture, server);
    expect(capture.events.filter(({ kind }) => kind === 'reconnecting').length).toBeGreaterThan(1);
    expect(capture.events.filter(({ kind }) => kind === 'gap')).toEqual([]);
    await capture.stop();
    await using connection = await server.replication();
    await dropSlot(connection, 'restart', { wait: true });
  });

  test('follows a promotion while it streams, and after one that it has missed', async () => {
    await using primary = await startWalServer({ binDir });
    await primary.load();
    await primary.stop();
    await using standby = await startStandby(primary);
    await primary.start();
    await standby.start();
    // One streams from the standby while it is promoted, the other from the primary, which dies.
    await using following = await startCapture({
      folder: spoolFolder(primary),
      location: () => standby.location,
      slot: 'following',
      createSlot: true,
    });
    let target = primary.location;
    await using moving = await startCapture({ folder: spoolFolder(primary), location: () => target });
    await Promise.all([following.waitFor('streaming'), moving.waitFor('streaming')]);
    await primary.load();
    const last = await primary.position();
    await Promise.all([following.reach(last), moving.reach(last)]);
    await primary.stop('immediate');
    await standby.sql('select pg_promote()');
    target = standby.location;
    const switched = await Promise.all([following.waitFor('timeline'), moving.waitFor('timeline')]);
    await standby.load();
    const end = await standby.position();
    for (const [index, capture] of [following, moving].entries()) {
      await capture.reach(end);
      expect(switched[index]).toMatchObject({ from: 1, to: 2 });
      const history = await readFile(join(capture.folder, '00000002.history'));
      expect(history).toEqual(await readFile(join(standby.dataDir, 'pg_wal', '00000002.history')));
      expect((await expectSameSegments(capture.folder, standby, 2)).length).toBeGreaterThan(1);
      await expectSamePartial(capture, standby);
      const { lsn } = switched[index] ?? { lsn: parseLsn('0/0') };
      const tails = (await readdir(capture.folder)).filter((name) => /^00000001.*\.partial$/.test(name));
      expect(tails.length, formatLsn(lsn)).toBe(lsn % BigInt(1 << 20) === 0n ? 0 : 1);
      expect((await readSpoolState(capture.folder))?.position.timeline).toBe(2);
    }
    // The old primary, back again, is another history now.
    const folder = following.folder;
    await following.stop();
    await primary.start();
    await using spool = await WalSpool.open({ folder });
    expect(await failureOf(receiveWal({ location: () => primary.location, spool }))).toMatchObject({
      code: 'WAL_DIVERGED',
    });
    expect(major).toBeGreaterThanOrEqual(13);
  }, 60_000);
});
