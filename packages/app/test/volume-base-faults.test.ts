// Base backups from a data folder when something is not as it should be: damaged pages, a folder that is a copy, links, a
// session that is lost; and what a backup costs when little has changed.

import { execa } from 'execa';
import { chown, mkdir, open, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { DatabaseComponent } from '@varve/contract';
import { formatLsn, lsnFromBigInt, parseLsn } from '@varve/postgres';
import { listTree } from '@varve/repository';
import { findPostgresBinaries, resticAvailable, runRestic, startPostgres, type PostgresServer } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import type { TakenSnapshot } from '../src/use-case.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';
import { appOf, connect, query, savedOf, startRestored } from './volume-base-lab.ts';

const binaries = await findPostgresBinaries();
const hasRestic = (await resticAvailable()) !== undefined;
const timeout = 120_000;
const pageBytes = 8192;
const settings = { fsync: 'off', autovacuum: 'off' };

function start(change: { readonly settings?: Record<string, string> } = {}): Promise<PostgresServer> {
  return startPostgres({
    binDir: binaries[0]?.binDir ?? '',
    initdbOptions: ['--data-checksums', '--wal-segsize=1'],
    settings: { ...settings, ...change.settings },
  });
}

async function filled(server: PostgresServer, rows = 20_000): Promise<string> {
  await using connection = await connect(server);
  await query(
    connection,
    `create table filled as select i, md5(i::text) from generate_series(1, ${rows}) i; checkpoint`,
  );
  return join(server.dataDir, await query(connection, "select pg_relation_filepath('filled')"));
}

async function pathsIn(fixture: RunFixture, path: string): Promise<string[]> {
  const { repository } = fixture;
  const { tree: treeId } = (await repository.listSnapshots()).at(-1) ?? { tree: '' };
  const paths: string[] = [];
  for await (const entry of listTree(repository, { treeId, path, recursive: true }))
    paths.push(entry.path.slice(path.length));
  return paths;
}

/** Changes a page on the disk, behind the server's back. */
async function changePage(file: string, block: number, change: (page: Buffer) => void): Promise<void> {
  await using handle = await open(file, 'r+');
  const page = Buffer.alloc(pageBytes);
  await handle.read(page, 0, pageBytes, block * pageBytes);
  change(page);
  await handle.write(page, 0, pageBytes, block * pageBytes);
}

const flip = (page: Buffer): void => void (page[5000]! ^= 0xff);

function setLsn(page: Buffer, lsn: bigint): void {
  page.writeUInt32LE(Number(lsn >> 32n), 0);
  page.writeUInt32LE(Number(lsn & 0xffff_ffffn), 4);
}

describe.skipIf(binaries.length === 0)('a cluster with damaged pages', () => {
  test(
    'makes a partial snapshot that names file and block, again and again, until it is sound',
    { timeout },
    async () => {
      await using fixture = await runFixture();
      await using server = await start();
      const file = await filled(server);
      const app = appOf(fixture, server);
      const shown = file.slice(server.dataDir.length + 1);
      const damage = (taken: TakenSnapshot): unknown => taken.problems;
      expect(damage(await fixture.snapshot(app))).toEqual([]);
      await changePage(file, 2, flip);
      await changePage(file, 40, flip);
      const named = [2, 40].map((block) => ({
        path: shown,
        message: expect.stringContaining(`block ${block} is damaged`),
      }));
      const taken = await fixture.snapshot(app);
      expect(damage(taken)).toEqual(named);
      expect(taken.snapshot.partial).toBe(true);
      // The file does not change any more, and is not taken for sound because of that.
      expect(damage(await fixture.snapshot(app))).toEqual(named);
      await changePage(file, 2, flip);
      await changePage(file, 40, flip);
      expect(damage(await fixture.snapshot(app))).toEqual([]);
    },
  );

  test('believes the position in a page that fails only when it lies in the backup', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await start();
    const file = await filled(server);
    await using connection = await connect(server);
    const segment = 1n << 20n;
    // The backup begins in the next segment, with 40 bytes of header; its records of the checkpoint are longer than 0x60.
    const next = (parseLsn(await query(connection, 'select pg_current_wal_lsn()')) / segment + 1n) * segment;
    const inside = lsnFromBigInt(next + 0x60n);
    await changePage(file, 1, (page) => {
      setLsn(page, inside);
      flip(page);
    });
    await changePage(file, 2, (page) => {
      setLsn(page, inside + (1n << 40n));
      flip(page);
    });
    const taken = await fixture.snapshot(appOf(fixture, server));
    const { walLsn, walEndLsn } = savedOf(taken);
    expect([formatLsn(inside), parseLsn(walLsn ?? '') <= inside && inside < parseLsn(walEndLsn ?? '')]).toEqual([
      formatLsn(inside),
      true,
    ]);
    expect(taken.problems).toMatchObject([{ message: expect.stringContaining('block 2 is damaged') }]);
  });

  test('says nothing of pages when the cluster has no checksums', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({
      binDir: binaries.at(-1)?.binDir ?? '',
      settings,
      initdbOptions: noChecksums(),
    });
    const file = await filled(server);
    await changePage(file, 2, flip);
    const taken = await fixture.snapshot(appOf(fixture, server));
    expect([taken.problems, savedOf(taken).readThrough]).toEqual([[], 'volume']);
  });
});

