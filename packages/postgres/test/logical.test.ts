// Dump and restore through PostgreSQL's own programs on a real server. Oracle: pg_dump --create in plain text before and
// after, which holds contents, owners, rights, comments and settings.

import { randomBytes } from 'node:crypto';
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError, Secret, sleep, type AppError } from '@varve/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  connectPostgres,
  databaseFacts,
  dropRestoreLeftovers,
  dumpDatabase,
  dumpGlobals,
  hostToolRunner,
  listDatabases,
  parseDatabaseProperties,
  quoteIdentifier,
  quoteLiteral,
  readServerFacts,
  restoreDatabase,
  restoreGlobals,
  runToEnd,
  type DatabaseProperties,
  type DatabaseTarget,
  type ToolRunner,
} from '../src/index.ts';
import { binDirOf, freePort, startLocalServer, type LocalServer } from './local-server.ts';

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function* inPieces(bytes: Buffer, pieceBytes = 70_000): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; offset += pieceBytes) yield bytes.subarray(offset, offset + pieceBytes);
}

async function failureOf(
  promise: Promise<unknown>,
): Promise<Pick<AppError, 'code' | 'message' | 'retry'> & { hint: string }> {
  try {
    await promise;
  } catch (error) {
    if (!isAppError(error)) throw error;
    return { code: error.code, message: error.message, retry: error.retry, hint: error.hint ?? '' };
  }
  throw new Error('it did not fail');
}

const weirdName = `año "2026" ' = ; \\ postgres://x 数据`;

