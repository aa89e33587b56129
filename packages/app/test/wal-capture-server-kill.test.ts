// A server whose processes are all killed at any moment, under load, while its log is captured: nothing acknowledged is missing,
// in the repository right after the kill and in a recovery at the end. VARVE_TEST_SERVER_KILLS sets how often.

import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { recoveryRequestSchema } from '@varve/contract';
import { checkRepository } from '@varve/repository';
import { findPostgresBinaries, startPostgres } from '@varve/testing';
import { expect, test } from 'vitest';
import { openVarve } from '../src/index.ts';
import { addCapturedApp, captureOf, query, reachCommit, readArchive, shop, withRepository } from './capture-fixture.ts';
import { distribution, keepLedger, ledgerSchema, lossMs } from './commit-ledger.ts';
import { temporaryFolder } from './engine-fixture.ts';
import { killServer } from './kill-server.ts';

const kills = Number(process.env['VARVE_TEST_SERVER_KILLS'] ?? 2);
const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
/** What the policy of the fixture promises is one second; a machine that runs other tests may take longer. */
const promisedLagMs = 10_000;

test.skipIf(binDir === '')(
  `capture goes on over ${kills} SIGKILLs of the server, and nothing acknowledged is missing`,
  { timeout: 120_000 + kills * 20_000 },
  async () => {
    await using folder = await temporaryFolder();
    await using server = await startPostgres({ binDir, initdbOptions: ['--wal-segsize=1', '--data-checksums'] });
    await query(server, ledgerSchema);
    await using varve = await openVarve({
      dataDirectory: join(folder.path, 'data'),
      dockerHost: 'unix:///no.sock',
      runInBackground: true,
    });
    await addCapturedApp(varve, server, { method: 'base', dataDirectory: server.dataDir, binDirectory: server.binDir });
    await expect.poll(async () => (await captureOf(varve)).hasBaseBackup, { timeout: 60_000 }).toBe(true);
    const kit = await varve.recoveryKit();
    await using ledger = keepLedger(server);
    const found = new Set<number>();
    const read: string[] = [];
    const losses: number[] = [];
    for (let kill = 0; kill < kills; kill++) {
      await expect.poll(async () => (await captureOf(varve)).state, { timeout: 60_000 }).toBe('streaming');
      // What was committed while nobody was connected is not what a lag is promised for.
      await reachCommit(varve, server);
      await wait(Math.random() * 2500);
      const killedAtMs = performance.now();
      await killServer(server);
      await withRepository(kit, async (repository) => {
        const { archive, commits } = await readArchive(repository, { from: read.at(-2) ?? '' });
        for (const xid of commits.keys()) found.add(xid);
        read.push(archive.blocks.at(-1)?.block.segments.at(-2)?.name ?? read.at(-1) ?? '');
      });
      losses.push(lossMs(ledger.acknowledged, ({ xid }) => found.has(xid), killedAtMs));
      expect(losses.at(-1)).toBeLessThan(promisedLagMs);
      await server.start();
    }
    await ledger.grow(1);
    await ledger.stop();
    await reachCommit(varve, server);
    process.stdout.write(
      `acknowledged and not stored while the killed server was down, in ms: ${distribution(losses)}\n`,
    );
    expect(await captureOf(varve)).toMatchObject({ gap: null, commitProblem: null });
    await withRepository(kit, async (repository) => {
      const { archive, commits } = await readArchive(repository);
      expect(ledger.acknowledged.filter(({ xid }) => !commits.has(xid))).toEqual([]);
      expect(archive.blocks.map(({ block }) => block.gap).filter((gap) => gap !== null)).toEqual([]);
      const restarts = archive.blocks.flatMap(({ block }) => block.restarts);
      // The end of each recovery.
      expect(restarts.length).toBeGreaterThanOrEqual(kills);
      expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
    });

    const latest = recoveryRequestSchema.parse({ target: { type: 'latest' }, destination: { type: 'sandbox' } });
    const { fingerprint } = await varve.planRecovery(shop.appId, latest);
    const job = await varve.startRecovery(shop.appId, { ...latest, fingerprint }, 'test');
    expect((await varve.waitForJob(job.id)).error).toBeNull();
    const [sandbox] = await varve.listSandboxes();
    const copy = { ...server, port: sandbox?.connection?.port ?? 0 };
    const ids = new Set((await query(copy, "select string_agg(id::text, ' ') from ledger")).split(' ').map(Number));
    expect(ledger.acknowledged.filter(({ id }) => !ids.has(id))).toEqual([]);
    // Each transaction is there as a whole.
    expect(
      await query(
        copy,
        'select (select count(*) from ledger) = (select count(*) from history) and (select sum(delta) from history) = (select balance from branches) and (select sum(balance) from accounts) = (select sum(balance) from tellers)',
      ),
    ).toBe('t');
    await varve.removeSandbox(sandbox?.id ?? '');
  },
);