/** From 18 on checksums are on unless told otherwise. */
function noChecksums(): string[] {
  return (binaries.at(-1)?.major ?? 0) >= 18 ? ['--no-data-checksums'] : [];
}

describe.skipIf(binaries.length === 0)('the data folder of a cluster', () => {
  const auto: Partial<DatabaseComponent> = { readThrough: 'auto' };

  test('is read when it is the one that the server writes to, and no copy or other cluster', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await start();
    await using other = await start();
    await filled(server);
    expect(savedOf(await fixture.snapshot(appOf(fixture, server, auto))).readThrough).toBe('volume');
    expect(savedOf(await fixture.snapshot(appOf(fixture, server, { readThrough: 'stream' }))).readThrough).toBe(
      'stream',
    );

    await server.stop();
    const copy = join(dirname(server.dataDir), 'copy');
    await execa('cp', ['-a', server.dataDir, copy]);
    await server.start();
    for (const [dataDirectory, reason] of [
      [copy, /copy is not the folder that the server writes to/],
      [other.dataDir, /belongs to another cluster/],
      [join(copy, 'nowhere'), /ENOENT/],
    ] as const) {
      const before = fixture.log.length;
      const taken = await fixture.snapshot(appOf(fixture, server, { ...auto, dataDirectory }));
      expect(savedOf(taken).readThrough).toBe('stream');
      expect(fixture.log.slice(before).join('\n')).toMatch(reason);
      await expect(
        fixture.snapshot(appOf(fixture, server, { readThrough: 'volume', dataDirectory })),
      ).rejects.toMatchObject({ code: 'SETTINGS_INVALID', message: expect.stringMatching(reason) });
    }
    // Backups that were begun and given up are forgotten, and hold nothing.
    await using connection = await connect(server);
    expect(await query(connection, 'select count(*) from pg_replication_slots')).toBe('0');
  });

  test('is saved without what a backup must not have', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await start();
    await using connection = await connect(server);
    const paths = await query(
      connection,
      `create unlogged table scratch (i int); create temporary table mine (i int); insert into scratch values (1); insert into mine values (1);
       select pg_relation_filepath('scratch'), pg_relation_filepath('mine')`,
    );
    const [scratch = '', mine = ''] = paths.split('|');
    await mkdir(join(server.dataDir, 'base/pgsql_tmp'));
    await writeFile(join(server.dataDir, 'base/pgsql_tmp/pgsql_tmp1.0'), 'sorted');
    await writeFile(join(server.dataDir, 'backup_manifest'), 'of another backup');
    await writeFile(join(server.dataDir, 'pg_replslot/junk'), 'junk');
    await fixture.snapshot(appOf(fixture, server));
    const saved = await pathsIn(fixture, '/databases/db/base');
    expect(saved).toContain(`/${scratch}_init`);
    for (const path of [
      scratch,
      mine,
      'base/pgsql_tmp',
      'postmaster.pid',
      'postmaster.opts',
      'backup_manifest',
      'pg_replslot/junk',
    ])
      expect(saved).not.toContain(`/${path}`);
    expect(saved.filter((path) => path.includes('pg_internal.init'))).toEqual([]);
    for (const path of [
      'PG_VERSION',
      'backup_label',
      'global/pg_control',
      'postgresql.conf',
      'pg_wal/archive_status',
      'pg_replslot',
      'pg_notify',
      'pg_tblspc',
    ])
      expect(saved).toContain(`/${path}`);
    expect(saved.filter((path) => path.startsWith('/pg_wal/0')).length).toBeGreaterThan(0);
  });

  test('fails the snapshot when its session is lost while it is read', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await start();
    await filled(server, 300_000);
    await using administrator = await connect(server);
    const app = appOf(fixture, server);
    const over = new AbortController();
    const outcome = fixture
      .snapshot(app)
      .catch((error: unknown) => error)
      .finally(() => over.abort());
    // The session that waits between start and stop.
    const find = `select count(pg_terminate_backend(pid)) from pg_stat_activity
      where pid <> pg_backend_pid() and backend_type = 'client backend' and query like '%pg_control_checkpoint%'`;
    while (!over.signal.aborted && (await query(administrator, find)) === '0');
    expect(await outcome).toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    expect(await fixture.snapshotCount()).toBe(0);
    expect(savedOf(await fixture.snapshot(app)).readThrough).toBe('volume');
  });

  test('of a standby is not read', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await start({ settings: { hot_standby: 'on' } });
    await filled(server);
    await server.stop();
    await writeFile(join(server.dataDir, 'standby.signal'), '');
    await server.start();
    await expect(fixture.snapshot(appOf(fixture, server))).rejects.toMatchObject({
      code: 'SETTINGS_INVALID',
      message: expect.stringContaining('is a standby'),
    });
  });
});

