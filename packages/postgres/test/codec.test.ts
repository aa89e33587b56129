// The pure parts: messages cut anywhere, fields of every kind, LSNs, URLs, password files, SCRAM, both framings of a base
// backup, and the reading of SQL dumps.

import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { isAppError, Secret } from '@varve/base';
import { assert, constantFrom, array, bigInt, integer, option, property, string, uint8Array } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findPassword, formatLsn, lsnFromBigInt, parseLsn, parsePostgresUrl, quoteLiteral } from '../src/index.ts';
import { baseBackupCommand } from '../src/base-backup/base-backup-command.ts';
import { BackupStreamDecoder, type BackupEvent } from '../src/base-backup/backup-stream.ts';
import { splitIdentifierList } from '../src/logical/database-statements.ts';
import { readGlobals, splitStatements } from '../src/logical/globals-script.ts';
import { decodeBackendMessage, type BackendMessage } from '../src/wire/backend-messages.ts';
import { MessageFramer } from '../src/wire/framing.ts';
import { encodeCopyData, encodeQuery, encodeStartup } from '../src/wire/frontend-messages.ts';
import { ScramClient } from '../src/wire/passwords.ts';
import { parsePostmasterPid } from '../src/host-server/postmaster-pid.ts';

function codeOf(action: () => unknown): string {
  try {
    action();
    return 'no failure';
  } catch (error) {
    return isAppError(error) ? error.code : String(error);
  }
}

const text = (value: string): Buffer => Buffer.from(`${value}\0`);

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function i32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

function framed(letter: string, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(letter, 'latin1'), i32(body.length + 4), body]);
}

function dataRow(values: readonly (Uint8Array | null)[]): Buffer {
  return framed(
    'D',
    u16(values.length),
    ...values.flatMap((value) => (value === null ? [i32(-1)] : [i32(value.length), value])),
  );
}

/** Cuts bytes at the given places. */
function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const borders = [0, ...places.map((place) => place % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b);
  return borders.slice(1).map((border, index) => bytes.subarray(borders[index], border));
}

function decodeAll(chunks: readonly Buffer[]): BackendMessage[] {
  const framer = new MessageFramer();
  const messages = chunks.flatMap((chunk) => framer.push(chunk));
  expect(framer.pendingBytes).toBe(0);
  return messages.map((message) => decodeBackendMessage(message));
}

describe('the framing of messages', () => {
  test('yields the same messages however the bytes are cut', () => {
    const values = array(option(uint8Array({ maxLength: 300 })), { maxLength: 5 });
    assert(
      property(
        array(values, { minLength: 1, maxLength: 8 }),
        array(integer({ min: 0, max: 100_000 }), { maxLength: 12 }),
        (rows, places) => {
          const bytes = Buffer.concat([...rows.map((row) => dataRow(row)), framed('Z', Buffer.from('I'))]);
          const messages = decodeAll(cutAt(bytes, places));
          expect(messages.at(-1)).toEqual({ type: 'ready-for-query', status: 'I' });
          const decoded = messages.slice(0, -1).map((message) => (message.type === 'data-row' ? message.values : []));
          expect(decoded.map((row) => row.map((value) => value && Buffer.from(value).toString('hex')))).toEqual(
            rows.map((row) => row.map((value) => value && Buffer.from(value).toString('hex'))),
          );
        },
      ),
    );
  });

  test('one byte at a time works for a large message', () => {
    const bytes = framed('d', Buffer.alloc(10_000, 7));
    const messages = decodeAll([...bytes].map((byte) => Buffer.from([byte])));
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatchObject({ type: 'copy-data' });
  });

  test('impossible lengths are refused on both sides of each limit', () => {
    const header = (letter: string, length: number): Buffer => Buffer.concat([Buffer.from(letter), i32(length)]);
    for (const [letter, length, isFine] of [
      ['Z', 3, false],
      ['Z', 4, true],
      ['Z', 30_000, true],
      ['Z', 30_001, false],
      ['d', 30_001, true],
      ['d', 0x3fff_ffff, true],
      ['d', 0x4000_0000, false],
      ['d', -1, false],
    ] as const) {
      const code = codeOf(() => new MessageFramer().push(header(letter, length)));
      expect([letter, length, code]).toEqual([letter, length, isFine ? 'no failure' : 'DATABASE_PROTOCOL']);
    }
  });
});

