// What the capture of one database does while its repository cannot be reached or misbehaves.

import { join } from 'node:path';
import { AppError, Secret, silentLogger, systemClock } from '@varve/base';
import { parseLsn } from '@varve/postgres';
import { findPostgresBinaries, startPostgres } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { CaptureStatus } from '../src/wal-capture/capture-status.ts';
import { DatabaseCapture } from '../src/wal-capture/database-capture.ts';
import { query, readArchive, shop } from './capture-fixture.ts';
import { StreamWay } from '../src/wal-capture/stream-way.ts';
import { runFixture } from './run-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';

describe.skipIf(binDir === '')('capture', () => {
  test('waits with a full spool until the repository can be reached, and loses nothing', async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({ binDir });
    await query(server, 'create table ledger (filler text)');
    let isReachable = false;
    const status = new CaptureStatus({ ...shop, slot: 'varve_full', clock: systemClock, onChange: () => {} });
    const { host, port, user, password } = server;
    const location = async () => ({ host, port, user, password: new Secret(password), database: 'postgres' });
    await using _ = new DatabaseCapture({
      owner: shop,
      way: new StreamWay({ slot: 'varve_full', location, status }),
      folder: join(fixture.folder, 'spool'),
      status,
      repository: async () => {
        if (isReachable) return fixture.repository;
        throw new AppError('STORAGE_UNREACHABLE', 'The storage is away.', { retry: true });
      },
      broughtBackAt: async () => undefined,
      commitMs: () => 500,
      commitRetryDelaysMs: [500],
      spoolLimitBytes: 64 * 1024 * 1024,
      hostName: 'host',
      version: '0.0.0',
      lockOwner: {},
      clock: systemClock,
      logger: silentLogger,
    });
    await expect.poll(() => status.describe().state).toBe('streaming');
    for (let turn = 0; turn < 5; turn++) {
      await query(server, 'insert into ledger select repeat(md5(random()::text), 200) from generate_series(1, 4000)');
      await query(server, 'select pg_switch_wal()');
    }
    await expect.poll(() => status.describe().state, { timeout: 60_000 }).toBe('blocked');
    expect(status.describe()).toMatchObject({ commitProblem: { code: 'STORAGE_UNREACHABLE' } });
    isReachable = true;
    const lsn = parseLsn(await query(server, 'select pg_current_wal_flush_lsn()'));
    await expect
      .poll(() => parseLsn(status.describe().committedLsn ?? '0/0') >= lsn, { timeout: 60_000, interval: 200 })
      .toBe(true);
    expect(status.describe()).toMatchObject({ state: 'streaming', commitProblem: null, gap: null });
    const { archive } = await readArchive(fixture.repository);
    expect(archive.blocks.map(({ block }) => block.gap)).toEqual([null]);
  });
});