describe.skipIf(binaries.length === 0 || !hasRestic)('a cluster with parts elsewhere', () => {
  test('is saved with its tablespaces and the WAL behind a link, and starts', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await start();
    const beside = dirname(server.dataDir);
    const space = join(beside, 'space');
    const { uid, gid } = await stat(server.dataDir);
    await server.stop();
    await rename(join(server.dataDir, 'pg_wal'), join(beside, 'wal'));
    await symlink('../wal', join(server.dataDir, 'pg_wal'));
    await mkdir(space);
    await chown(space, uid, gid);
    await server.start();
    await using connection = await connect(server);
    await connection.query(`create tablespace apart location '${space}'`);
    await query(
      connection,
      'create table away tablespace apart as select i from generate_series(1, 1000) i; create unlogged table scratch (i int) tablespace apart',
    );
    await mkdir(join(space, 'PG_9.6_1'));
    const taken = await fixture.snapshot(appOf(fixture, server));
    expect(taken.problems).toEqual([]);
    const tablespaces = await pathsIn(fixture, '/databases/db/tablespaces');
    const oid = await query(connection, "select oid from pg_tablespace where spcname = 'apart'");
    const away = await query(connection, "select pg_relation_filepath('away')");
    expect(tablespaces).toContain(away.slice('pg_tblspc'.length));
    expect(tablespaces.filter((path) => path.includes('9.6'))).toEqual([]);
    expect(await pathsIn(fixture, '/databases/db/base/pg_tblspc')).toEqual([]);

    const target = join(fixture.folder, 'restored');
    await runRestic(fixture, ['restore', 'latest', '--target', target]);
    const map = join(target, 'databases/db/base/tablespace_map');
    expect(await readFile(map, 'utf8')).toBe(`${oid} ${space}\n`);
    await writeFile(map, `${oid} ${join(target, 'databases/db/tablespaces', oid)}\n`);
    const restored = await startRestored(fixture, server, 'restored', { isThere: true });
    await using copy = await connect(server, 'postgres', restored.port);
    expect(await query(copy, 'select count(*), sum(i) from away')).toBe('1000|500500');
    expect(await query(copy, 'select count(*) from scratch')).toBe('0');
    expect((await readdir(join(server.dataDir, 'pg_tblspc'))).length).toBe(1);
    await restored.stop();
  });
});

describe.skipIf(binaries.length === 0)('the second backup of a cluster', () => {
  test('stores little more than the pages that changed', { timeout: 240_000 }, async () => {
    await using fixture = await runFixture();
    await using server = await start({ settings: { max_wal_size: '1GB' } });
    await using connection = await connect(server);
    // 64 MB of pages; a fifth of each is free, so that an update stays in its page.
    await query(
      connection,
      `create table filled (i int, n int, body text) with (fillfactor = 80);
      insert into filled select i, 0, md5(i::text) || md5((7 * i)::text) from generate_series(1, 500000) i; checkpoint`,
    );
    // What is known of committed rows is noted in their pages now, and not by whoever reads them next.
    await connection.query('vacuum freeze filled');
    const app = appOf(fixture, server);
    await fixture.snapshot(app);
    const pages = await query(
      connection,
      `with changed as (update filled set n = n + 1 where (ctid::text::point)[0]::int % 100 = 0 and (ctid::text::point)[1]::int = 1 returning 1)
       select count(*) from changed`,
    );
    expect(Number(pages)).toBeGreaterThan(50);
    const taken = await fixture.snapshot(app);
    const snapshot = (await fixture.repository.listSnapshots()).find(({ id }) => id === taken.snapshot.id);
    const ratio = (snapshot?.summary?.dataAddedPacked ?? Infinity) / (Number(pages) * pageBytes);
    expect(ratio).toBeLessThan(3);
  });
});
