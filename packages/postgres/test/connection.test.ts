// Sessions with real servers: every way to log in, queries, COPY both ways, cancellation, and what goes wrong.

import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { chown } from 'node:fs/promises';
import { join } from 'node:path';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { isAppError, Secret, sleep } from '@varve/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectPostgres, readServerFacts, type ConnectOptions, type PgConnection } from '../src/index.ts';
import { binDirOf, freePort, startLocalServer, type LocalServer } from './local-server.ts';

const run = promisify(execFile);

async function failureOf(
  promise: Promise<unknown>,
): Promise<{ code: string; message: string; hint: string; context: Readonly<Record<string, unknown>> }> {
  try {
    await promise;
  } catch (error) {
    if (!isAppError(error)) throw error;
    return { code: error.code, message: error.message, hint: error.hint ?? '', context: error.context };
  }
  throw new Error('it did not fail');
}

async function rowsOf(connection: PgConnection, sql: string): Promise<readonly (readonly (string | null)[])[]> {
  const [result] = await connection.query(sql);
  return result?.rows ?? [];
}

describe.skipIf(binDirOf(15) === undefined)('a session with PostgreSQL 15', () => {
  let server: LocalServer;
  let tcp: ConnectOptions;

  beforeAll(async () => {
    server = await startLocalServer({
      major: 15,
      hba: [
        'local all all trust',
        'host all md5user all md5',
        'host all clear all password',
        'host all nobody all reject',
        'host all all all scram-sha-256',
      ],
    });
    const certificate = join(server.folder, 'server.crt');
    const key = join(server.folder, 'server.key');
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
    await run('openssl', [
      'req',
      '-new',
      '-x509',
      '-days',
      '2',
      '-nodes',
      '-newkey',
      'rsa:2048',
      '-out',
      certificate,
      '-keyout',
      key,
      ...subject,
    ]);
    await chown(certificate, server.uid, server.gid);
    await chown(key, server.uid, server.gid);
    const { port, user, password } = server;
    tcp = { host: '127.0.0.1', port, user, password, database: 'postgres', tls: 'disable' };
    await using connection = await connectPostgres(tcp);
    await connection.query(
      "create role plain login password 'plain'; create role scramuser login password 'pässword\u00a0ﬁ'",
    );
    await connection.query("set password_encryption = 'md5'; create role md5user login password 'md5 pass'");
    await connection.query("create role clear login password 'clear pass'; create role nobody login");
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  describe('login', () => {
    test('SCRAM-SHA-256 without TLS', async () => {
      await using connection = await connectPostgres(tcp);
      expect(connection.authenticationMethod).toBe('scram-sha-256');
      expect(connection.isEncrypted).toBe(false);
      expect(connection.parameters.get('server_encoding')).toBe('UTF8');
      expect(connection.versionNum).toBeGreaterThanOrEqual(150_000);
    });

    test('SCRAM with a password that SASLprep changes', async () => {
      await using connection = await connectPostgres({
        ...tcp,
        user: 'scramuser',
        password: new Secret('pässword fi'),
      });
      expect(await rowsOf(connection, 'select current_user')).toEqual([['scramuser']]);
    });

    test('md5', async () => {
      await using connection = await connectPostgres({ ...tcp, user: 'md5user', password: new Secret('md5 pass') });
      expect(connection.authenticationMethod).toBe('md5');
    });

    test('a clear password over loopback', async () => {
      await using connection = await connectPostgres({ ...tcp, user: 'clear', password: new Secret('clear pass') });
      expect(connection.authenticationMethod).toBe('cleartext');
    });

    test('trust over the Unix socket, given as folder or as file', async () => {
      for (const socketPath of [server.folder, join(server.folder, `.s.PGSQL.${server.port}`)]) {
        await using connection = await connectPostgres({ ...tcp, password: undefined, socketPath });
        expect(connection.authenticationMethod).toBe('trust');
      }
    });

    test('TLS mode prefer goes on without TLS where the server has none, and require refuses', async () => {
      await using connection = await connectPostgres({ ...tcp, tls: 'prefer' });
      expect(connection.isEncrypted).toBe(false);
      expect(await rowsOf(connection, 'select 1')).toEqual([['1']]);
      const failure = await failureOf(connectPostgres({ ...tcp, tls: 'require' }));
      expect(failure).toMatchObject({ code: 'DATABASE_UNREACHABLE', hint: expect.stringContaining('ssl') });
    });

    test.each([
      ['a wrong password', { password: new Secret('wr0ng') }, 'DATABASE_AUTH_FAILED'],
      ['a wrong md5 password', { user: 'md5user', password: new Secret('wr0ng') }, 'DATABASE_AUTH_FAILED'],
      ['no password', { password: undefined }, 'DATABASE_AUTH_FAILED'],
      ['an unknown user', { user: 'stranger', password: new Secret('wr0ng') }, 'DATABASE_AUTH_FAILED'],
      ['a user that pg_hba.conf rejects', { user: 'nobody' }, 'DATABASE_AUTH_FAILED'],
      ['an unknown database', { database: 'nowhere' }, 'DATABASE_QUERY_FAILED'],
    ] as const)('%s is refused with user and database, never the password', async (_name, change, code) => {
      const options: ConnectOptions = { ...tcp, ...change };
      const failure = await failureOf(connectPostgres(options));
      expect(failure.code).toBe(code);
      expect(failure.message).toContain(`“${options.user}”`);
      expect(failure.message).toContain(`“${options.database}”`);
      const all = JSON.stringify(failure);
      for (const secret of ['wr0ng', server.password.reveal()]) expect(all).not.toContain(secret);
    });

    test('a replication session without the attribute names the remedy', async () => {
      const failure = await failureOf(
        connectPostgres({ ...tcp, user: 'plain', password: new Secret('plain'), replication: 'database' }),
      );
      expect(failure).toMatchObject({
        code: 'DATABASE_DENIED',
        hint: expect.stringContaining('ALTER ROLE "plain" REPLICATION;'),
      });
    });

    test('a replication session takes replication commands and SQL', async () => {
      await using connection = await connectPostgres({ ...tcp, replication: 'database' });
      const [identity] = await connection.query('IDENTIFY_SYSTEM');
      const facts = await readServerFacts(connection);
      expect(identity?.rows[0]?.[0]).toBe(facts.systemId);
      expect(identity?.rows[0]?.[1]).toBe(String(facts.timeline));
    });
  });

  describe('addresses that do not answer', () => {
    test('a closed port, an unknown host and a missing socket say what to check', async () => {
      const port = await freePort();
      const closed = await failureOf(connectPostgres({ ...tcp, port }));
      expect(closed).toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        message: expect.stringContaining(`127.0.0.1:${port}`),
      });
      expect(closed.hint).toContain('listen_addresses');
      const unknown = await failureOf(connectPostgres({ ...tcp, host: 'no-such-host.invalid' }));
      expect(unknown).toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        hint: expect.stringContaining('no-such-host.invalid'),
      });
      const socket = await failureOf(connectPostgres({ ...tcp, socketPath: '/nowhere' }));
      expect(socket).toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        message: expect.stringContaining('/nowhere/.s.PGSQL.'),
      });
    });

    test('a server that accepts and stays silent runs into the time-out, with and without TLS', async () => {
      await using silent = await listen(() => undefined);
      for (const tls of ['disable', 'prefer'] as const) {
        const failure = await failureOf(connectPostgres({ ...tcp, port: silent.port, tls, connectTimeoutMs: 200 }));
        expect(failure).toMatchObject({ code: 'DATABASE_UNREACHABLE', message: expect.stringContaining('0.2 s') });
      }
    });

    test('something that is not PostgreSQL is named as such', async () => {
      await using web = await listen((write) => write('HTTP/1.1 400 Bad Request\r\n\r\n'));
      const failure = await failureOf(connectPostgres({ ...tcp, port: web.port, tls: 'disable' }));
      expect(failure.code).toBe('DATABASE_PROTOCOL');
      const withTls = await failureOf(connectPostgres({ ...tcp, port: web.port, tls: 'prefer' }));
      expect(withTls.code).toBe('DATABASE_PROTOCOL');
    });

    test('an abort ends the attempt at once', async () => {
      await using silent = await listen(() => undefined);
      const failure = await failureOf(connectPostgres({ ...tcp, port: silent.port, signal: AbortSignal.timeout(50) }));
      expect(failure.code).toBe('CANCELLED');
    });
  });

  describe('queries', () => {
    let connection: PgConnection;

    beforeAll(async () => {
      connection = await connectPostgres(tcp);
    });

    afterAll(async () => {
      await connection.close();
    });

    test('values, nulls, empty and non-ASCII texts, several results', async () => {
      const results = await connection.query(
        `select 1 as a, null as "b ü", '' as c; select 'señal ✓' as s; create temp table t (a int)`,
      );
      expect(results.map((result) => result.command)).toEqual(['SELECT 1', 'SELECT 1', 'CREATE TABLE']);
      expect(results[0]?.rows).toEqual([['1', null, '']]);
      expect(results[0]?.fields.map((field) => field.name)).toEqual(['a', 'b ü', 'c']);
      expect(results[1]?.rows).toEqual([['señal ✓']]);
      expect(await connection.query('')).toEqual([]);
    });

    test('an error carries its SQLSTATE and leaves the session usable', async () => {
      const failure = await failureOf(connection.query('select 1; select * from nowhere'));
      expect(failure).toMatchObject({ code: 'DATABASE_QUERY_FAILED', context: { sqlState: '42P01' } });
      expect(await rowsOf(connection, 'select 2')).toEqual([['2']]);
    });

    test('a missing privilege is DATABASE_DENIED', async () => {
      await using plain = await connectPostgres({ ...tcp, user: 'plain', password: new Secret('plain') });
      const failure = await failureOf(plain.query('select * from pg_authid'));
      expect(failure).toMatchObject({ code: 'DATABASE_DENIED', context: { sqlState: '42501' } });
    });

    test('an abort cancels the statement on the server and the session goes on', async () => {
      const started = Date.now();
      const failure = await failureOf(connection.query('select pg_sleep(30)', { signal: AbortSignal.timeout(100) }));
      expect(failure.code).toBe('CANCELLED');
      expect(Date.now() - started).toBeLessThan(5000);
      expect(await rowsOf(connection, 'select 3')).toEqual([['3']]);
    });

    test('a session killed by the administrator fails with a retryable error, and so does its next query', async () => {
      await using victim = await connectPostgres(tcp);
      const [[pid] = []] = await rowsOf(victim, 'select pg_backend_pid()');
      const sleeping = failureOf(victim.query('select pg_sleep(30)'));
      await sleep(100);
      await connection.query(`select pg_terminate_backend(${pid})`);
      expect(await sleeping).toMatchObject({ code: 'DATABASE_UNREACHABLE', context: { sqlState: '57P01' } });
      expect((await failureOf(victim.query('select 1'))).code).toBe('DATABASE_UNREACHABLE');
    });

    test('two requests at once are a programming error', async () => {
      const first = connection.query('select pg_sleep(0.1)');
      await expect(connection.query('select 1')).rejects.toThrow('one request at a time');
      await first;
    });

    test('COPY through query is refused and leaves the session usable', async () => {
      expect((await failureOf(connection.query('copy (select 1) to stdout'))).code).toBe('USAGE_INVALID');
      await connection.query('create temp table refused (a int)');
      expect((await failureOf(connection.query('copy refused from stdin'))).code).toBe('USAGE_INVALID');
      expect(await rowsOf(connection, 'select 4')).toEqual([['4']]);
    });

    test('facts about the cluster, also for a user without privileges', async () => {
      const facts = await readServerFacts(connection);
      expect(facts).toMatchObject({
        timeline: 1,
        isInRecovery: false,
        isSuperuser: true,
        walLevel: 'replica',
        walSegmentBytes: 16 << 20,
      });
      expect(facts.systemId).toMatch(/^\d{15,20}$/);
      expect(facts.dataDirectory).toBe(server.dataDirectory);
      expect(facts.currentLsn).toBeGreaterThan(0n);
      expect(facts.databases).toContainEqual(
        expect.objectContaining({ name: 'postgres', owner: 'postgres', encoding: 'UTF8' }),
      );
      expect(facts.recoverySettings).toMatchObject({ max_connections: '100', max_wal_senders: '10' });
      await using plain = await connectPostgres({ ...tcp, user: 'plain', password: new Secret('plain') });
      const seen = await readServerFacts(plain);
      expect(seen.systemId).toBe(facts.systemId);
      expect(seen.isSuperuser).toBe(false);
      expect('dataDirectory' in seen).toBe(false);
    });
  });

  describe('COPY', () => {
    const total = 50 << 20;
    const block = randomBytes(1 << 20);

    function* blocks(): Generator<Uint8Array> {
      for (let sent = 0; sent < total; sent += block.length) {
        const hex = Buffer.from(block.toString('hex').slice(0, (1 << 20) - 1) + '\n', 'latin1');
        yield hex;
      }
    }

    test('50 MB go in and come out unchanged, and a slow reader slows the server', async () => {
      await using connection = await connectPostgres(tcp);
      await connection.query('create unlogged table big (line text)');
      expect(await connection.copyIn('copy big from stdin', blocks())).toBe('COPY 50');
      await using observer = await connectPostgres(tcp);
      let received = 0;
      const line = [...blocks()][0] ?? new Uint8Array();
      for await (const chunk of connection.copyOut('copy big to stdout')) {
        if (received === 0) {
          const waiting =
            "select count(*) from pg_stat_activity where query like 'copy big to%' and wait_event = 'ClientWrite'";
          await expect.poll(async () => rowsOf(observer, waiting)).toEqual([['1']]);
        }
        const offset = received % line.length;
        const expected = Buffer.concat([line, line]).subarray(offset, offset + Math.min(chunk.length, line.length));
        expect(Buffer.from(chunk).subarray(0, expected.length).equals(expected)).toBe(true);
        received += chunk.length;
      }
      expect(received).toBe(total);
      await connection.query('drop table big');
    });

    test('many small rows come out in large chunks', async () => {
      await using connection = await connectPostgres(tcp);
      const chunks: Uint8Array[] = [];
      for await (const chunk of connection.copyOut('copy (select i from generate_series(1, 300000) i) to stdout'))
        chunks.push(chunk);
      const expected = Array.from({ length: 300_000 }, (_, index) => `${index + 1}\n`).join('');
      expect(Buffer.concat(chunks).toString()).toBe(expected);
      expect(chunks.length).toBeLessThan(300);
    });

    test('a reader that leaves early cancels the statement and the session goes on', async () => {
      await using connection = await connectPostgres(tcp);
      for await (const chunk of connection.copyOut(
        "copy (select repeat('x', 1000), generate_series(1, 100000000)) to stdout",
      )) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
      expect(await rowsOf(connection, 'select 5')).toEqual([['5']]);
    });

    test('an abort in the middle of a copyOut ends with CANCELLED', async () => {
      await using connection = await connectPostgres(tcp);
      const controller = new AbortController();
      const read = async (): Promise<void> => {
        const sql = "copy (select repeat('x', 1000), generate_series(1, 100000000)) to stdout";
        for await (const _ of connection.copyOut(sql, { signal: controller.signal })) controller.abort();
      };
      expect((await failureOf(read())).code).toBe('CANCELLED');
      expect(await rowsOf(connection, 'select 6')).toEqual([['6']]);
    });

    test('a failure of the server in the middle of a copyOut is thrown after the data', async () => {
      await using connection = await connectPostgres(tcp);
      const read = async (): Promise<void> => {
        for await (const _ of connection.copyOut(
          'copy (select 1 / (500000 - i) from generate_series(1, 1000000) i) to stdout',
        ));
      };
      expect(await failureOf(read())).toMatchObject({ code: 'DATABASE_QUERY_FAILED', context: { sqlState: '22012' } });
    });

    test('a bad row stops a copyIn early; a failing source rolls it back and its error is thrown', async () => {
      await using connection = await connectPostgres(tcp);
      await connection.query('create temp table numbers (n int)');
      let asked = 0;
      const endless = async function* (): AsyncGenerator<Uint8Array> {
        for (; asked < 1000; asked++) {
          yield Buffer.from('not a number\n'.repeat(50_000));
          await sleep(0);
        }
      };
      const failure = await failureOf(connection.copyIn('copy numbers from stdin', endless()));
      expect(failure).toMatchObject({ code: 'DATABASE_QUERY_FAILED', context: { sqlState: '22P02' } });
      expect(asked).toBeLessThan(1000);
      const breaking = function* (): Generator<Uint8Array> {
        yield Buffer.from('1\n2\n');
        throw new Error('the disk broke');
      };
      await expect(connection.copyIn('copy numbers from stdin', breaking())).rejects.toThrow('the disk broke');
      expect(await rowsOf(connection, 'select count(*) from numbers')).toEqual([['0']]);
    });
  });

  describe('TLS', () => {
    beforeAll(async () => {
      await using connection = await connectPostgres(tcp);
      const folder = server.folder;
      await connection.query(`alter system set ssl_cert_file = '${folder}/server.crt'`);
      await connection.query(`alter system set ssl_key_file = '${folder}/server.key'`);
      await connection.query('alter system set ssl = on');
      await connection.query('select pg_reload_conf()');
      for (let tries = 0; tries < 100 && (await rowsOf(connection, 'show ssl'))[0]?.[0] !== 'on'; tries++)
        await sleep(50);
    });

    test('SCRAM is bound to the channel', async () => {
      for (const tls of ['prefer', 'require'] as const) {
        await using connection = await connectPostgres({ ...tcp, tls });
        expect(connection.authenticationMethod).toBe('scram-sha-256-plus');
        expect(await rowsOf(connection, 'select ssl from pg_stat_ssl where pid = pg_backend_pid()')).toEqual([['t']]);
      }
    });

    test('the verify modes accept the right authority and name only', async () => {
      const tlsCaFile = join(server.folder, 'server.crt');
      await using connection = await connectPostgres({ ...tcp, host: 'localhost', tls: 'verify-full', tlsCaFile });
      expect(connection.isEncrypted).toBe(true);
      await using byAddress = await connectPostgres({ ...tcp, tls: 'verify-ca', tlsCaFile });
      expect(byAddress.isEncrypted).toBe(true);
      const wrongName = await failureOf(connectPostgres({ ...tcp, tls: 'verify-full', tlsCaFile }));
      expect(wrongName).toMatchObject({ code: 'DATABASE_UNREACHABLE', hint: expect.stringContaining('certificate') });
      const unknown = await failureOf(connectPostgres({ ...tcp, host: 'localhost', tls: 'verify-full' }));
      expect(unknown.code).toBe('DATABASE_UNREACHABLE');
    });

    test('cancel and COPY work over TLS', async () => {
      await using connection = await connectPostgres({ ...tcp, tls: 'require' });
      const failure = await failureOf(connection.query('select pg_sleep(30)', { signal: AbortSignal.timeout(100) }));
      expect(failure.code).toBe('CANCELLED');
      let received = 0;
      for await (const chunk of connection.copyOut(
        "copy (select repeat('y', 99) from generate_series(1, 100000)) to stdout",
      ))
        received += chunk.length;
      expect(received).toBe(10_000_000);
    });

    test('an Ed25519 certificate has no channel binding and still logs in', async () => {
      const key = join(server.folder, 'ed.key');
      const certificate = join(server.folder, 'ed.crt');
      await run('openssl', [
        'req',
        '-new',
        '-x509',
        '-days',
        '2',
        '-nodes',
        '-newkey',
        'ed25519',
        '-out',
        certificate,
        '-keyout',
        key,
        '-subj',
        '/CN=localhost',
      ]);
      await chown(certificate, server.uid, server.gid);
      await chown(key, server.uid, server.gid);
      await using connection = await connectPostgres(tcp);
      await connection.query(`alter system set ssl_cert_file = '${certificate}'`);
      await connection.query(`alter system set ssl_key_file = '${key}'`);
      await connection.query('select pg_reload_conf()');
      await expect
        .poll(async () => {
          await using secure = await connectPostgres({ ...tcp, tls: 'require' });
          return secure.authenticationMethod;
        })
        .toBe('scram-sha-256');
    });
  });
});

interface Listener extends AsyncDisposable {
  readonly port: number;
}

async function listen(onData: (write: (text: string) => void) => void): Promise<Listener> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => undefined).on('data', () => onData((text) => socket.write(text)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    port: address.port,
    async [Symbol.asyncDispose]() {
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
