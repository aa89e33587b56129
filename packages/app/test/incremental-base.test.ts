// Base backups for which the server sends only what changed (PostgreSQL 17 and later, summarize_wal). The oracle: a whole backup
// taken right after, of a cluster at rest with page checksums, has the same chunks in every file of a relation.
// VARVE_TEST_CHAIN sets how many are taken one after the other (2 unless set), and has every major from 17 on run.

import { chown, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { App } from '@varve/contract';
import { parseBackupManifest, type PgConnection } from '@varve/postgres';
import { listTree, readFileContent } from '@varve/repository';
import { findPostgresMajors, resticAvailable, runRestic, startPostgres, type PostgresServer } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { collectBytes } from '../src/components/collect-bytes.ts';
import type { TakenSnapshot } from '../src/use-case.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';
import { appOf, connect, query, startRestored } from './volume-base-lab.ts';

const timeout = 300_000;
const chainLength = Number(process.env['VARVE_TEST_CHAIN'] ?? 2);
const majors = (await findPostgresMajors()).filter(({ major }) => major >= 17);
const [newest] = majors;
const tested = process.env['VARVE_TEST_CHAIN'] === undefined ? majors.slice(0, 1) : majors;
const hasRestic = (await resticAvailable()) !== undefined;
const stream = { readThrough: 'stream' } as const;

const start = (binDir: string): Promise<PostgresServer> =>
  startPostgres({
    binDir,
    initdbOptions: ['--data-checksums'],
    settings: { fsync: 'off', summarize_wal: 'on', autovacuum: 'off' },
  });

/** Every file of a relation, with the chunks that it is made of. */
async function relationsOf(fixture: RunFixture, taken: TakenSnapshot): Promise<Map<string, string>> {
  const { tree } = await fixture.repository.findSnapshot(taken.snapshot.id);
  const found = new Map<string, string>();
  for await (const { path, node } of listTree(fixture.repository, { treeId: tree, recursive: true })) {
    if (node.type === 'file' && /\/\d+(_\w+)?(\.\d+)?$/.test(path) && !path.includes('/pg_wal/'))
      found.set(path.replace('/databases/db/', ''), `${node.size} ${(node.content ?? []).join(' ')}`);
  }
  return found;
}

async function fileOf(fixture: RunFixture, taken: TakenSnapshot, path: string): Promise<Buffer> {
  const { tree } = await fixture.repository.findSnapshot(taken.snapshot.id);
  return collectBytes(readFileContent(fixture.repository, { treeId: tree, path }));
}

const said = (fixture: RunFixture): string => fixture.log.findLast((line) => /sen(ds|t) /.test(line)) ?? '';

/** The first snapshot of another app is a whole backup. */
async function expectAsWhole(fixture: RunFixture, app: App, taken: TakenSnapshot, step: number): Promise<void> {
  const whole = await fixture.snapshot({ ...app, id: `${app.id}-${step}` });
  expect(said(fixture)).toMatch(/sends all of its files: the snapshot before has no/);
  const [rebuilt, sent] = [await relationsOf(fixture, taken), await relationsOf(fixture, whole)];
  expect(rebuilt.size).toBeGreaterThan(900);
  const others = [...rebuilt].filter(([path, content]) => sent.get(path) !== content).map(([path]) => path);
  expect(others.filter((path) => !path.includes('_vm'))).toEqual([]);
  for (const path of others) {
    // What is known of visible rows may be less, never more.
    const [less, more] = await Promise.all([taken, whole].map((one) => fileOf(fixture, one, `/databases/db/${path}`)));
    const tooMuch = less?.findIndex((byte, at) => at % 8192 >= 24 && (byte & ~(more?.[at] ?? 0)) !== 0);
    expect(tooMuch, path).toBe(-1);
  }
  expect([...sent.keys()].filter((path) => !rebuilt.has(path))).toEqual([]);
}

async function makeTables(session: PgConnection, server: PostgresServer): Promise<void> {
  const space = join(dirname(server.dataDir), 'space');
  const { uid, gid } = await stat(server.dataDir);
  await mkdir(space);
  await chown(space, uid, gid);
  await session.query(`create tablespace apart location '${space}'`);
  await query(
    session,
    `create table still as select i, md5(i::text) as body from generate_series(1, 60000) i;
     create table parts as select i, 0 as n, md5(i::text) as body from generate_series(1, 30000) i;
     create table most as select i, 0 as n from generate_series(1, 20000) i;
     create table cut as select i, md5(i::text) as body from generate_series(1, 20000) i;
     create table away tablespace apart as select i, 0 as n from generate_series(1, 20000) i;
     create table gone as select 1 as i; create unlogged table scratch as select 1 as i;
     create index on parts (i); create index on away (i)`,
  );
}

/** Transactions that take from one row what they give to another, until told to end; yields how many. */
async function moveAmounts(server: PostgresServer, signal: AbortSignal): Promise<number> {
  await using session = await connect(server);
  let count = 0;
  for (; !signal.aborted; count++) {
    const [from, to] = [1 + ((count * 7919) % 30_000), 1 + ((count * 104_729) % 30_000)];
    await query(
      session,
      `begin; update parts set n = n - 1 where i = ${from}; update parts set n = n + 1 where i = ${to}; commit`,
    );
    if (count % 50 === 0) await session.query('checkpoint');
  }
  return count;
}

const answer = `select count(*), sum(n), (select md5(string_agg(t::text, ',' order by i)) from cut t), (select i from gone),
  (select count(*) from away), (select count(*) from still), (select sum(n) from most) from parts`;

/** Scattered updates, a file that is cut off and grows again, one that is nearly all new, tables and databases that come and go. */
async function change(server: PostgresServer, session: PgConnection, step: number): Promise<string> {
  await query(session, `update parts set n = n + 1 where i % 5000 = ${step}; update away set n = ${step} where i = 7`);
  await query(session, `update most set n = ${step}; delete from cut where i > 5000`);
  await query(session, 'vacuum cut');
  await query(session, `insert into cut select i, 'step ${step}' from generate_series(5001, ${9000 + 500 * step}) i`);
  await query(session, `drop table gone; create table gone as select ${step} as i; truncate away`);
  await query(session, `insert into away select i, ${step} from generate_series(1, ${4000 * step}) i`);
  // Gone and there again under the same names, with other files in it: once with WAL of its pages, once without.
  await session.query('drop database if exists again');
  await session.query(`create database again oid 20000 strategy ${step % 2 === 0 ? 'wal_log' : 'file_copy'}`);
  await using inside = await connect(server, 'again');
  await query(inside, `create table only_here as select generate_series(1, ${1000 * step}) i`);
  // Reading notes in pages what is known of committed rows; what the backups are compared by must not change any more.
  const answered = await query(session, answer);
  await query(session, 'checkpoint');
  return answered;
}

describe.skipIf(majors.length === 0 || !hasRestic)('a server that can tell what changed', () => {
  test.each(tested)(
    'sends that, and what is stored is the whole, PostgreSQL $major',
    { timeout },
    async ({ binDir }) => {
      await using fixture = await runFixture();
      await using server = await start(binDir);
      await using session = await connect(server);
      await makeTables(session, server);
      const app = appOf(fixture, server, stream);
      await fixture.snapshot(app);
      expect(said(fixture)).toMatch(/sends all of its files: the snapshot before has no base backup/);
      let taken: TakenSnapshot | undefined;
      let expected = '';
      for (let step = 1; step <= chainLength; step++) {
        expected = await change(server, session, step);
        taken = await fixture.snapshot(app);
        expect(taken.problems).toEqual([]);
        expect(said(fixture)).toMatch(/sent what changed/);
        const manifest = parseBackupManifest(await fileOf(fixture, taken, '/databases/db/backup_manifest'));
        expect([...manifest.files.keys()].filter((path) => path.includes('INCREMENTAL'))).toEqual([]);
      }
      if (taken === undefined) return;
      await expectAsWhole(fixture, app, taken, chainLength);
      // Under load, what it adds up to stays the same.
      const ended = new AbortController();
      const moving = moveAmounts(server, ended.signal);
      const loaded = await fixture.snapshot(app).finally(() => ended.abort());
      expect(await moving).toBeGreaterThan(10);
      expect(said(fixture)).toMatch(/sent what changed/);
      const target = join(fixture.folder, 'restored');
      await runRestic(fixture, ['restore', loaded.snapshot.id, '--target', target]);
      const oid = await query(session, "select oid from pg_tablespace where spcname = 'apart'");
      const map = join(target, 'databases/db/base/tablespace_map');
      await writeFile(map, `${oid} ${join(target, 'databases/db/tablespaces', oid)}\n`);
      const restored = await startRestored(fixture, server, 'restored', { isThere: true });
      try {
        await using copy = await connect(server, 'postgres', restored.port);
        expect(await query(copy, answer)).toBe(expected);
        expect(await query(copy, 'set enable_seqscan = off; select count(*) from parts where i > 0')).toBe('30000');
      } finally {
        await restored.stop();
      }
    },
  );
});

describe.skipIf(newest === undefined)('a server that cannot tell what changed', () => {
  test('sends everything, and it is said why', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await start(newest?.binDir ?? '');
    await using session = await connect(server);
    const app = appOf(fixture, server, stream);
    await fixture.snapshot(app);
    await fixture.snapshot(app);
    expect(said(fixture)).toMatch(/sent what changed/);

    // Summaries that are gone.
    await query(session, 'create table parts as select generate_series(1, 1000) i');
    const summaries = join(server.dataDir, 'pg_wal/summaries');
    await query(session, 'checkpoint');
    for (const name of await readdir(summaries)) await rm(join(summaries, name), { force: true });
    const taken = await fixture.snapshot(app);
    expect(said(fixture)).toMatch(/sends all of its files: it cannot tell what changed \(.*summar/);
    await expectAsWhole(fixture, app, taken, 1);

    await query(session, "alter system set summarize_wal = 'off'");
    await query(session, 'select pg_reload_conf()');
    await expect.poll(() => query(session, 'show summarize_wal')).toBe('off');
    await fixture.snapshot(app);
    expect(said(fixture)).toMatch(/sends all of its files: the setting summarize_wal is off/);

    await query(session, "alter system set summarize_wal = 'on'");
    await session[Symbol.asyncDispose]();
    await server.stop();
    await server.start();
    await fixture.snapshot(app);
    expect(said(fixture)).toMatch(/sends all of its files: the server was started since/);
    await fixture.snapshot(app);
    expect(said(fixture)).toMatch(/sent what changed/);
  });
});