describe('the decoder', () => {
  test('reads columns, errors, parameters, keys and requests to log in', () => {
    const column = [text('naïve'), i32(1), u16(2), i32(25), u16(0xffff), i32(-1), u16(0)];
    const error = framed(
      'E',
      ...['SFEHLER', 'VERROR', 'C42P01', 'Mno such', 'Ddetail', 'Hhint'].map(text),
      Buffer.from([0]),
    );
    const messages = decodeAll([
      Buffer.concat([
        framed('T', u16(1), ...column),
        error,
        framed('S', text('TimeZone'), text('UTC')),
        framed('K', i32(77), Buffer.from([1, 2, 3, 4])),
        framed('R', i32(0)),
        framed('R', i32(3)),
        framed('R', i32(5), Buffer.from([9, 8, 7, 6])),
        framed('R', i32(10), text('SCRAM-SHA-256'), Buffer.from([0])),
        framed('R', i32(7)),
        framed('C', text('SELECT 1')),
        framed('W', Buffer.from([0]), u16(0)),
      ]),
    ]);
    expect(messages).toEqual([
      { type: 'row-description', fields: [{ name: 'naïve', typeOid: 25 }] },
      {
        type: 'error',
        report: { severity: 'ERROR', sqlState: '42P01', message: 'no such', detail: 'detail', hint: 'hint' },
      },
      { type: 'parameter-status', name: 'TimeZone', value: 'UTC' },
      { type: 'backend-key-data', processId: 77, secretKey: Buffer.from([1, 2, 3, 4]) },
      { type: 'authentication', request: { method: 'ok' } },
      { type: 'authentication', request: { method: 'cleartext' } },
      { type: 'authentication', request: { method: 'md5', salt: Buffer.from([9, 8, 7, 6]) } },
      { type: 'authentication', request: { method: 'sasl', mechanisms: ['SCRAM-SHA-256'] } },
      { type: 'authentication', request: { method: 'unsupported', requestCode: 7 } },
      { type: 'command-complete', tag: 'SELECT 1' },
      { type: 'copy-both' },
    ]);
  });

  test('never reads past a body that is cut short', () => {
    assert(
      property(
        constantFrom('T', 'D', 'E', 'C', 'S', 'K', 'R', 'Z', 'N'),
        uint8Array({ maxLength: 60 }),
        (letter, body) => {
          const code = codeOf(() => decodeBackendMessage({ type: letter.charCodeAt(0), body }));
          expect(['no failure', 'DATABASE_PROTOCOL']).toContain(code);
        },
      ),
    );
    const whole = dataRow([Buffer.from('abc')]).subarray(5);
    expect(codeOf(() => decodeBackendMessage({ type: 68, body: whole.subarray(0, -1) }))).toBe('DATABASE_PROTOCOL');
    expect(codeOf(() => decodeBackendMessage({ type: 0x7e, body: whole }))).toBe('DATABASE_PROTOCOL');
  });
});

describe('the encoder', () => {
  test('writes what the manual says, byte for byte', () => {
    expect(Buffer.from(encodeQuery('SELECT 1')).toString('latin1')).toBe('Q\0\0\0\x0dSELECT 1\0');
    expect(Buffer.from(encodeCopyData(Buffer.from('ab'))).toString('latin1')).toBe('d\0\0\0\x06ab');
    const startup = Buffer.from(encodeStartup({ user: 'u', database: 'd' })).toString('latin1');
    expect(startup).toBe('\0\0\0\x1b\0\x03\0\0user\0u\0database\0d\0\0');
    expect(codeOf(() => encodeQuery('a\0b'))).toBe('USAGE_INVALID');
  });
});

