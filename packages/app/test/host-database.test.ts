// PostgreSQL servers of a host without Docker: dumps through a URL, base backups of the cluster's files, and what happens
// when programs or servers fail.

import { execa } from 'execa';
import { appendFile, chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Secret } from '@varve/base';
import { newAppSchema, type App, type DatabaseComponent } from '@varve/contract';
import { connectPostgres } from '@varve/postgres';
import { findPostgresBinaries, startPostgres, type PostgresServer } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve } from '../src/index.ts';
import { temporaryFolder } from './engine-fixture.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';

const binaries = await findPostgresBinaries();
const system = binaries.find(({ origin }) => origin === 'system');
const embedded = binaries.find(({ origin }) => origin === 'npm') ?? system;
const timeout = 120_000;

async function query(server: PostgresServer, sql: string, database = 'postgres'): Promise<string> {
  await using connection = await connectPostgres({
    host: server.host,
    port: server.port,
    user: server.user,
    password: new Secret(server.password),
    database,
  });
  const results = await connection.query(sql);
  return (results.at(-1)?.rows ?? []).map((row) => row.join('|')).join('\n');
}

function appOf(fixture: RunFixture, server: PostgresServer, change: Partial<DatabaseComponent> = {}): App {
  fixture.secrets.set('url', new Secret(server.url));
  const component: DatabaseComponent = {
    kind: 'database',
    name: 'db',
    engine: 'postgresql',
    method: 'dump',
    source: { type: 'url', urlSecret: 'url', display: 'postgresql://tester@127.0.0.1' },
    excludes: [],
    ...change,
  };
  return fixture.app([component]);
}

async function fill(server: PostgresServer): Promise<void> {
  await query(server, "CREATE ROLE clerk LOGIN PASSWORD 'clerk-secret'");
  for (const name of ['shop', 'Läger "1"/../x', 'left_out'])
    await query(server, `CREATE DATABASE "${name.replaceAll('"', '""')}" OWNER clerk`);
  await query(
    server,
    "CREATE TABLE orders AS SELECT n AS id, md5(n::text) AS note FROM generate_series(1, 5000) n; SELECT lo_from_bytea(4711, 'large object')",
    'shop',
  );
  await query(server, 'CREATE TABLE items AS SELECT generate_series(1, 10) AS id', 'Läger "1"/../x');
}

describe.skipIf(embedded === undefined)('an app with a database', () => {
  test('is not added with a wrong password, and is when the server does not answer', { timeout }, async () => {
    await using folder = await temporaryFolder();
    await using varve = await openVarve({ dataDirectory: join(folder.path, 'data'), dockerHost: 'unix:///no.sock' });
    const add = (url: string): Promise<App> =>
      varve.addApp(newAppSchema.parse({ type: 'host', id: 'shop', databases: [{ url }] }));
    await using server = await startPostgres({ binDir: embedded?.binDir ?? '' });
    const wrong = new URL(server.url);
    wrong.password = 'wrong';
    await expect(add(wrong.href)).rejects.toMatchObject({
      code: 'DATABASE_AUTH_FAILED',
      message: expect.stringMatching(/not added.*db/),
    });
    expect(await varve.listApps()).toEqual([]);
    expect(await varve.getRepository()).toBeNull();
    await server[Symbol.asyncDispose]();
    expect(await add(server.url)).toMatchObject({ id: 'shop' });
  });
});

const orders = (server: PostgresServer): Promise<string> =>
  query(
    server,
    "SELECT count(*), md5(string_agg(note, ',' ORDER BY id)), (SELECT encode(lo_get(4711), 'escape')) FROM orders",
    'shop',
  );

