// Servers that crash under load while they are captured, and a spool that is full because the repository cannot be reached.

import { join } from 'node:path';
import { AppError, Secret, silentLogger, systemClock } from '@varve/base';
import { parseLsn, type Lsn } from '@varve/postgres';
import { findPostgresBinaries, startPostgres, type PostgresServer } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve } from '../src/index.ts';
import { CaptureStatus } from '../src/wal-capture/capture-status.ts';
import { DatabaseCapture } from '../src/wal-capture/database-capture.ts';
import {
  addCapturedApp,
  captureOf,
  connect,
  query,
  reachCommit,
  readArchive,
  shop,
  withRepository,
} from './capture-fixture.ts';
import { runFixture } from './run-fixture.ts';
import { temporaryFolder } from './engine-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
const crashes = Number(process.env['VARVE_TEST_KILLS'] ?? 2);

/** Commits until the server crashes; yields what was acknowledged. */
async function writeUntilCrash(server: PostgresServer, stop: () => Promise<void>): Promise<Map<number, Lsn>> {
  const entries = new Map<number, Lsn>();
  let crash: Promise<void> | undefined;
  try {
    await using connection = await connect(server);
    for (;;) {
      const results = await connection.query(
        'begin; insert into ledger select txid_current(), repeat(md5(random()::text), 200) from generate_series(1, 20); commit; select max(xid), pg_current_wal_flush_lsn() from ledger',
      );
      const [xid, lsn] = results.at(-1)?.rows[0] ?? [];
      entries.set(Number(xid), parseLsn(lsn ?? ''));
      if (entries.size === 20) crash = stop();
    }
  } catch {
    await crash;
    return entries;
  }
}

describe.skipIf(binDir === '')('capture', () => {
  test(
    `goes on over ${crashes} crashes of the server, and nothing acknowledged is missing`,
    { timeout: 60_000 + crashes * 20_000 },
    async () => {
      await using folder = await temporaryFolder();
      await using server = await startPostgres({ binDir, initdbOptions: ['--wal-segsize=1'] });
      await query(server, 'create table ledger (xid bigint, filler text)');
      await query(server, 'create index on ledger (xid)');
      await using varve = await openVarve({
        dataDirectory: join(folder.path, 'data'),
        dockerHost: 'unix:///no.sock',
        runInBackground: true,
      });
      await addCapturedApp(varve, server);
      const acknowledged = new Map<number, Lsn>();
      for (let crash = 0; crash < crashes; crash++) {
        for (const [xid, lsn] of await writeUntilCrash(server, () => server.stop('immediate')))
          acknowledged.set(xid, lsn);
        await server.start();
      }
      await query(server, 'insert into ledger select txid_current()');
      await reachCommit(varve, server);
      expect(await captureOf(varve)).toMatchObject({ gap: null, commitProblem: null });
      await withRepository(await varve.recoveryKit(), async (repository) => {
        const { archive, commits } = await readArchive(repository);
        expect([...acknowledged.keys()].filter((xid) => !commits.has(xid))).toEqual([]);
        expect(archive.blocks.map(({ block }) => block.gap)).toEqual([null]);
        // The end of each recovery.
        expect(archive.blocks[0]?.block.restarts.length).toBeGreaterThanOrEqual(crashes);
      });
    },
  );

  test('waits with a full spool until the repository can be reached, and loses nothing', async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({ binDir });
    await query(server, 'create table ledger (filler text)');
    let isReachable = false;
    const status = new CaptureStatus({ ...shop, slot: 'varve_full', clock: systemClock, onChange: () => {} });
    const { host, port, user, password } = server;
    await using _ = new DatabaseCapture({
      owner: shop,
      slot: 'varve_full',
      folder: join(fixture.folder, 'spool'),
      status,
      location: async () => ({ host, port, user, password: new Secret(password), database: 'postgres' }),
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