describe('SCRAM-SHA-256', () => {
  const password = new Secret('pencil');
  const serverFirst = (nonce: string): string =>
    `r=${nonce}SERVER,s=${Buffer.from('some salt').toString('base64')},i=4096`;

  /** The server's side, computed on its own from RFC 5802 §3. */
  function serverSide(client: ScramClient, challenge: string, final: string): { isProven: boolean; final: string } {
    const salted = pbkdf2Sync('pencil', 'some salt', 4096, 32, 'sha256');
    const hmac = (key: Uint8Array, data: string): Buffer => createHmac('sha256', key).update(data).digest();
    const withoutProof = final.slice(0, final.lastIndexOf(',p='));
    const authMessage = `${client.first().replace(/^[^,]*,[^,]*,/, '')},${challenge},${withoutProof}`;
    const stored = createHash('sha256').update(hmac(salted, 'Client Key')).digest();
    const signature = hmac(stored, authMessage);
    const proof = Buffer.from(final.slice(final.lastIndexOf(',p=') + 3), 'base64');
    const key = Buffer.from(proof.map((byte, index) => byte ^ (signature[index] ?? 0)));
    const isProven = createHash('sha256').update(key).digest().equals(stored);
    return { isProven, final: `v=${hmac(hmac(salted, 'Server Key'), authMessage).toString('base64')}` };
  }

  test.each([
    ['without TLS', ['SCRAM-SHA-256'], undefined, 'SCRAM-SHA-256', 'n,,'],
    ['over TLS with a server that cannot bind', ['SCRAM-SHA-256'], Buffer.alloc(32, 1), 'SCRAM-SHA-256', 'y,,'],
    [
      'bound to the channel',
      ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'],
      Buffer.alloc(32, 1),
      'SCRAM-SHA-256-PLUS',
      'p=tls-server-end-point,,',
    ],
  ] as const)(
    'proves the password and checks the server %s',
    async (_name, mechanisms, certificateHash, mechanism, header) => {
      const client = new ScramClient({ password, mechanisms, certificateHash, nonce: 'abc' });
      expect(client.mechanism).toBe(mechanism);
      expect(client.first()).toBe(`${header}n=,r=abc`);
      const challenge = serverFirst('abc');
      const final = await client.answer(challenge);
      const binding = Buffer.concat([
        Buffer.from(header),
        certificateHash && mechanism.endsWith('PLUS') ? certificateHash : Buffer.alloc(0),
      ]);
      expect(final).toContain(`c=${binding.toString('base64')},r=abcSERVER`);
      const server = serverSide(client, challenge, final);
      expect(server.isProven).toBe(true);
      client.verify(server.final);
      expect(codeOf(() => client.verify(`v=${Buffer.alloc(32).toString('base64')}`))).toBe('DATABASE_AUTH_FAILED');
      expect(codeOf(() => client.verify('e=other-error'))).toBe('DATABASE_AUTH_FAILED');
    },
  );

  test('refuses challenges that are not an answer to ours, and unknown mechanisms', async () => {
    const client = new ScramClient({ password, mechanisms: ['SCRAM-SHA-256'], nonce: 'abc' });
    for (const challenge of [
      '',
      'r=xyzSERVER,s=c2FsdA==,i=4096',
      'r=abc,s=c2FsdA==,i=4096',
      'r=abcX,s=,i=4096',
      'r=abcX,s=c2FsdA==,i=0',
      'r=abcX,s=c2FsdA==,i=99999999',
    ]) {
      const failure = await client.answer(challenge).catch((error: unknown) => error);
      expect(isAppError(failure, 'DATABASE_PROTOCOL')).toBe(true);
    }
    expect(codeOf(() => new ScramClient({ password, mechanisms: ['OAUTHBEARER'] }))).toBe('DATABASE_PROTOCOL');
  });
});

describe('LSNs', () => {
  test('are read and written without loss, with or without leading zeros', () => {
    assert(
      property(bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }), (value) => {
        const lsn = lsnFromBigInt(value);
        expect(parseLsn(formatLsn(lsn))).toBe(value);
        const [high = '', low = ''] = formatLsn(lsn).split('/');
        expect(parseLsn(`${high.toLowerCase()}/${low.padStart(8, '0')}`)).toBe(value);
      }),
    );
    expect(formatLsn(parseLsn('16/B374D848'))).toBe('16/B374D848');
  });

  test('anything else is refused', () => {
    for (const bad of ['', '/', '1/', '/1', '1/123456789', '123456789/1', 'g/1', '1/1 ', '1-1']) {
      expect(codeOf(() => parseLsn(bad))).toBe('DATABASE_PROTOCOL');
    }
    expect(codeOf(() => lsnFromBigInt(1n << 64n))).toBe('DATABASE_PROTOCOL');
    expect(codeOf(() => lsnFromBigInt(-1n))).toBe('DATABASE_PROTOCOL');
  });
});