describe.skipIf(system === undefined)('a cluster saved by pg_dump through a URL', () => {
  test('comes back with its databases, roles and large objects; databases made since stay', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({ binDir: system?.binDir ?? '' });
    await fill(server);
    const before = await orders(server);
    const app = appOf(fixture, server, { excludes: ['left_out'] });
    const taken = await fixture.snapshot(app);
    expect(taken.manifest.components).toMatchObject([
      {
        kind: 'database',
        method: 'dump',
        walLsn: expect.stringMatching(/^[0-9A-F]+\/[0-9A-F]+$/),
        serverVersion: expect.stringMatching(/^\d+/),
        // `postgres` is empty and left out.
        databases: [
          { name: 'Läger "1"/../x', owner: 'clerk' },
          { name: 'shop', owner: 'clerk', encoding: 'UTF8' },
        ],
      },
    ]);
    expect(JSON.stringify([taken.manifest, fixture.log])).not.toContain(server.password);

    await query(server, 'DROP DATABASE shop WITH (FORCE)');
    await query(server, 'DELETE FROM items', 'Läger "1"/../x');
    await query(server, 'CREATE DATABASE newer');
    await query(server, 'ALTER ROLE clerk NOLOGIN');
    const restored = await fixture.restore(app, taken, { safetySnapshot: true });
    expect(restored.problems).toEqual([]);
    expect(await orders(server)).toBe(before);
    expect(await query(server, 'SELECT count(*) FROM items', 'Läger "1"/../x')).toBe('10');
    expect(await query(server, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'clerk'")).toBe('t');
    expect(await query(server, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'shop'")).toBe('clerk');
    expect(
      await query(server, "SELECT count(*) FROM pg_database WHERE datname = 'newer' OR datname LIKE 'varve%'"),
    ).toBe('1');
  });

  test('fails the snapshot with the words of pg_dump, and leaves no snapshot file', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({ binDir: system?.binDir ?? '' });
    await fill(server);
    const tools = join(fixture.folder, 'bin');
    await mkdir(tools);
    for (const name of ['psql', 'pg_dumpall', 'pg_restore'])
      await writeFile(join(tools, name), `#!/bin/sh\nexec ${system?.binDir}/${name} "$@"\n`, { mode: 0o755 });
    await writeFile(
      join(tools, 'pg_dump'),
      `#!/bin/sh\n${system?.binDir}/pg_dump "$@" | head -c 5000\necho "disk on fire" >&2\nexit 1\n`,
      { mode: 0o755 },
    );
    const failed = fixture.snapshot(appOf(fixture, server, { binDirectory: tools }));
    await expect(failed).rejects.toMatchObject({
      code: 'DATABASE_DUMP_FAILED',
      message: expect.stringMatching(/database "db".*disk on fire/s),
    });
    expect(await fixture.snapshotCount()).toBe(0);
    expect(await fixture.repository.listFiles('lock')).toEqual([]);
  });

  test('whose server is down or refuses the password fails with a code that says so', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({ binDir: system?.binDir ?? '' });
    const app = appOf(fixture, server);
    fixture.secrets.set('url', new Secret(server.url.replace(server.password, 'wrong')));
    await expect(fixture.snapshot(app)).rejects.toMatchObject({ code: 'DATABASE_AUTH_FAILED' });
    fixture.secrets.set('url', new Secret(server.url));
    await server.stop();
    await expect(fixture.snapshot(app)).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
    fixture.secrets.delete('url');
    await expect(fixture.snapshot(app)).rejects.toMatchObject({ code: 'SETTINGS_INVALID' });
    expect(await fixture.snapshotCount()).toBe(0);
  });

  test(
    'of which a database cannot be restored says which ones are back and keeps the others as they were',
    { timeout },
    async () => {
      await using fixture = await runFixture();
      await using server = await startPostgres({ binDir: system?.binDir ?? '' });
      await fill(server);
      const tools = join(fixture.folder, 'bin');
      await mkdir(tools);
      const app = appOf(fixture, server, { binDirectory: tools });
      const wrap = (name: string, before = ''): Promise<void> =>
        writeFile(join(tools, name), `#!/bin/sh\n${before}exec ${system?.binDir}/${name} "$@"\n`, { mode: 0o755 });
      for (const name of ['psql', 'pg_dump', 'pg_dumpall', 'pg_restore']) await wrap(name);
      const taken = await fixture.snapshot(app);
      await query(server, 'DELETE FROM orders WHERE id > 10', 'shop');
      const damaged = await orders(server);
      // The second pg_restore fails.
      await wrap('pg_restore', `if [ -e ${tools}/once ]; then echo "no more" >&2; exit 1; fi\ntouch ${tools}/once\n`);
      await chmod(tools, 0o777);
      const failed = fixture.restore(app, taken);
      await expect(failed).rejects.toMatchObject({
        code: 'RESTORE_FAILED',
        message: expect.stringMatching(/no more.*db: half restored \(done: Läger/s),
      });
      expect(await orders(server)).toBe(damaged);
      expect(await query(server, "SELECT count(*) FROM pg_database WHERE datname LIKE 'varve%'")).toBe('0');
    },
  );
});

describe.skipIf(embedded === undefined)('a cluster saved by its files', () => {
  const base = (server: PostgresServer): Partial<DatabaseComponent> => ({
    method: 'base',
    dataDirectory: server.dataDir,
    binDirectory: server.binDir,
  });

  test('comes back with everything in it, and its server runs again as it ran', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({ binDir: embedded?.binDir ?? '' });
    await fill(server);
    const before = await orders(server);
    const app = appOf(fixture, server, base(server));
    const taken = await fixture.snapshot(app);
    expect(taken.manifest.components).toMatchObject([
      {
        method: 'base',
        walLsn: expect.any(String),
        walEndLsn: expect.any(String),
        systemId: expect.stringMatching(/^\d+$/),
      },
    ]);
    await query(server, 'DROP DATABASE shop WITH (FORCE)');
    const restored = await fixture.restore(app, taken);
    expect(restored.problems).toEqual([]);
    expect(await orders(server)).toBe(before);
    // What it writes from now on must not be taken for what it wrote after the backup.
    expect(await query(server, 'SELECT timeline_id FROM pg_control_checkpoint()')).toBe('2');
    await fixture.snapshot(app);
    await fixture.restore(app, taken);
    expect(await query(server, 'SELECT timeline_id FROM pg_control_checkpoint()')).toBe('3');
    expect((await readdir(dirname(server.dataDir))).filter((name) => name.includes('varve'))).toEqual([]);
    expect(fixture.journal.size).toBe(0);
  });

  test(
    'goes back to the files that were there when the server does not start on the restored ones',
    { timeout },
    async () => {
      await using fixture = await runFixture();
      await using server = await startPostgres({ binDir: embedded?.binDir ?? '' });
      await fill(server);
      const app = appOf(fixture, server, base(server));
      // The backup carries a setting that no server starts with; the running one has not read it.
      const settings = join(server.dataDir, 'postgresql.conf');
      const good = await readFile(settings, 'utf8');
      await appendFile(settings, "\nno_such_setting = 'x'\n");
      const taken = await fixture.snapshot(app);
      await writeFile(settings, good);
      await query(server, 'CREATE TABLE kept (id int)', 'shop');
      await expect(fixture.restore(app, taken)).rejects.toMatchObject({
        code: expect.stringMatching(/^(RESTORE_FAILED|RECOVERY_FAILED)$/),
        message: expect.stringContaining('no_such_setting'),
      });
      expect(await query(server, "SELECT count(*) FROM pg_class WHERE relname = 'kept'", 'shop')).toBe('1');
      expect((await readdir(dirname(server.dataDir))).filter((name) => name.includes('varve'))).toEqual([]);
      expect(fixture.journal.size).toBe(0);
    },
  );

  test('comes back when its data folder is gone altogether', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({ binDir: embedded?.binDir ?? '' });
    await fill(server);
    const before = await orders(server);
    const app = appOf(fixture, server, base(server));
    const taken = await fixture.snapshot(app);
    await server.stop('immediate');
    await rm(server.dataDir, { recursive: true });
    await fixture.restore(app, taken);
    const { stdout } = await execa(join(server.binDir, 'postgres'), ['--version']);
    expect(stdout).toContain(String(server.major));
    await server.start();
    expect(await orders(server)).toBe(before);
  });

  test('refuses a data folder of another major version before anything is touched', { timeout }, async () => {
    await using fixture = await runFixture();
    await using server = await startPostgres({ binDir: embedded?.binDir ?? '' });
    const app = appOf(fixture, server, base(server));
    const taken = await fixture.snapshot(app);
    await server.stop();
    await writeFile(join(server.dataDir, 'PG_VERSION'), '9\n');
    await expect(fixture.restore(app, taken)).rejects.toMatchObject({
      code: 'RESTORE_TARGET_INVALID',
      message: expect.stringContaining('PostgreSQL 9'),
    });
    expect(await readFile(join(server.dataDir, 'PG_VERSION'), 'utf8')).toBe('9\n');
  });
});