describe.skipIf(binDirOf(15) === undefined)('logical dump and restore on PostgreSQL 15', () => {
  let server: LocalServer;
  let target: DatabaseTarget;
  const runner: ToolRunner = hostToolRunner({ binDir: binDirOf(15) });

  async function sql(database: string, text: string): Promise<readonly (readonly (string | null)[])[]> {
    const { port, user, password } = server;
    await using connection = await connectPostgres({
      host: '127.0.0.1',
      port,
      user,
      password,
      database,
      tls: 'disable',
    });
    const results = await connection.query(text);
    return results.at(-1)?.rows ?? [];
  }

  /** The database as text, without the random keys of \restrict. */
  async function picture(database: string): Promise<string> {
    const env = {
      PGHOST: server.folder,
      PGPORT: String(server.port),
      PGUSER: 'postgres',
      PGDATABASE: database,
      PGCLIENTENCODING: 'UTF8',
    };
    const run = await runToEnd(runner, { command: ['pg_dump', '--create'], env });
    if (run.exitCode !== 0) throw new Error(run.stderr);
    return run.stdout.replaceAll(/^\\(un)?restrict .*\n/gm, '');
  }

  async function names(): Promise<string[]> {
    return (await sql('postgres', 'select datname from pg_database order by 1')).map((row) => row[0] ?? '');
  }

  async function propertiesOf(database: string): Promise<DatabaseProperties> {
    const found = (await listDatabases(runner, target)).find(({ name }) => name === database);
    if (!found) throw new Error(`no ${database}`);
    return parseDatabaseProperties(JSON.parse(JSON.stringify(found.properties)));
  }

  beforeAll(async () => {
    server = await startLocalServer({ major: 15 });
    target = {
      user: 'postgres',
      database: 'postgres',
      host: '127.0.0.1',
      port: server.port,
      password: server.password,
    };
    const owner = quoteIdentifier('Odoo "own\'er" o');
    await sql(
      'postgres',
      `create role ${owner} login password 'first'; create role reader; create role "Güest" nologin;
       grant reader to ${owner} with admin option; alter role reader set statement_timeout = '5min'; comment on role reader is 'reads; only \\ here'`,
    );
    const name = quoteIdentifier(weirdName);
    await sql(
      'postgres',
      `create database ${name} owner ${owner} template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'`,
    );
    await sql(
      'postgres',
      `comment on database ${name} is 'the app''s own \\ data';
       alter database ${name} connection limit 42;
       alter database ${name} set search_path to "$user", "Sales, ""x""", public;
       alter database ${name} set work_mem = '5MB';
       alter database ${name} set "app.jwt_secret" = 'it''s \\ secret';
       alter database ${name} set default_transaction_read_only = on;
       alter role reader in database ${name} set lock_timeout = '3s';
       revoke connect, temporary on database ${name} from public;
       grant connect on database ${name} to reader with grant option`.replaceAll('\n', ' '),
    );
    await sql(
      weirdName,
      `set default_transaction_read_only = off; begin read write;
       create extension pg_trgm; create extension hstore; create schema "Sales, ""x""";
       create type mood as enum ('sad', 'happy ñ');
       create table public.partner (id serial primary key, name text not null, m mood, tags hstore);
       insert into partner (name, m, tags) select 'partner é ' || i, 'happy ñ', 'a=>1' from generate_series(1, 5000) i;
       create index on partner using gin (name gin_trgm_ops);
       create table "Sales, ""x"""."or der" (id int references public.partner, at timestamptz default now());
       insert into "Sales, ""x"""."or der" select i, '2026-01-01' from generate_series(1, 100) i;
       alter table partner owner to ${owner}; grant select on partner to reader; comment on table partner is 'p';
       create view v as select name from partner; create function f() returns int language plpgsql as 'begin return 1; end';
       select lo_from_bytea(4711, '\\xdeadbeef00'); alter large object 4711 owner to ${owner}; commit`,
    );
    await sql('postgres', 'create database shop');
    await sql(
      'shop',
      `create table product (id int primary key, body text); insert into product select i, repeat(md5(i::text), 40) from generate_series(1, 20000) i`,
    );
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  test('facts through psql are those of a session', async () => {
    const facts = await databaseFacts(runner, target);
    const { port, user, password } = server;
    await using connection = await connectPostgres({ host: '127.0.0.1', port, user, password, database: 'postgres' });
    const direct = await readServerFacts(connection);
    expect({ ...facts, currentLsn: 0 }).toEqual({ ...direct, currentLsn: 0 });
    expect(facts.currentLsn).toBeLessThanOrEqual(direct.currentLsn);
  });

  test('databases are listed with their properties; an unused postgres has nothing to save', async () => {
    const list = await listDatabases(runner, target);
    expect(list.map(({ name, hasUserObjects }) => [name, hasUserObjects])).toEqual([
      [weirdName, true],
      ['postgres', false],
      ['shop', true],
    ]);
    expect(list[0]?.properties).toMatchObject({
      owner: 'Odoo "own\'er" o',
      encoding: 'LATIN1',
      collate: 'C',
      connectionLimit: 42,
      comment: "the app's own \\ data",
    });
    expect(list[0]?.properties.grants).toContainEqual({ grantee: 'reader', privilege: 'CONNECT', isGrantable: true });
    expect(list[0]?.properties.settings).toContainEqual({ role: 'reader', name: 'lock_timeout', value: '3s' });
  });

  test('a database with everything in it comes back alike, after it was dropped with its roles', async () => {
    const before = await picture(weirdName);
    const properties = await propertiesOf(weirdName);
    const dump = await collect(dumpDatabase(runner, target, { database: weirdName }));
    const globals = await collect(dumpGlobals(runner, target));
    const rolesBefore = globals.toString().replaceAll(/^\\(un)?restrict .*\n/gm, '');
    await sql('postgres', `drop database ${quoteIdentifier(weirdName)}`);
    await sql(
      'postgres',
      `drop role reader; drop role "Güest"; alter role ${quoteIdentifier('Odoo "own\'er" o')} nologin password 'other'`,
    );

    const missing = await failureOf(
      restoreDatabase(runner, target, { database: weirdName, dump: inPieces(dump), properties }),
    );
    expect(missing).toMatchObject({ code: 'RESTORE_TARGET_INVALID', message: expect.stringContaining('“reader”') });
    await restoreGlobals(runner, target, { dump: inPieces(globals, 100) });
    const reports: number[] = [];
    const result = await restoreDatabase(runner, target, {
      database: weirdName,
      dump: inPieces(dump),
      properties,
      onProgress: ({ bytesDone }) => reports.push(bytesDone),
    });

    expect(result).toEqual({ replaced: false, replacedName: undefined, leftoverReason: undefined });
    expect(await picture(weirdName)).toBe(before);
    expect(await propertiesOf(weirdName)).toEqual(properties);
    expect(reports.at(-1)).toBe(dump.length);
    expect((await collect(dumpGlobals(runner, target))).toString().replaceAll(/^\\(un)?restrict .*\n/gm, '')).toBe(
      rolesBefore,
    );
  });

  test('a database with an ICU locale in a tablespace of its own comes back alike, and the tablespace too', async () => {
    const folder = join(server.folder, 'space');
    await mkdir(folder);
    await chown(folder, server.uid, server.gid);
    await sql('postgres', `create tablespace "my space" location '${folder}'`);
    await sql(
      'postgres',
      `create database "icu db" template template0 locale_provider icu icu_locale 'es-ES' locale 'C.UTF-8' tablespace "my space"`,
    );
    await sql(
      'icu db',
      "create table words (w text); insert into words values ('ñu'), ('oso'), ('nube'); create index on words (w)",
    );
    const before = await picture('icu db');
    const properties = await propertiesOf('icu db');
    expect(properties).toMatchObject({ localeProvider: 'icu', tablespace: 'my space' });
    const dump = await collect(dumpDatabase(runner, target, { database: 'icu db' }));
    const globals = await collect(dumpGlobals(runner, target));
    expect(await restoreGlobals(runner, target, { dump: inPieces(globals) })).toEqual({
      keptTablespaces: ['my space'],
    });
    await sql('postgres', 'drop database "icu db"');
    await sql('postgres', 'drop tablespace "my space"');
    expect(await restoreGlobals(runner, target, { dump: inPieces(globals) })).toEqual({ keptTablespaces: [] });
    await restoreDatabase(runner, target, { database: 'icu db', dump: inPieces(dump), properties });
    expect(await picture('icu db')).toBe(before);
    expect(await propertiesOf('icu db')).toEqual(properties);
    expect(await sql('icu db', 'select w from words order by w')).toEqual([['nube'], ['ñu'], ['oso']]);
    await sql('postgres', 'drop database "icu db"');
    await sql('postgres', 'drop tablespace "my space"');
  });

  test('a database in use is replaced: sessions are ended, later changes are gone, nothing is left over', async () => {
    const before = await picture('shop');
    const dump = await collect(dumpDatabase(runner, target, { database: 'shop' }));
    await sql('shop', 'delete from product where id > 10; create table later (a int)');
    const busy = sql('shop', 'select pg_sleep(60)').catch((error: unknown) => error);
    await sleep(100);
    const result = await restoreDatabase(runner, target, { database: 'shop', dump: inPieces(dump) });
    expect(result).toEqual({ replaced: true, replacedName: undefined, leftoverReason: undefined });
    expect(isAppError(await busy, 'DATABASE_UNREACHABLE')).toBe(true);
    expect(await picture('shop')).toBe(before);
    expect(
      (await sql('shop', `select last_analyze is not null from pg_stat_user_tables where relname = 'product'`))[0],
    ).toEqual(['t']);
    expect((await names()).filter((name) => name.startsWith('varve_'))).toEqual([]);
  });

  test('clients that reconnect without pause do not keep the swap from happening', async () => {
    const dump = await collect(dumpDatabase(runner, target, { database: 'shop' }));
    const over = new AbortController();
    const hammer = async (): Promise<void> => {
      while (!over.signal.aborted) await sql('shop', 'select pg_sleep(0.01)').catch(() => undefined);
    };
    const clients = [hammer(), hammer(), hammer()];
    try {
      const result = await restoreDatabase(runner, target, { database: 'shop', dump: inPieces(dump), analyze: false });
      expect(result.replaced).toBe(true);
    } finally {
      over.abort();
      await Promise.all(clients);
    }
  }, 60_000);

  test('the replaced database is kept when asked for', async () => {
    const dump = await collect(dumpDatabase(runner, target, { database: 'shop' }));
    await sql('shop', 'delete from product where id > 10');
    const result = await restoreDatabase(runner, target, {
      database: 'shop',
      dump: inPieces(dump),
      keepReplaced: true,
    });
    expect(await sql(result.replacedName ?? '', 'select count(*) from product')).toEqual([['10']]);
    expect(await sql('shop', 'select count(*) from product')).toEqual([['20000']]);
    await sql('postgres', `drop database ${result.replacedName}`);
  });

  test('the maintenance database postgres is restored too', async () => {
    await sql('postgres', 'create table kept (a int); insert into kept values (7)');
    expect((await listDatabases(runner, target)).find(({ name }) => name === 'postgres')?.hasUserObjects).toBe(true);
    const dump = await collect(dumpDatabase(runner, target, { database: 'postgres' }));
    await sql('postgres', 'drop table kept');
    expect((await restoreDatabase(runner, target, { database: 'postgres', dump: inPieces(dump) })).replaced).toBe(true);
    expect(await sql('postgres', 'select a from kept')).toEqual([['7']]);
    await sql('postgres', 'drop table kept');
    const refused = await failureOf(restoreDatabase(runner, target, { database: 'template1', dump: inPieces(dump) }));
    expect(refused.code).toBe('RESTORE_TARGET_INVALID');
  });

  test('a user who is no superuser saves and restores a database of its own', async () => {
    await sql('postgres', "create role dev login createdb password 'dev'");
    await sql('postgres', 'create database devdb owner dev');
    const dev = { ...target, user: 'dev', password: new Secret('dev') };
    await sql('devdb', 'create table note (t text); insert into note values (1); alter table note owner to dev');
    const before = await picture('devdb');
    const dump = await collect(dumpDatabase(runner, dev, { database: 'devdb' }));
    const globals = (await collect(dumpGlobals(runner, dev, { rolePasswords: false }))).toString();
    expect(globals).toContain('CREATE ROLE dev;');
    expect(globals).not.toContain('PASSWORD');
    expect((await failureOf(collect(dumpGlobals(runner, dev)))).code).toBe('DATABASE_DUMP_FAILED');
    await sql('devdb', 'drop table note');
    expect((await restoreDatabase(runner, dev, { database: 'devdb', dump: inPieces(dump) })).replaced).toBe(true);
    expect(await picture('devdb')).toBe(before);
    const foreign = await failureOf(
      restoreDatabase(runner, dev, { database: 'shop', dump: inPieces(dump), owner: 'dev' }),
    );
    expect(foreign.code).toBe('DATABASE_RESTORE_FAILED');
    expect(await sql('shop', 'select count(*) from product')).toEqual([['20000']]);
    expect((await names()).filter((name) => name.startsWith('varve_'))).toEqual([]);
  }, 20_000);

  describe('what goes wrong', () => {
    test('a truncated, an altered and an empty dump leave the original untouched and nothing behind', async () => {
      const dump = await collect(dumpDatabase(runner, target, { database: 'shop' }));
      await sql('shop', 'insert into product values (-1, null)');
      const before = await picture('shop');
      const altered = Buffer.from(dump);
      altered.write('create tabel', dump.indexOf('CREATE TABLE public.product'), 'latin1');
      for (const bad of [dump.subarray(0, dump.length >> 1), altered, Buffer.alloc(0), randomBytes(5000)]) {
        const failure = await failureOf(restoreDatabase(runner, target, { database: 'shop', dump: inPieces(bad) }));
        expect(failure).toMatchObject({
          code: 'DATABASE_RESTORE_FAILED',
          message: expect.stringContaining('pg_restore'),
        });
      }
      expect(await picture('shop')).toBe(before);
      expect((await names()).filter((name) => name.startsWith('varve_'))).toEqual([]);
    });

    test('a source that fails and an abort leave the original untouched', async () => {
      const dump = await collect(dumpDatabase(runner, target, { database: 'shop' }));
      const before = await picture('shop');
      const breaking = async function* (): AsyncGenerator<Uint8Array> {
        yield dump.subarray(0, 400_000);
        throw new Error('the repository broke');
      };
      await expect(restoreDatabase(runner, target, { database: 'shop', dump: breaking() })).rejects.toThrow(
        'the repository broke',
      );
      const controller = new AbortController();
      const aborted = restoreDatabase(runner, target, {
        database: 'shop',
        dump: inPieces(dump, 10_000),
        signal: controller.signal,
        onProgress: ({ bytesDone }) => void (bytesDone > 200_000 && controller.abort()),
      });
      expect((await failureOf(aborted)).code).toBe('CANCELLED');
      expect(await picture('shop')).toBe(before);
      expect((await names()).filter((name) => name.startsWith('varve_'))).toEqual([]);
    });

    test('a dump whose session is killed fails after its data, and is retryable', async () => {
      await sql('shop', 'create table wide as select repeat(md5(i::text), 100) from generate_series(1, 30000) i');
      let received = 0;
      const read = async (): Promise<void> => {
        for await (const chunk of dumpDatabase(runner, target, { database: 'shop' })) {
          if (received === 0)
            await sql('postgres', "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'shop'");
          received += chunk.length;
        }
      };
      const failure = await failureOf(read());
      expect(failure).toMatchObject({
        code: 'DATABASE_DUMP_FAILED',
        message: expect.stringContaining('pg_dump ended with exit code 1'),
        retry: true,
      });
      expect(received).toBeGreaterThan(0);
      await sql('shop', 'drop table wide');
    });

    test('a dump that the reader leaves ends pg_dump', async () => {
      for await (const _ of dumpDatabase(runner, target, { database: 'shop' })) break;
      const sessions =
        "select count(*) from pg_stat_activity where datname = 'shop' and application_name like '%dump%'";
      await expect.poll(async () => sql('postgres', sessions)).toEqual([['0']]);
    });

    test('a wrong password, a missing database and a dead server are told apart, and the password never shows', async () => {
      const wrong = { ...target, password: new Secret('wr0ng-one') };
      expect(await failureOf(listDatabases(runner, wrong))).toMatchObject({
        code: 'DATABASE_AUTH_FAILED',
        message: expect.stringMatching(
          /refuses user “.+” for database “.+”: password authentication failed for user "[^"]+"$/,
        ),
      });
      const dump = await failureOf(collect(dumpDatabase(runner, wrong, { database: 'shop' })));
      expect(dump).toMatchObject({
        code: 'DATABASE_DUMP_FAILED',
        message: expect.stringContaining('password authentication failed'),
      });
      expect(JSON.stringify(dump)).not.toContain('wr0ng-one');
      expect((await failureOf(collect(dumpDatabase(runner, target, { database: 'nowhere' })))).message).toContain(
        '“nowhere”',
      );
      const dead = { ...target, port: await freePort() };
      expect((await failureOf(databaseFacts(runner, dead))).code).toBe('DATABASE_UNREACHABLE');
    });

    test('a missing program is named with a remedy', async () => {
      const failure = await failureOf(databaseFacts(hostToolRunner({ binDir: '/nowhere' }), target));
      expect(failure).toMatchObject({ code: 'DATABASE_TOOL_MISSING', message: expect.stringContaining('psql') });
      expect(failure.hint).toContain('apt-get install');
    });

    test('a dump of roles that is cut or holds psql commands changes nothing', async () => {
      const globals = (await collect(dumpGlobals(runner, target))).toString();
      const shell = `CREATE ROLE intruder;\n\\! touch /tmp/owned\n`;
      const cut = globals.slice(0, globals.indexOf('ALTER ROLE') + 20);
      for (const bad of [shell, cut, 'CREATE ROLE intruder; ALTER ROLE nobody_here LOGIN;']) {
        const failure = await failureOf(restoreGlobals(runner, target, { dump: inPieces(Buffer.from(bad)) }));
        expect(failure.code).toBe('DATABASE_RESTORE_FAILED');
      }
      expect(await sql('postgres', "select 1 from pg_roles where rolname = 'intruder'")).toEqual([]);
    });

    test('the password that we log in with stays when roles are restored, others come back', async () => {
      await sql('postgres', "create role worker login password 'old one'");
      const globals = await collect(dumpGlobals(runner, target));
      const hashes = 'select rolname, rolpassword from pg_authid where rolpassword is not null order by 1';
      const old = Object.fromEntries(await sql('postgres', hashes));
      const rotated = new Secret('rotated');
      const { password } = server;
      await sql(
        'postgres',
        `alter role worker password 'new one'; alter role postgres password ${quoteLiteral(rotated.reveal())}`,
      );
      const now = { ...target, password: rotated };
      await restoreGlobals(runner, now, { dump: inPieces(globals) });
      const { port, user } = server;
      await using connection = await connectPostgres({
        host: '127.0.0.1',
        port,
        user,
        password: rotated,
        database: 'postgres',
      });
      const [result] = await connection.query(hashes);
      expect(Object.fromEntries(result?.rows ?? [])['worker']).toBe(old['worker']);
      await restoreGlobals(runner, now, { dump: inPieces(globals), keepPasswordOf: [] });
      await using again = await connectPostgres({ host: '127.0.0.1', port, user, password, database: 'postgres' });
      expect(again.authenticationMethod).toBe('scram-sha-256');
    });

    test('copies left behind by a killed restore are dropped, those that are being worked on stay', async () => {
      await sql('postgres', 'create database varve_restore_0123456789ab');
      await sql('postgres', 'create database varve_restore_ba9876543210');
      const { port, user, password } = server;
      const place = { host: '127.0.0.1', port, user, password, database: 'postgres' };
      await using working = await connectPostgres({ ...place, applicationName: 'varve_restore_ba9876543210' });
      expect(working.isReplication).toBe(false);
      expect(await dropRestoreLeftovers(runner, target)).toEqual(['varve_restore_0123456789ab']);
      await sql('postgres', 'drop database varve_restore_ba9876543210');
    }, 20_000);
  });
});
