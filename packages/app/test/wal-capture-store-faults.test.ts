// A store that refuses, cuts, loses answers, is away, or lists late, while a database under load is captured into it: capturing goes
// on, nothing that is not wholly stored counts, and in the end every acknowledged commit is there, in order and once. VARVE_TEST_AWAY
// sets for how many seconds the store is away.

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret, silentLogger, systemClock } from '@varve/base';
import { parseLsn } from '@varve/postgres';
import { checkRepository, createRepository, openRepository, type Repository } from '@varve/repository';
import { openStorage, type FileHandle, type Storage } from '@varve/storage';
import {
  findPostgresBinaries,
  LaggingStorage,
  quickTemporaryFolder,
  rcloneAvailable,
  startFaultProxy,
  startPostgres,
  startRcloneServer,
  type Fault,
  type PostgresServer,
} from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CaptureStatus } from '../src/wal-capture/capture-status.ts';
import { WalArchive } from '../src/wal-archive/wal-archive.ts';
import { DatabaseCapture } from '../src/wal-capture/database-capture.ts';
import { StreamWay } from '../src/wal-capture/stream-way.ts';
import { query, readArchive, shop } from './capture-fixture.ts';
import { keepLedger, ledgerSchema, type CommitLedger } from './commit-ledger.ts';
import { temporaryFolder } from './engine-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
const rclone = await rcloneAvailable();
const awaySeconds = Number(process.env['VARVE_TEST_AWAY'] ?? 3);
const faultCount = process.env['VARVE_LONG_TESTS'] === '1' ? 500 : 15;
const password = new Secret('correct horse battery staple');
const timeout = 120_000 + awaySeconds * 3000;

