// Lines between a receiver and its server that fail in every way a network has, under load: the log that comes over them is the
// server's own, without a hole, and a line that is only slow is not given up. VARVE_TEST_CUTS sets how often one is cut at random.

import { sleep } from '@varve/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPhysicalSlot, dropSlot, readSlot } from '../src/index.ts';
import { startLine, type Line } from './line.ts';
import {
  expectSamePartial,
  expectSameSegments,
  installedServers,
  keepLoading,
  spoolFolder,
  startCapture,
  startWalServer,
  type Capture,
  type WalServer,
} from './wal-server.ts';

const binDir = installedServers.at(-1)?.binDir ?? '';
const cuts = Number(process.env['VARVE_TEST_CUTS'] ?? 5);
const isLong = process.env['VARVE_LONG_TESTS'] === '1';
const stallMs = isLong ? 600_000 : 1500;
const senderTimeoutMs = 1500;

describe.skipIf(binDir === '')('a line to a server under load', () => {
  let server: WalServer;

  beforeAll(async () => {
    server = await startWalServer({
      binDir,
      settings: { wal_sender_timeout: `${senderTimeoutMs}ms`, wal_keep_size: '1TB' },
    });
  }, 30_000);

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  const over = (line: Line, options: Partial<Parameters<typeof startCapture>[0]> = {}): Promise<Capture> =>
    startCapture({
      folder: spoolFolder(server),
      location: () => ({ ...server.location, port: line.port }),
      ...options,
    });

  /** All that the server has arrives, and nothing is missing or different. */
  async function expectWhole(capture: Capture): Promise<void> {
    await capture.reach(await server.position());
    await expectSameSegments(capture.folder, server);
    await expectSamePartial(capture, server);
    expect(capture.events.filter(({ kind }) => kind === 'gap')).toEqual([]);
  }

  test(
    `that is cut ${cuts} times in the middle of what is sent leaves no hole`,
    { timeout: 60_000 + cuts * 5000 },
    async () => {
      await using line = await startLine(server.location.port);
      await using capture = await over(line, { slot: 'cuts', createSlot: true, maxDelayMs: 100 });
      await capture.waitFor('streaming');
      const load = keepLoading(server);
      for (let cut = 0; cut < cuts; cut++) {
        const before = line.count;
        line.cutAfter(1 + Math.floor(Math.random() * 1_500_000));
        while (line.count === before) await sleep(5);
      }
      await load[Symbol.asyncDispose]();
      await expectWhole(capture);
      expect(capture.events.filter(({ kind }) => kind === 'reconnecting').length).toBeGreaterThanOrEqual(cuts);
      await capture.stop();
      await drop('cuts');
    },
  );

  test('whose words to the server are lost is ended by wal_sender_timeout, and made anew', async () => {
    await using line = await startLine(server.location.port);
    await using capture = await over(line);
    await capture.waitFor('streaming');
    line.freeze('client');
    await server.load(20);
    await capture.waitFor('reconnecting');
    line.thaw();
    await expectWhole(capture);
  });

  test('that is half open keeps the slot until the server gives up, and then capturing goes on', async () => {
    await using line = await startLine(server.location.port);
    await using capture = await over(line, { slot: 'half', createSlot: true });
    await capture.waitFor('streaming');
    line.leaveHalfOpen();
    await capture.waitFor('reconnecting', ({ error }) => error.context['reason'] === 'active');
    await server.load(20);
    await expectWhole(capture);
    await capture.stop();
    await drop('half');
  });

  test(
    'that stands still for longer than the stall time-out is made anew, however long that takes',
    { timeout: 120_000 + stallMs },
    async () => {
      await using line = await startLine(server.location.port);
      await using capture = await over(line, { stallTimeoutMs: 700, slot: 'stalled', createSlot: true });
      await capture.waitFor('streaming');
      const load = keepLoading(server);
      line.freeze();
      await sleep(stallMs);
      expect(capture.events.some(({ kind }) => kind === 'reconnecting')).toBe(true);
      line.thaw();
      await load[Symbol.asyncDispose]();
      await expectWhole(capture);
      await capture.stop();
      await drop('stalled');
    },
  );

  test('that is well is not given up', async () => {
    await using line = await startLine(server.location.port);
    await using capture = await over(line, { stallTimeoutMs: 30_000 });
    await capture.waitFor('streaming');
    await server.load(5);
    await expectWhole(capture);
    expect(line.count).toBe(1);
    expect(capture.events.filter(({ kind }) => kind === 'reconnecting')).toEqual([]);
  });

  test('that another receiver takes the slot over costs nothing while the server has the log', async () => {
    const folder = spoolFolder(server);
    const options = { folder, location: () => server.location, slot: 'stolen' };
    const first = await startCapture({ ...options, createSlot: true });
    await first.reach(await server.position());
    await first.stop();
    const mine = (await slotOf('stolen'))?.restartLsn;
    // The thief acknowledges what we have not seen.
    await using thief = await startCapture({ ...options, folder: spoolFolder(server) });
    await server.load();
    await thief.reach(await server.position());
    await thief.stop();
    expect((await slotOf('stolen'))?.restartLsn).toBeGreaterThan(mine ?? 0n);
    await using again = await startCapture(options);
    await server.load(5);
    await expectWhole(again);
    await again.stop();
    await drop('stolen');
  });

  async function slotOf(name: string) {
    await using connection = await server.replication();
    return await readSlot(connection, name);
  }

  async function drop(name: string): Promise<void> {
    await using connection = await server.replication();
    await dropSlot(connection, name, { wait: true });
  }
});

describe.skipIf(binDir === '').each(isLong ? [16, 64] : [16])('segments of %i MB', (segmentMb) => {
  test('are captured as the server has them, whole and begun', { timeout: 120_000 }, async () => {
    await using server = await startWalServer({ binDir, segmentMb, settings: { wal_keep_size: '2GB' } });
    {
      await using connection = await server.replication();
      await createPhysicalSlot(connection, 'sizes');
    }
    await using capture = await startCapture({
      folder: spoolFolder(server),
      location: () => server.location,
      slot: 'sizes',
    });
    await server.load(50);
    // A message may hold the end of one segment and the beginning of the next.
    await server.sql("insert into load (body) select repeat('x', 2000) from generate_series(1, 5000)");
    await server.sql('select pg_switch_wal()');
    await server.load(50);
    await capture.reach(await server.position());
    expect((await expectSameSegments(capture.folder, server)).length).toBeGreaterThanOrEqual(1);
    expect(await expectSamePartial(capture, server)).toBeGreaterThan(0);
  });
});