describe('PostgreSQL URLs', () => {
  test.each([
    [
      'postgresql://odoo:p%40ss%3A%2F@db:6432/odoo?sslmode=require',
      { host: 'db', port: 6432, user: 'odoo', database: 'odoo', tls: 'require' },
    ],
    ['postgres://odoo@db', { host: 'db', port: 5432, user: 'odoo', database: 'odoo', tls: 'prefer' }],
    ['postgresql://u@[::1]:5433/d', { host: '::1', port: 5433, user: 'u', database: 'd', tls: 'prefer' }],
    [
      'postgresql://u@%2Frun%2Fpg/d',
      { host: 'localhost', socketPath: '/run/pg', port: 5432, user: 'u', database: 'd', tls: 'prefer' },
    ],
    [
      'postgresql:///d%20b?host=/run&port=5&user=%C3%B1',
      { host: 'localhost', socketPath: '/run', port: 5, user: 'ñ', database: 'd b', tls: 'prefer' },
    ],
    [
      'postgresql://u@h/d?application_name=x&connect_timeout=3&passfile=/p&sslmode=verify-full&sslrootcert=/ca',
      {
        host: 'h',
        port: 5432,
        user: 'u',
        database: 'd',
        tls: 'verify-full',
        tlsCaFile: '/ca',
        applicationName: 'x',
        connectTimeoutMs: 3000,
        passwordFile: '/p',
      },
    ],
    ['postgresql://u@h/d?ssl=true', { host: 'h', port: 5432, user: 'u', database: 'd', tls: 'require' }],
  ])('%s', (url, expected) => {
    const { password, ...rest } = parsePostgresUrl(url);
    expect(rest).toEqual(expected);
    expect(password?.reveal()).toBe(url.includes('p%40ss') ? 'p@ss:/' : undefined);
  });

  test.each([
    'mysql://u@h/d',
    'postgresql://h/d',
    'postgresql://u:topsecret@h:0/d',
    'postgresql://u:topsecret@h:70000/d',
    'postgresql://u:topsecret@h:12x/d',
    'postgresql://u:topsecret@a,b/d',
    'postgresql://u:topsecret@h/d?sslmod=require',
    'postgresql://u:topsecret@h/d?sslmode=maybe',
    'postgresql://u:topsecret@h/d?connect_timeout=soon',
    'postgresql://u:topsecret%zz@h/d',
    'postgresql://u:topsecret@h/d?sslmode',
    'postgresql://u:topsecret@h/d#fragment',
  ])('%s is refused without being repeated', (url) => {
    const error = (() => {
      try {
        return parsePostgresUrl(new Secret(url));
      } catch (failure) {
        return failure;
      }
    })();
    expect(isAppError(error, 'SETTINGS_INVALID')).toBe(true);
    expect(isAppError(error) && error.message + (error.hint ?? '')).not.toContain('topsecret');
  });

  test('the user may come from outside', () => {
    expect(parsePostgresUrl('postgresql://h', { defaultUser: 'me' })).toMatchObject({ user: 'me', database: 'me' });
  });
});

test('a password file is searched line by line, with escapes, wildcards and sockets', () => {
  const file = [
    '# db:5432:*:*:comment',
    'db:5432:odoo:odoo:p\\:a\\\\ss:word',
    '*:*:*:backup:any',
    'localhost:*:*:*:sock\r',
    'broken:line',
  ].join('\n');
  const base = { host: 'db', port: 5432, database: 'odoo', user: 'odoo' };
  expect(findPassword(file, base)?.reveal()).toBe('p:a\\ss:word');
  expect(findPassword(file, { ...base, user: 'backup' })?.reveal()).toBe('any');
  expect(findPassword(file, { ...base, port: 5433 })).toBeUndefined();
  expect(findPassword(file, { ...base, host: 'x', socketPath: '/run' })?.reveal()).toBe('sock');
});

