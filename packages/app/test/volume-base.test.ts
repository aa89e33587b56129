// Base backups that are made by reading the data folder of a running server: what `restic restore` alone brings back must start
// and have every commit that was acknowledged before the backup's end.

import { execa } from 'execa';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '@varve/base';
import { parseLsn, readServerFacts, type Lsn, type PgConnection } from '@varve/postgres';
import { startArchive, type Snapshot } from '@varve/repository';
import { findOutermostMajors, resticAvailable, startPostgres, type PostgresServer } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { databaseAccess } from '../src/components/database/database-access.ts';
import { locateDataFolder } from '../src/components/database/locate-data-folder.ts';
import { saveVolumeBase } from '../src/components/database/save-volume-base.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';
import { appOf, connect, query, savedOf, startRestored } from './volume-base-lab.ts';

const binaries = await findOutermostMajors();
const hasRestic = (await resticAvailable()) !== undefined;
/** A row of backups takes a minute: of the newest major only, of all with VARVE_LONG_TESTS=1. */
const isLong = process.env['VARVE_LONG_TESTS'] === '1';
const timeout = 240_000;
const settings = { fsync: 'off', autovacuum_naptime: '1', max_wal_size: '64MB', shared_buffers: '4MB' };

interface Load {
  readonly acknowledged: { readonly id: number; readonly lsn: Lsn }[];
  /** Waits for so many more acknowledged rows. */
  more(rows: number): Promise<void>;
  stop(): Promise<void>;
}

const bulkRows = 40_000;

async function prepare(server: PostgresServer): Promise<void> {
  await using connection = await connect(server);
  await connection.query(`
    create table ledger (id int primary key, body text);
    create table bulk (id int primary key, n int not null, filler text);
    insert into bulk select i, 0, repeat(md5(i::text), 10) from generate_series(1, ${bulkRows}) i;
    create unlogged table scratch as select i, md5(i::text) from generate_series(1, 5000) i;
    create index on scratch (i);
    checkpoint`);
}

/** Commits a row at a time and notes what was acknowledged; beside it updates all over, and relations and databases come and go. */
function startLoad(server: PostgresServer, round: string): Load {
  const acknowledged: { id: number; lsn: Lsn }[] = [];
  const over = new AbortController();
  const loop = async (work: (connection: PgConnection, turn: number) => Promise<unknown>): Promise<void> => {
    await using connection = await connect(server);
    for (let turn = 0; !over.signal.aborted; turn++) await work(connection, turn);
  };
  const working = Promise.all([
    loop(async (connection, id) => {
      await connection.query(`insert into ledger values (${id}, repeat(md5('${id}'), 50))`);
      acknowledged.push({ id, lsn: parseLsn(await query(connection, 'select pg_current_wal_insert_lsn()')) });
    }),
    loop((connection) =>
      connection.query(
        `update bulk set n = n + 1 where id in (select 1 + (random() * ${bulkRows - 1})::int from generate_series(1, 20))`,
      ),
    ),
    loop((connection, turn) =>
      connection.query(`
        create table ${round}${turn} as select i, md5(i::text) from generate_series(1, 2000) i;
        create index on ${round}${turn} (i);
        truncate ${round}${turn};
        insert into ${round}${turn} values (${turn}, 'kept');
        insert into scratch select i, 'x' from generate_series(1, 200) i;
        ${turn > 3 ? `drop table ${round}${turn - 3}` : ''}`),
    ),
    loop(async (connection, turn) => {
      await connection.query(`create database ${round}${turn}`);
      if (turn > 0) await connection.query(`drop database ${round}${turn - 1}`);
    }),
  ]);
  return {
    acknowledged,
    async more(rows) {
      const wanted = acknowledged.length + rows;
      const reached = async (): Promise<void> => {
        while (acknowledged.length < wanted) await sleep(20);
      };
      // A load that fails ends the waiting.
      await Promise.race([reached(), working]);
    },
    async stop() {
      over.abort();
      await working;
    },
  };
}

async function expectWhole(restored: { dataDir: string; port: number }, server: PostgresServer, load: Load, end: Lsn) {
  await using connection = await connect(server, 'postgres', restored.port);
  const found = new Set((await query(connection, 'select id from ledger')).split('\n').map(Number));
  const lost = load.acknowledged.filter(({ id, lsn }) => lsn <= end && !found.has(id));
  expect(lost).toEqual([]);
  expect(await query(connection, 'select count(*) from ledger where body <> repeat(md5(id::text), 50)')).toBe('0');
  expect(
    await query(
      connection,
      `select count(*), count(distinct id), bool_and(filler = repeat(md5(id::text), 10)) from bulk`,
    ),
  ).toBe(`${bulkRows}|${bulkRows}|t`);
  expect(await query(connection, 'select count(*) from scratch')).toBe('0');
  const check = join(server.binDir, 'pg_amcheck');
  if (await isThere(check)) {
    const where = ['-h', '127.0.0.1', '-p', String(restored.port), '-U', server.user];
    await execa(check, ['--all', '--install-missing', '--heapallindexed', ...where], {
      env: { PGPASSWORD: server.password },
    });
  }
}

