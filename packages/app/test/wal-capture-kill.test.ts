// A process that captures is killed in each state of its work and at any moment, under load: what it had committed is there, nothing
// is stored twice or missing, and the next one goes on without a gap. VARVE_TEST_KILLS sets how often, VARVE_LONG_TESTS takes all
// states, VARVE_TEST_POSTGRES adds servers.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { parseLsn, type Lsn } from '@varve/postgres';
import { checkRepository } from '@varve/repository';
import {
  expectResticCheck,
  findPostgresBinaries,
  resticAvailable,
  startPostgres,
  type PostgresServer,
} from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve } from '../src/index.ts';
import { addCapturedApp, connect, query, reachCommit, readArchive, withRepository } from './capture-fixture.ts';
import { temporaryFolder } from './engine-fixture.ts';
import { captureStates, type CaptureState } from './processes/capture-states.ts';

const scriptOf = (name: string): string => join(import.meta.dirname, 'processes', name);
const rounds = Number(process.env['VARVE_TEST_KILLS'] ?? 2);
const states: readonly CaptureState[] =
  process.env['VARVE_LONG_TESTS'] === '1' ? captureStates : ['spool-durable', 'pack-stored', 'snapshot-stored'];
/** Between two commits: what is written is read back after each kill. */
const pauseMs = 5;
const binaries = await findPostgresBinaries();
const tested = process.env['VARVE_TEST_POSTGRES'] === undefined ? binaries.slice(0, 1) : binaries;

/** A client that commits all the time and notes each commit that was acknowledged, with the end of the log behind it. */
function keepLedger(server: PostgresServer): { readonly entries: Map<number, Lsn> } & AsyncDisposable {
  const entries = new Map<number, Lsn>();
  const stop = new AbortController();
  const done = (async () => {
    await using connection = await connect(server);
    while (!stop.signal.aborted) {
      const results = await connection.query(
        'begin; insert into ledger select txid_current(), repeat(md5(random()::text), 60) from generate_series(1, 10); commit; select max(xid), pg_current_wal_flush_lsn() from ledger',
      );
      const [xid, lsn] = results.at(-1)?.rows[0] ?? [];
      entries.set(Number(xid), parseLsn(lsn ?? ''));
      await wait(pauseMs);
    }
  })();
  return {
    entries,
    [Symbol.asyncDispose]: () => {
      stop.abort();
      return done;
    },
  };
}

/** Starts a capture that is dead when this resolves: killed in a state, or at a random moment. */
async function captureAndDie(dataDirectory: string, state: CaptureState | undefined): Promise<void> {
  const parameters =
    state === undefined
      ? [scriptOf('capture.ts'), dataDirectory]
      : [scriptOf('capture-until.ts'), dataDirectory, state, String(1 + Math.floor(Math.random() * 3))];
  const child = spawn(process.execPath, parameters, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  if (state === undefined) {
    await once(child.stdout, 'data');
    await wait(Math.random() * 3000);
    child.kill('SIGKILL');
  }
  expect(await ended, state).toEqual([null, 'SIGKILL']);
}

describe.skipIf(tested.length === 0).each(tested)('capture of PostgreSQL $major', ({ binDir }) => {
  test(
    `loses nothing when it dies in ${states.length} states and over ${rounds} kills`,
    { timeout: 120_000 + rounds * 15_000 },
    async () => {
      await using folder = await temporaryFolder();
      await using server = await startPostgres({ binDir, initdbOptions: ['--wal-segsize=1'] });
      const dataDirectory = join(folder.path, 'data');
      await query(server, 'create table ledger (xid bigint, filler text)');
      await query(server, 'create index on ledger (xid)');
      const open = (runInBackground: boolean) =>
        openVarve({ dataDirectory, dockerHost: 'unix:///no.sock', runInBackground });
      const kit = await (async () => {
        await using varve = await open(true);
        await addCapturedApp(varve, server);
        // What was written before there was a slot need not be there.
        await reachCommit(varve, server);
        return await varve.recoveryKit();
      })();
      await using ledger = keepLedger(server);
      // A record may cross a border: each round reads again what the one before last had read last.
      const read: string[] = [];
      const found = new Set<number>();
      const deaths = [...states, ...Array.from({ length: rounds }, () => undefined)];
      for (const state of deaths) {
        await captureAndDie(dataDirectory, state);
        await withRepository(kit, async (repository) => {
          const { archive, commits } = await readArchive(repository, { from: read.at(-2) ?? '' });
          for (const xid of commits.keys()) found.add(xid);
          const newest = archive.blocks.at(-1)?.block;
          read.push(newest?.segments.at(-2)?.name ?? read.at(-1) ?? '');
          const end = newest?.replayableLsn;
          const due = [...ledger.entries].filter(([, lsn]) => lsn <= parseLsn(end ?? '0/0'));
          expect(end).toBeDefined();
          expect(due.filter(([xid]) => !found.has(xid))).toEqual([]);
        });
      }
      await ledger[Symbol.asyncDispose]();
      expect(ledger.entries.size).toBeGreaterThan(0);
      {
        await using varve = await open(true);
        await reachCommit(varve, server);
      }
      await withRepository(kit, async (repository) => {
        const { archive, commits, ends } = await readArchive(repository);
        expect([...ledger.entries.keys()].filter((xid) => !commits.has(xid))).toEqual([]);
        expect(archive.blocks.map(({ block }) => block.gap).filter((gap) => gap !== null)).toEqual([]);
        expect(archive.replaced).toEqual([]);
        expect(ends.size).toBe(1);
        const segments = archive.blocks.flatMap(({ block }) => block.segments);
        expect(segments.reduce((sum, { commits: count }) => sum + count, 0)).toBeGreaterThanOrEqual(commits.size);
        expect(new Set(segments.map(({ name }) => name)).size).toBe(segments.length);
        expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
      });
      if ((await resticAvailable()) !== undefined) {
        await expectResticCheck({ repo: kit.location, password: kit.password }, { readData: true });
      }
    },
  );
});