test('postmaster.pid is read in every state', () => {
  const lines = ['4711', '/data', '1764000000', '5433', '/run/pg', '127.0.0.1', '  1 2', 'ready   ', ''];
  expect(parsePostmasterPid(lines.join('\n'))).toEqual({
    pid: 4711,
    port: 5433,
    socketDirectory: '/run/pg',
    state: 'ready',
  });
  expect(parsePostmasterPid('-12\n/data\n')).toEqual({
    pid: 12,
    port: undefined,
    socketDirectory: undefined,
    state: 'unknown',
  });
  expect(parsePostmasterPid('')).toBeUndefined();
});

describe('a base backup as a stream of messages', () => {
  const row = (...values: (string | null)[]): BackendMessage => ({
    type: 'data-row',
    values: values.map((value) => (value === null ? null : Buffer.from(value))),
  });
  const columns: BackendMessage = { type: 'row-description', fields: [] };
  const done: BackendMessage = { type: 'command-complete', tag: 'SELECT' };
  const head = [
    columns,
    row('0/2000028', '3'),
    done,
    columns,
    row('16400', '/space', '10'),
    row(null, null, '2000'),
    done,
  ];
  const foot = [columns, row('0/2000100', '3'), done, { type: 'command-complete', tag: 'SELECT' } as const];
  const copy = (data: Uint8Array): BackendMessage => ({ type: 'copy-data', data });
  const zeros = Buffer.alloc(1024);

  function summary(events: readonly BackupEvent[]): string[] {
    return events.map((event) => {
      if (event.kind === 'data') return `data ${Buffer.from(event.data).toString('latin1').replaceAll('\0', '0')}`;
      if (event.kind === 'archive') return `archive ${event.oid} ${event.path}`;
      return event.kind;
    });
  }

  test('both framings yield the same parts', () => {
    const old = new BackupStreamDecoder({ hasNewFraming: false });
    const oldMessages: BackendMessage[] = [
      ...head,
      ...['space', 'base'].flatMap((name): BackendMessage[] => [
        { type: 'copy-out' },
        copy(Buffer.from(name)),
        { type: 'copy-done' },
      ]),
      { type: 'copy-out' },
      copy(Buffer.from('{}')),
      { type: 'copy-done' },
      ...foot,
    ];
    const modern = new BackupStreamDecoder({ hasNewFraming: true });
    const archive = (name: string, path: string, bytes: string): BackendMessage[] => [
      copy(Buffer.concat([Buffer.from('n'), text(name), text(path)])),
      copy(Buffer.from(`d${bytes}`)),
      copy(Buffer.concat([Buffer.from('d'), zeros])),
    ];
    const progress = copy(Buffer.from([0x70, 0, 0, 0, 0, 0, 0, 1, 0]));
    const newMessages: BackendMessage[] = [
      ...head,
      { type: 'copy-out' },
      ...archive('16400.tar', '/space', 'space'),
      progress,
      ...archive('base.tar', '', 'base'),
      copy(Buffer.from('m')),
      copy(Buffer.from('d{}')),
      { type: 'copy-done' },
      ...foot,
    ];
    const fromOld = oldMessages.flatMap((message) => old.push(message));
    const fromNew = newMessages.flatMap((message) => modern.push(message));
    expect(summary(fromOld)).toEqual(summary(fromNew).filter((line) => line !== 'progress'));
    expect(fromNew).toContainEqual({ kind: 'progress', bytesDone: 256 });
    expect(fromOld[0]).toEqual({
      kind: 'start',
      start: { lsn: parseLsn('0/2000028'), timeline: 3 },
      tablespaces: [
        { oid: 16_400, path: '/space', sizeBytes: 10_240 },
        { oid: null, path: null, sizeBytes: 2_048_000 },
      ],
    });
    expect(fromOld.at(-1)).toEqual({ kind: 'end', end: { lsn: parseLsn('0/2000100'), timeline: 3 } });
  });

  test('what may not stand there is refused', () => {
    const startedWith = (...more: BackendMessage[]): string => {
      const decoder = new BackupStreamDecoder({ hasNewFraming: true });
      return codeOf(() =>
        [...head, { type: 'copy-out' } as const, ...more].forEach((message) => decoder.push(message)),
      );
    };
    expect(startedWith(copy(Buffer.from('dlost')))).toBe('DATABASE_PROTOCOL');
    expect(startedWith(copy(Buffer.from('?')))).toBe('DATABASE_PROTOCOL');
    expect(startedWith(copy(Buffer.concat([Buffer.from('n'), text('../x.tar'), text('')])))).toBe('DATABASE_PROTOCOL');
    expect(startedWith({ type: 'copy-in' })).toBe('DATABASE_PROTOCOL');
    expect(codeOf(() => new BackupStreamDecoder({ hasNewFraming: false }).push({ type: 'copy-out' }))).toBe(
      'DATABASE_PROTOCOL',
    );
  });

  test('the command fits the version', () => {
    const options = { label: "it's", fastCheckpoint: true, includeWal: true, includeManifest: true, maxRateKBps: 1024 };
    expect(baseBackupCommand(options, 140_010)).toBe(
      "BASE_BACKUP LABEL 'it''s' PROGRESS FAST WAL NOWAIT MAX_RATE 1024 TABLESPACE_MAP MANIFEST 'yes' MANIFEST_CHECKSUMS 'SHA256'",
    );
    expect(
      baseBackupCommand({ ...options, maxRateKBps: undefined, fastCheckpoint: false, includeManifest: false }, 150_000),
    ).toBe(
      "BASE_BACKUP ( LABEL 'it''s', PROGRESS true, CHECKPOINT 'spread', WAL true, WAIT false, TABLESPACE_MAP true, VERIFY_CHECKSUMS true )",
    );
  });
});