async function expectChecksums(dataDir: string, server: PostgresServer): Promise<void> {
  const tool = join(server.binDir, 'pg_checksums');
  if (!(await isThere(tool))) return;
  const { uid, gid } = await stat(dataDir);
  await execa(tool, ['--check', '-D', dataDir], { cwd: '/', ...(process.getuid?.() === 0 ? { uid, gid } : {}) });
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Saves the cluster alone, with a margin that is short enough for a test; yields how many files were taken over. */
async function saveAlone(
  fixture: RunFixture,
  server: PostgresServer,
  parent: Snapshot | undefined,
): Promise<{ snapshot: Snapshot; end: Lsn; unmodified: number }> {
  const { repository } = fixture;
  const app = appOf(fixture, server);
  const [component] = app.components;
  if (component?.kind !== 'database') throw new Error('the app has no database');
  const { signal, secrets, log } = fixture.context();
  const access = await databaseAccess({ component, secrets, project: null, signal });
  await using connection = await connect(server);
  const facts = await readServerFacts(connection);
  const folder = await locateDataFolder({ component, facts, container: null, docker: null, signal });
  if ('reason' in folder) throw new Error(folder.reason);
  await using session = await startArchive(repository, { parent });
  const input = {
    component,
    access,
    log,
    session,
    signal,
    onStep: () => {},
    repository,
    parent,
    connection,
    facts,
    folder,
  };
  const produced = await saveVolumeBase({ ...input, marginNs: 100_000_000n });
  expect(produced?.problems).toEqual([]);
  const options = { time: new Date(), hostname: 'test', paths: ['/shop'], programVersion: 'varve' };
  const { snapshot, summary } = await session.commit(options);
  return { snapshot, end: parseLsn(produced?.saved.walEndLsn ?? ''), unmodified: summary.filesUnmodified };
}

for (const { binDir, major } of binaries) {
  describe.skipIf(!hasRestic)(`a cluster of PostgreSQL ${major} that is read from its data folder under load`, () => {
    test(
      'is brought back by restic with every acknowledged commit, from the first backup and from the next',
      { timeout },
      async () => {
        await using fixture = await runFixture();
        const initdbOptions = ['--data-checksums', '--wal-segsize=1'];
        await using server = await startPostgres({ binDir, initdbOptions, settings });
        await prepare(server);
        const app = appOf(fixture, server);
        for (const round of ['first', 'second']) {
          const load = startLoad(server, round);
          await load.more(50);
          const taken = await fixture.snapshot(app);
          await load.more(20);
          await load.stop();
          expect(taken.problems).toEqual([]);
          const saved = savedOf(taken);
          expect(saved).toMatchObject({ readThrough: 'volume', timeline: 1 });
          const restored = await startRestored(fixture, server, round);
          await expectWhole(restored, server, load, parseLsn(saved.walEndLsn ?? ''));
          await restored.stop();
          await expectChecksums(restored.dataDir, server);
          await using connection = await connect(server);
          await connection.query('truncate ledger');
        }
      },
    );

    test.skipIf(!isLong && major !== binaries[0]?.major)(
      'misses nothing in a row of backups that each take over what did not change',
      { timeout },
      async () => {
        await using fixture = await runFixture();
        const initdbOptions = ['--data-checksums', '--wal-segsize=1'];
        // Checkpoints all the time: changes reach the files while these are read, and soon after.
        const busy = { ...settings, checkpoint_timeout: '30s', max_wal_size: '4MB', min_wal_size: '2MB' };
        await using server = await startPostgres({ binDir, initdbOptions, settings: busy });
        await prepare(server);
        const load = startLoad(server, 'row');
        let parent: Snapshot | undefined;
        let end = parseLsn('0/0');
        for (let round = 0; round < (isLong ? 5 : 3); round++) {
          await load.more(10);
          const saved = await saveAlone(fixture, server, parent);
          // The system catalogs of the databases that nobody uses.
          if (parent) expect(saved.unmodified).toBeGreaterThan(200);
          ({ snapshot: parent, end } = saved);
        }
        await load.stop();
        const restored = await startRestored(fixture, server, 'restored');
        await expectWhole(restored, server, load, end);
        await restored.stop();
        await expectChecksums(restored.dataDir, server);
      },
    );
  });
}
