// From capture to recovery through the facade, as the server and the command line use it; and what a killed process leaves.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  newSnapshotSchema,
  recoveryRequestSchema,
  verifyRequestSchema,
  type RecoveryRequestInput,
} from '@varve/contract';
import { silentLogger, type Logger } from '@varve/base';
import { findPostgresBinaries, startPostgres, type PostgresServer } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve, type Varve } from '../src/index.ts';
import { addCapturedApp, query, reachCommit, shop } from './capture-fixture.ts';
import { temporaryFolder } from './engine-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
const timeout = 300_000;
const settings = { initdbOptions: ['--wal-segsize=1', '--data-checksums'], settings: { autovacuum: 'off' } };

const open = (dataDirectory: string, runInBackground: boolean, logger: Logger = silentLogger): Promise<Varve> =>
  openVarve({ dataDirectory, dockerHost: 'unix:///no.sock', runInBackground, logger });

async function addShop(varve: Varve, server: PostgresServer): Promise<void> {
  const place = { dataDirectory: server.dataDir, binDirectory: server.binDir };
  await addCapturedApp(varve, server, { method: 'base', ...place });
}

async function takeBase(varve: Varve): Promise<void> {
  const job = await varve.startSnapshot(shop.appId, newSnapshotSchema.parse({ kind: 'manual' }), 'test');
  expect((await varve.waitForJob(job.id)).error).toBeNull();
}

async function recover(varve: Varve, input: RecoveryRequestInput) {
  const wanted = recoveryRequestSchema.parse(input);
  const { fingerprint } = await varve.planRecovery(shop.appId, wanted);
  const job = await varve.startRecovery(shop.appId, { ...wanted, fingerprint }, 'test');
  return varve.waitForJob(job.id);
}

const moment = `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

const folders = async (server: PostgresServer): Promise<string[]> =>
  (await readdir(dirname(server.dataDir))).filter((name) => name.includes('varve'));

/** Runs a script of processes/ until it says the word, looks that it has made a folder beside the data, and kills it. */
async function killWhenItSays(
  server: PostgresServer,
  { script, dataDirectory, word }: { readonly script: string; readonly dataDirectory: string; readonly word: string },
): Promise<void> {
  const path = fileURLToPath(new URL(`./processes/${script}`, import.meta.url));
  const child = spawn(process.execPath, [path, dataDirectory, shop.appId], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  expect(said.toString()).toBe(`${word}\n`);
  expect(await folders(server)).toHaveLength(1);
  child.kill('SIGKILL');
  await once(child, 'exit');
}

describe.skipIf(binDir === '')('a captured database', () => {
  test('is recovered in place, captured on its new timeline, and recovered from there', { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await startPostgres({ binDir, ...settings });
    const said: { readonly level: 'info' | 'warn'; readonly message: string }[] = [];
    const logger: Logger = {
      ...silentLogger,
      info: (message) => said.push({ level: 'info', message }),
      warn: (message) => said.push({ level: 'warn', message }),
    };
    await using varve = await open(join(folder.path, 'data'), true, logger);
    await addShop(varve, server);
    await query(server, 'create table ledger as select n as id from generate_series(1, 100) n');
    await takeBase(varve);
    await query(server, 'insert into ledger select n from generate_series(101, 200) n');
    const before = await query(server, moment);
    await query(server, 'delete from ledger where id <= 150');
    await reachCommit(varve, server);
    const job = await recover(varve, { target: { type: 'time', time: before }, destination: { type: 'in-place' } });
    expect(job).toMatchObject({ state: 'succeeded', result: { type: 'recovery', timeline: 2, sandbox: null } });
    expect(await query(server, 'select count(*) from ledger')).toBe('200');
    expect((await varve.listSnapshots(shop.appId)).map(({ kind }) => kind)).toEqual(['pre-restore', 'manual']);

    const resumed = await query(server, moment);
    await query(server, 'insert into ledger select n from generate_series(201, 250) n');
    const latest = recoveryRequestSchema.parse({ target: { type: 'latest' }, destination: { type: 'sandbox' } });
    const reached = async (): Promise<boolean> =>
      ((await varve.planRecovery(shop.appId, latest)).stop.lastCommitAt ?? '') > resumed;
    await expect.poll(reached, { timeout: 60_000, interval: 500 }).toBe(true);
    // What was asked for is no warning.
    expect(said.filter(({ message }) => message.includes('begins anew'))).toEqual([
      { level: 'info', message: `capture begins anew, because the database was brought back at ${job.finishedAt}` },
    ]);
    const sandbox = await recover(varve, { target: { type: 'latest' }, destination: { type: 'sandbox' } });
    expect(sandbox).toMatchObject({ state: 'succeeded', result: { sandbox: { state: 'running' } } });
    const [listed] = await varve.listSandboxes();
    expect(listed).toMatchObject({ appId: shop.appId, connection: { host: '127.0.0.1' } });
    const { port } = listed?.connection ?? {};
    expect(await query({ ...server, port: port ?? 0 }, 'select count(*) from ledger')).toBe('250');
    await varve.removeSandbox(listed?.id ?? '');
    expect(await varve.listSandboxes()).toEqual([]);
    expect(await folders(server)).toEqual([]);
    const proof = await varve.startVerify(
      shop.appId,
      verifyRequestSchema.parse({ queries: [{ sql: 'select count(*) = 250 from ledger' }] }),
      'test',
    );
    expect(await varve.waitForJob(proof.id)).toMatchObject({
      state: 'succeeded',
      error: null,
      result: { type: 'verify' },
    });
  });

  test('whose recovery or proof is killed leaves nothing behind the next opening', { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using server = await startPostgres({ binDir, ...settings });
    const dataDirectory = join(folder.path, 'data');
    {
      await using varve = await open(dataDirectory, true);
      await addShop(varve, server);
      await query(server, 'create table ledger as select n as id from generate_series(1, 100) n');
      await takeBase(varve);
      await query(server, 'insert into ledger select n from generate_series(101, 40000) n');
      await reachCommit(varve, server);
    }
    await killWhenItSays(server, { script: 'recover-and-hang.ts', dataDirectory, word: 'replaying' });
    const opensClean = async (type: 'recovery' | 'verify'): Promise<void> => {
      await using varve = await open(dataDirectory, false);
      expect(await folders(server)).toEqual([]);
      expect(await varve.listSandboxes()).toEqual([]);
      const [job] = await varve.listJobs({ appId: shop.appId });
      expect(job).toMatchObject({ type, state: 'failed', error: { code: 'JOB_INTERRUPTED' } });
    };
    await opensClean('recovery');
    // A proof has its sandbox made when it dies here.
    await killWhenItSays(server, { script: 'verify-and-hang.ts', dataDirectory, word: 'looking' });
    await opensClean('verify');
    expect(await query(server, 'select count(*) from ledger')).toBe('40000');
  });
});
