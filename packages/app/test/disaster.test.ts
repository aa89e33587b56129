// Everything is lost at once, under load: the server with its data, the process that captures, the installation. What is left is
// the repository and its key: a new installation connects it, learns what is in it, and recovers, to the end and to a second
// that was noted before. VARVE_TEST_DISASTERS sets how often; what was lost and how long the way back took is told.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { Secret } from '@varve/base';
import { recoveryRequestSchema, type RecoveryTarget } from '@varve/contract';
import { findPostgresBinaries, startPostgres, type PostgresServer } from '@varve/testing';
import { expect, test } from 'vitest';
import { openVarve, type Varve } from '../src/index.ts';
import { addCapturedApp, captureOf, query, reachCommit, shop } from './capture-fixture.ts';
import { distribution, keepLedger, ledgerSchema, lossMs } from './commit-ledger.ts';
import { temporaryFolder } from './engine-fixture.ts';
import { killServer } from './kill-server.ts';

const disasters = Number(process.env['VARVE_TEST_DISASTERS'] ?? 1);
const script = join(import.meta.dirname, 'processes', 'capture.ts');
const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
const noDocker = 'unix:///no.sock';
/** What the policy of the fixture promises is one second; a machine that runs other tests may take longer. */
const promisedLagMs = 10_000;
const moment = `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** Recovers into a sandbox in a new folder of the server's user; yields the ids of its ledger. */
async function idsAt(varve: Varve, server: PostgresServer, target: RecoveryTarget): Promise<Set<number>> {
  const folder = join(dirname(server.dataDir), target.type);
  const request = recoveryRequestSchema.parse({ target, destination: { type: 'sandbox', folder } });
  const { fingerprint } = await varve.planRecovery(shop.appId, request);
  const job = await varve.startRecovery(shop.appId, { ...request, fingerprint }, 'test');
  expect((await varve.waitForJob(job.id)).error).toBeNull();
  const [sandbox] = await varve.listSandboxes();
  const copy = { ...server, port: sandbox?.connection?.port ?? 0 };
  const ids = await query(copy, "select string_agg(id::text, ' ') from ledger");
  await varve.removeSandbox(sandbox?.id ?? '');
  return new Set(ids.split(' ').map(Number));
}

/** What was lost, and how long it took to have the rest again, in ms. */
async function disaster(): Promise<{ readonly lostMs: number; readonly recoveryMs: number }> {
  await using folder = await temporaryFolder();
  const dataDirectory = join(folder.path, 'data');
  const bucket = join(folder.path, 'bucket');
  await using server = await startPostgres({ binDir, initdbOptions: ['--wal-segsize=1', '--data-checksums'] });
  await query(server, ledgerSchema);
  const kit = await (async () => {
    await using varve = await openVarve({ dataDirectory, dockerHost: noDocker, runInBackground: true });
    await addCapturedApp(varve, server, { method: 'base', dataDirectory: server.dataDir, binDirectory: server.binDir });
    await expect.poll(async () => (await captureOf(varve)).hasBaseBackup, { timeout: 60_000 }).toBe(true);
    return await varve.recoveryKit();
  })();
  const child = spawn(process.execPath, [script, dataDirectory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');

  const early = keepLedger(server);
  await early.grow(100);
  await early.stop();
  const second = await query(server, moment);
  await using late = keepLedger(server, { firstId: 1_000_000 });
  await late.grow(50);
  await using observer = await openVarve({ dataDirectory, dockerHost: noDocker });
  await reachCommit(observer, server);
  await observer[Symbol.asyncDispose]();
  await wait(Math.random() * 4000);

  const killedAtMs = performance.now();
  child.kill('SIGKILL');
  await killServer(server);
  await ended;
  await late.stop();
  await rename(kit.location, bucket);
  await rm(dataDirectory, { recursive: true });
  await rm(server.dataDir, { recursive: true });

  const startedAtMs = performance.now();
  await using varve = await openVarve({ dataDirectory: join(folder.path, 'new'), dockerHost: noDocker });
  await varve.connectRepository({ location: bucket, password: new Secret(kit.password), create: false });
  expect(await varve.rebuildCatalogue()).toMatchObject({ apps: 1 });
  const atEnd = await idsAt(varve, server, { type: 'latest' });
  const recoveryMs = performance.now() - startedAtMs;
  const all = [...early.acknowledged, ...late.acknowledged];
  const lostMs = lossMs(all, ({ id }) => atEnd.has(id), killedAtMs);
  expect(lostMs).toBeLessThan(promisedLagMs);

  const atSecond = await idsAt(varve, server, { type: 'time', time: second });
  expect(early.acknowledged.filter(({ id }) => !atSecond.has(id))).toEqual([]);
  expect(late.acknowledged.filter(({ id }) => atSecond.has(id))).toEqual([]);
  return { lostMs, recoveryMs };
}

test.skipIf(binDir === '')(
  `of ${disasters} disasters that leave only the repository and its key, each is recovered from`,
  { timeout: disasters * 120_000 },
  async () => {
    const outcomes: Awaited<ReturnType<typeof disaster>>[] = [];
    for (let round = 0; round < disasters; round++) outcomes.push(await disaster());
    process.stdout.write(`lost, in ms: ${distribution(outcomes.map(({ lostMs }) => lostMs))}\n`);
    process.stdout.write(`until it ran again, in ms: ${distribution(outcomes.map(({ recoveryMs }) => recoveryMs))}\n`);
  },
);