describe.skipIf(binDir === '')('a capture', () => {
  let server: PostgresServer;
  let count = 0;

  beforeAll(async () => {
    server = await startPostgres({ binDir, initdbOptions: ['--wal-segsize=1'] });
    await query(server, ledgerSchema);
  }, 60_000);

  afterAll(() => server[Symbol.asyncDispose]());

  function capture(folder: string, slot: string, repository: () => Promise<Repository>) {
    const status = new CaptureStatus({ ...shop, slot, clock: systemClock, onChange: () => {} });
    const { host, port, user, password: secret } = server;
    const location = async () => ({ host, port, user, password: new Secret(secret), database: 'postgres' });
    const running = new DatabaseCapture({
      owner: shop,
      way: new StreamWay({ slot, location, status }),
      folder,
      status,
      repository,
      broughtBackAt: async () => undefined,
      commitMs: () => 300,
      commitRetryDelaysMs: [100],
      hostName: 'host',
      version: '0.0.0',
      lockOwner: {},
      clock: systemClock,
      logger: silentLogger,
    });
    return { status, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() };
  }

  const newSlot = (): string => `varve_store_${++count}`;
  const committed = (status: CaptureStatus): bigint => parseLsn(status.describe().committedLsn ?? '0/0');
  const flushed = async () => parseLsn(await query(server, 'select pg_current_wal_flush_lsn()'));

  async function reach(status: CaptureStatus): Promise<void> {
    const lsn = await flushed();
    await expect.poll(() => committed(status) >= lsn, { timeout, interval: 50 }).toBe(true);
  }

  /** Every commit that was acknowledged after the capture began, in one row of log without a hole. */
  async function expectAll(repository: Repository, ledger: CommitLedger): Promise<void> {
    const { archive, commits } = await readArchive(repository);
    expect(ledger.acknowledged.filter(({ xid }) => !commits.has(xid))).toEqual([]);
    expect(archive.blocks.map(({ block }) => block.gap).filter((gap) => gap !== null)).toEqual([]);
    expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
  }

  test.skipIf(!rclone)('goes on over a store that is away, then misbehaves in every way', { timeout }, async () => {
    const folder = await mkdtemp(join(quickTemporaryFolder(), 'varve-store-'));
    await using spool = await temporaryFolder();
    await using peer = await startRcloneServer({ folder });
    await using proxy = await startFaultProxy(peer.url);
    const retry = { attempts: 3, firstDelayMs: 5, maxDelayMs: 20 };
    const storage = openStorage(`rest:${proxy.url}/`, { environment: {}, retry, stallMs: 500 });
    await using repository = await createRepository({ storage, password, keyDerivation: { N: 1024, r: 8, p: 1 } });
    await using running = capture(join(spool.path, 'spool'), newSlot(), async () => repository);
    const { status } = running;
    await expect.poll(() => status.describe().state).toBe('streaming');
    await reach(status);
    await using ledger = keepLedger(server, { firstId: 1 + count * 1_000_000 });

    proxy.misbehave(() => ({ kind: 'answer', status: 503 }));
    const before = committed(status);
    const awayUntil = performance.now() + awaySeconds * 1000;
    await expect.poll(() => status.describe().commitProblem, { timeout: 60_000 }).not.toBeNull();
    while (performance.now() < awayUntil) await ledger.grow(10);
    expect(status.describe().state).toBe('streaming');
    expect(committed(status)).toBe(before);

    const faults: Fault[] = [];
    proxy.misbehave(() => {
      const fault = Math.random() < 0.3 ? anyFault() : undefined;
      if (fault) faults.push(fault);
      return fault;
    });
    while (faults.length < faultCount) await ledger.grow(5);
    await ledger.stop();
    proxy.misbehave(undefined);
    const calmAt = performance.now();
    await reach(status);
    const catchUpMs = (performance.now() - calmAt).toFixed(0);
    process.stdout.write(
      `away for ${awaySeconds} s, ${faults.length} faults, ${ledger.acknowledged.length} commits; all stored ${catchUpMs} ms after\n`,
    );
    expect(status.describe()).toMatchObject({ state: 'streaming', commitProblem: null, gap: null });
    await running[Symbol.asyncDispose]();
    await expectAll(repository, ledger);
    await storage.close();
    await rm(folder, { recursive: true });
  });

  test(
    'whose packs are stored in another order counts none of them before the first is stored',
    { timeout },
    async () => {
      await using folder = await temporaryFolder();
      const inner = openStorage(join(folder.path, 'repository'));
      const held = holdingStorage(inner);
      await using repository = await createRepository({
        storage: held.storage,
        password,
        keyDerivation: { N: 1024, r: 8, p: 1 },
      });
      await using running = capture(join(folder.path, 'spool'), newSlot(), async () => repository);
      const { status } = running;
      await expect.poll(() => status.describe().state).toBe('streaming');
      await reach(status);
      await using ledger = keepLedger(server, { firstId: 1 + count * 1_000_000 });
      const before = await held.hold(() => committed(status));
      await ledger.grow(50);
      await held.otherStored;
      await ledger.stop();
      expect(committed(status)).toBe(before);
      const { archive } = await readArchive(repository);
      expect(parseLsn(archive.blocks.at(-1)?.block.endLsn ?? '0/0')).toBe(before);
      held.release();
      await reach(status);
      await running[Symbol.asyncDispose]();
      await expectAll(repository, ledger);
      await inner.close();
    },
  );

  test('whose stored log was deleted tells a gap, and goes on with a new block', { timeout }, async () => {
    await using folder = await temporaryFolder();
    const location = join(folder.path, 'repository');
    const storage = openStorage(location);
    await using repository = await createRepository({ storage, password, keyDerivation: { N: 1024, r: 8, p: 1 } });
    const spool = join(folder.path, 'spool');
    const slot = newSlot();
    {
      await using running = capture(spool, slot, async () => repository);
      await expect.poll(() => running.status.describe().state).toBe('streaming');
      await reach(running.status);
    }
    for (const name of await readdir(join(location, 'data'), { recursive: true }))
      if (/[0-9a-f]{64}$/.test(name)) await rm(join(location, 'data', name));
    await using ledger = keepLedger(server, { firstId: 1 + count * 1_000_000 });
    // Another process, which has read nothing before.
    await using opened = await openRepository({ storage, password });
    await using running = capture(spool, slot, async () => opened);
    await ledger.grow(20);
    await ledger.stop();
    await reach(running.status);
    await running[Symbol.asyncDispose]();
    // What the index still names is not stored a second time: a repair of the index comes before that.
    const { blocks } = await WalArchive.open(opened, shop);
    expect(blocks.map(({ block }) => block.gap?.reason)).toEqual(['spool-lost']);
    await storage.close();
  });

  test('that is started anew over a store whose lists lag loses nothing', { timeout }, async () => {
    await using folder = await temporaryFolder();
    const inner = openStorage(join(folder.path, 'repository'));
    await using made = await createRepository({ storage: inner, password, keyDerivation: { N: 1024, r: 8, p: 1 } });
    const storage = new LaggingStorage(inner);
    const slot = newSlot();
    await using ledger = keepLedger(server, { firstId: 1 + count * 1_000_000 });
    {
      await using repository = await openRepository({ storage, password });
      await using running = capture(join(folder.path, 'spool'), slot, async () => repository);
      await expect.poll(() => running.status.describe().state).toBe('streaming');
      // What was written before there was a slot need not be there.
      await reach(running.status);
    }
    storage.catchUp();
    const from = ledger.acknowledged.length;
    for (let turn = 0; turn < 2; turn++) {
      await using repository = await openRepository({ storage, password });
      await using running = capture(join(folder.path, 'spool'), slot, async () => repository);
      await ledger.grow(100);
      await query(server, 'select pg_switch_wal()');
      await reach(running.status);
    }
    await ledger.stop();
    await using repository = await openRepository({ storage, password });
    await using running = capture(join(folder.path, 'spool'), slot, async () => repository);
    await reach(running.status);
    await running[Symbol.asyncDispose]();
    storage.catchUp();
    await made.loadIndex();
    const { commits } = await readArchive(made);
    expect(ledger.acknowledged.slice(from).filter(({ xid }) => !commits.has(xid))).toEqual([]);
    expect((await checkRepository(made, { readData: true })).errors).toEqual([]);
    await inner.close();
  });
});

function anyFault(): Fault {
  const afterBytes = Math.floor(Math.random() * 3000);
  const faults: readonly Fault[] = [
    { kind: 'answer', status: 503 },
    { kind: 'answer', status: 429, headers: { 'retry-after': '0' } },
    { kind: 'answer', status: 500 },
    { kind: 'hang' },
    { kind: 'cut-request', afterBytes },
    { kind: 'cut-answer', afterBytes },
    { kind: 'lose-answer' },
  ];
  return faults[Math.floor(Math.random() * faults.length)] as Fault;
}

/** Keeps the first pack that is saved after `hold` from being stored until `release`. */
function holdingStorage(inner: Storage) {
  const released = Promise.withResolvers<void>();
  const other = Promise.withResolvers<void>();
  let state: 'open' | 'armed' | 'holding' = 'open';
  const save: Storage['save'] = async (handle: FileHandle, data, options) => {
    if (handle.type !== 'pack') return inner.save(handle, data, options);
    if (state === 'armed') {
      state = 'holding';
      await released.promise;
      return inner.save(handle, data, options);
    }
    await inner.save(handle, data, options);
    if (state === 'holding') other.resolve();
  };
  const storage = new Proxy(inner, {
    get: (target, name) => {
      if (name === 'save') return save;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return {
    storage,
    otherStored: other.promise,
    hold: async <T>(look: () => T): Promise<T> => {
      state = 'armed';
      return look();
    },
    release: () => released.resolve(),
  };
}