describe('SQL as text', () => {
  test('statements are cut by the quoting rules, not by what looks like an end', () => {
    assert(
      property(
        array(
          string({ minLength: 1 }).filter((value) => !value.includes('\0')),
          { minLength: 1, maxLength: 6 },
        ),
        (values) => {
          const statements = values.map((value) => `COMMENT ON ROLE "a;""b" IS ${quoteLiteral(value)}`);
          expect(splitStatements(`-- head; 'x\n${statements.join(';\n/* ; " */\n')};\n`)).toEqual(statements);
        },
      ),
    );
  });

  test('roles, tablespaces and kept passwords are told apart', () => {
    const dump = [
      String.raw`\restrict abc`,
      'SET standard_conforming_strings = on;',
      'CREATE ROLE "TABLESPACE x";',
      `ALTER ROLE "TABLESPACE x" WITH LOGIN PASSWORD 'SCRAM-SHA-256$1' VALID UNTIL 'infinity';`,
      `ALTER ROLE me WITH LOGIN PASSWORD 'md5x''y' VALID UNTIL 'infinity';`,
      `CREATE TABLESPACE "a b" OWNER me LOCATION '/x';`,
      'GRANT CREATE ON TABLESPACE "a b" TO me;',
      String.raw`\unrestrict abc`,
    ].join('\n');
    const script = readGlobals(dump, { keepPasswordOf: ['me'] });
    expect(script.roleStatements.map(({ creates, sql }) => [creates, sql])).toEqual([
      [undefined, 'SET standard_conforming_strings = on'],
      ['TABLESPACE x', 'CREATE ROLE "TABLESPACE x"'],
      [undefined, `ALTER ROLE "TABLESPACE x" WITH LOGIN PASSWORD 'SCRAM-SHA-256$1' VALID UNTIL 'infinity'`],
      [undefined, `ALTER ROLE me WITH LOGIN VALID UNTIL 'infinity'`],
    ]);
    expect(script.tablespaceStatements.map(({ creates }) => creates)).toEqual(['a b', undefined]);
  });

  test.each([
    String.raw`CREATE ROLE a; \! id`,
    String.raw`CREATE ROLE a \g |sh`,
    String.raw`\restrictive x`,
    'CREATE ROLE a',
    `ALTER ROLE a PASSWORD 'x`,
  ])('%s is refused', (bad) => {
    expect(codeOf(() => splitStatements(bad))).toBe('DATABASE_RESTORE_FAILED');
  });

  test('lists of identifiers are read as PostgreSQL stores them', () => {
    expect(splitIdentifierList('"$user", public')).toEqual(['$user', 'public']);
    expect(splitIdentifierList('"a, ""b""",c ,  "d"')).toEqual(['a, "b"', 'c', 'd']);
    expect(splitIdentifierList('')).toEqual([]);
    expect(splitIdentifierList('""')).toEqual(['']);
  });
});
