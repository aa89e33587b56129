// What can go wrong while WAL is captured: passwords that change, lines that go dead, WAL and slots that are gone, other
// clusters, aborts. On one server, since the protocol is the same in all.

import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError, Secret, sleep } from '@varve/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { dropSlot, identifyWalSource, parseLsn, receiveWal, WalSpool } from '../src/index.ts';
import { startLine } from './line.ts';
import {
  expectSamePartial,
  expectSameSegments,
  installedServers,
  spoolFolder,
  startCapture,
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

const binDir = installedServers.at(-1)?.binDir ?? '';

describe.skipIf(binDir === '')('capturing WAL', () => {
  let server: WalServer;

  beforeAll(async () => {
    server = await startWalServer({ binDir });
  }, 30_000);

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test('a position asked for ends it when that is durable', async () => {
    const until = await server.position();
    const capture = await startCapture({ folder: spoolFolder(server), location: () => server.location, until });
    expect(await capture.ended).toBeUndefined();
    expect(capture.spool.durable).toBeGreaterThanOrEqual(until);
    await capture.stop();
  });

  test('an idle server costs no bytes', async () => {
    await using capture = await startCapture({ folder: spoolFolder(server), location: () => server.location });
    await capture.reach(await server.position());
    const sizeOf = async (): Promise<number> => {
      const path = capture.spool.openSegment?.path;
      return path === undefined ? 0 : (await readFile(path)).length;
    };
    const before = await sizeOf();
    const count = capture.events.length;
    await capture.waitFor('progress', (event) => capture.events.indexOf(event as never) > count + 3);
    // The background writer may note running transactions (about 60 bytes, once).
    expect((await sizeOf()) - before).toBeLessThan(1000);
  });

  test('a slot that is not there, or in use, is told', async () => {
    await using spool = await WalSpool.open({ folder: spoolFolder(server) });
    expect(await failureOf(receiveWal({ location: () => server.location, spool, slot: 'none' }))).toMatchObject({
      code: 'WAL_SLOT_UNUSABLE',
      reason: 'missing',
    });
    await using first = await startCapture({
      folder: spoolFolder(server),
      location: () => server.location,
      slot: 'busy',
      createSlot: true,
    });
    await first.waitFor('streaming');
    await using second = await startCapture({
      folder: spoolFolder(server),
      location: () => server.location,
      slot: 'busy',
    });
    const { error } = await second.waitFor('reconnecting');
    expect(error.context).toMatchObject({ reason: 'active' });
    await first.stop();
    await second.waitFor('streaming');
    await second.stop();
    await using connection = await server.replication();
    await dropSlot(connection, 'busy', { wait: true });
  });

  test('a fast shutdown of the server does not wait for us', async () => {
    await using capture = await startCapture({
      folder: spoolFolder(server),
      location: () => server.location,
      spool: { syncIntervalMs: 30_000, syncBytes: 64 << 20 },
      statusIntervalMs: 20_000,
    });
    await capture.waitFor('streaming');
    await server.load();
    const startedAt = performance.now();
    await server.stop('fast');
    expect(performance.now() - startedAt).toBeLessThan(8000);
    await server.start();
  });

  test('a changed password is found at the next connection', async () => {
    await server.sql("create role rotating superuser replication login password 'one'");
    let password = 'one';
    await using capture = await startCapture({
      folder: spoolFolder(server),
      location: () => ({ ...server.location, user: 'rotating', password: new Secret(password) }),
    });
    await capture.waitFor('streaming');
    await server.sql("alter role rotating password 'two'");
    await server.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'varve_wal'");
    await capture.waitFor('reconnecting', ({ error }) => error.code === 'DATABASE_AUTH_FAILED');
    password = 'two';
    await server.load();
    await capture.reach(await server.position());
    await expectSameSegments(capture.folder, server);
  });

  test('a connection that goes dead is given up, and the next one goes on', async () => {
    await using line = await startLine(server.location.port);
    await using capture = await startCapture({
      folder: spoolFolder(server),
      location: () => ({ ...server.location, port: line.port }),
      stallTimeoutMs: 600,
    });
    await capture.waitFor('streaming');
    await server.load();
    await capture.reach(await server.position());
    line.freeze();
    await server.load();
    await capture.waitFor('reconnecting', ({ error }) => error.message.includes('sent nothing'));
    line.thaw();
    await capture.reach(await server.position());
    line.cut();
    await server.load();
    await capture.reach(await server.position());
    await expectSameSegments(capture.folder, server);
    await expectSamePartial(capture, server);
  });

  test('WAL that is gone is a gap: told, and an end, or gone on behind when that is wanted', async () => {
    await using own = await startWalServer({
      binDir,
      settings: { wal_keep_size: '0', max_wal_size: '2MB', min_wal_size: '2MB' },
    });
    const folder = spoolFolder(own);
    const options = { folder, location: () => own.location, slot: 'gone' };
    const first = await startCapture({ ...options, createSlot: true });
    await first.reach(await own.position());
    await first.stop();
    const end = await WalSpool.open({ folder }).then(async (spool) => {
      const position = await spool.end();
      await spool.close();
      return position;
    });
    {
      await using connection = await own.replication();
      await dropSlot(connection, 'gone', { wait: true });
    }
    const missing = await startCapture(options);
    expect(await missing.ended).toMatchObject({ code: 'WAL_SLOT_UNUSABLE' });
    expect(missing.events.at(-1)).toMatchObject({ kind: 'gap', reason: 'slot-missing', from: end });
    await missing.stop();
    for (let round = 0; round < 6; round++) await pass(own);
    const stopping = await startCapture({ ...options, createSlot: true });
    expect(await stopping.ended).toMatchObject({ code: 'WAL_GAP' });
    expect(stopping.events.at(-1)).toMatchObject({ kind: 'gap', reason: 'wal-removed', from: end, to: undefined });
    await stopping.stop();
    await using skipping = await startCapture({ ...options, createSlot: true, continueAfterGap: true });
    const gap = await skipping.waitFor('gap');
    expect(gap.from).toEqual(end);
    expect(gap.to?.lsn).toBeGreaterThan(end?.lsn ?? parseLsn('0/0'));
    await own.load();
    await skipping.reach(await own.position());
    await expectSamePartial(skipping, own);
  });

  test('a slot that the server gave up is a gap as well, and is made anew when that is wanted', async () => {
    await using own = await startWalServer({
      binDir,
      settings: { wal_keep_size: '0', max_wal_size: '2MB', min_wal_size: '2MB', max_slot_wal_keep_size: '2MB' },
    });
    const options = { folder: spoolFolder(own), location: () => own.location, slot: 'given_up' };
    const first = await startCapture({ ...options, createSlot: true });
    await first.reach(await own.position());
    await first.stop();
    for (let round = 0; round < 6; round++) await pass(own);
    const lost = await startCapture(options);
    expect(await lost.ended).toMatchObject({ code: 'WAL_SLOT_UNUSABLE', context: { reason: 'lost' } });
    expect(lost.events.at(-1)).toMatchObject({ kind: 'gap', reason: 'slot-lost' });
    await lost.stop();
    await using again = await startCapture({ ...options, createSlot: true, continueAfterGap: true });
    await again.waitFor('gap', ({ to }) => to !== undefined);
    await own.load();
    await again.reach(await own.position());
  });

  test('another cluster, and one that was set back, are not captured into the same spool', async () => {
    const folder = spoolFolder(server);
    const first = await startCapture({ folder, location: () => server.location });
    await first.reach(await server.position());
    await first.stop();
    await using other = await startWalServer({ binDir });
    await using spool = await WalSpool.open({ folder });
    expect(await failureOf(receiveWal({ location: () => other.location, spool }))).toMatchObject({
      code: 'WAL_DIVERGED',
    });
    // The same cluster with less WAL than was captured.
    await using ownSpool = await WalSpool.open({ folder: spoolFolder(server) });
    await using connection = await other.replication();
    const source = await identifyWalSource(connection);
    await ownSpool.begin(source, { timeline: 1, lsn: parseLsn('7/0') });
    expect(await failureOf(receiveWal({ location: () => other.location, spool: ownSpool }))).toMatchObject({
      code: 'WAL_DIVERGED',
    });
  });

  test('a primary that waits for us gets its answer at once, also with remote_apply', async () => {
    await using own = await startWalServer({ binDir });
    await using capture = await startCapture({
      folder: spoolFolder(own),
      location: () => own.location,
      synchronous: true,
      statusIntervalMs: 20_000,
      spool: { syncIntervalMs: 0 },
    });
    await capture.waitFor('streaming');
    await own.sql("alter system set synchronous_standby_names = 'varve_wal'");
    await own.sql('alter system set synchronous_commit = remote_apply');
    await own.sql('select pg_reload_conf()');
    await own.load(3);
    const [state] = await own.sql("select sync_state from pg_stat_replication where application_name = 'varve_wal'");
    expect(state).toEqual(['sync']);
    const startedAt = performance.now();
    await own.load(10);
    expect(performance.now() - startedAt).toBeLessThan(5000);
  });

  test('an abort closes the connection and leaves no process of the server behind', async () => {
    const capture = await startCapture({ folder: spoolFolder(server), location: () => server.location });
    await capture.waitFor('streaming');
    const loading = server.load();
    expect(await capture.stop()).toMatchObject({ code: 'CANCELLED' });
    const before = await Promise.all(
      (await readdir(capture.folder)).map((name) => readFile(join(capture.folder, name))),
    );
    await loading;
    const count = async (): Promise<string> =>
      (await server.sql("select count(*) from pg_stat_activity where application_name = 'varve_wal'"))[0]?.[0] ?? '';
    while ((await count()) !== '0') await sleep(20);
    const after = await Promise.all(
      (await readdir(capture.folder)).map((name) => readFile(join(capture.folder, name))),
    );
    expect(after).toEqual(before);
    await rm(capture.folder, { recursive: true });
  });
});

/** Enough WAL and checkpoints that old segments go. */
async function pass(server: WalServer): Promise<void> {
  await server.load(30);
  await server.sql('select pg_switch_wal()');
  await server.sql('checkpoint');
}
