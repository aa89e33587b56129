// Base backups of real servers under write load: what the tars hold must start by itself and have every row that was
// committed by the backup's end.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, chown, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAppError, Secret, sleep } from '@varve/base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  BackupProof,
  baseBackup,
  connectPostgres,
  formatLsn,
  parseBackupManifest,
  parseLsn,
  quoteIdentifier,
  readPgControl,
  readServerFacts,
  serverStatus,
  startServer,
  stopServer,
  swapDataDirectory,
  type BaseBackupOptions,
  type BaseBackupPart,
  type ConnectOptions,
  type Lsn,
  type PgConnection,
} from '../src/index.ts';
import { TarDigests } from '../src/base-backup/tar-digests.ts';
import { binDirOf, freePort, majors, startLocalServer, type LocalServer } from './local-server.ts';

type End = Extract<BaseBackupPart, { kind: 'end' }>;

/** Unpacks a tar stream as the server's user, as `tar` itself reads it. */
async function extract(server: LocalServer, tar: AsyncIterable<Uint8Array>, folder: string): Promise<Buffer> {
  await mkdir(folder, { recursive: true });
  await chown(folder, server.uid, server.gid);
  await chmod(folder, 0o700);
  const child = spawn('tar', ['-x', '-f', '-', '-C', folder], {
    uid: server.uid,
    gid: server.gid,
    cwd: '/',
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const closed = once(child, 'close');
  let tail = Buffer.alloc(0);
  for await (const chunk of tar) {
    tail = Buffer.concat([tail, chunk]).subarray(-2048);
    if (!child.stdin.write(chunk)) await once(child.stdin, 'drain');
  }
  child.stdin.end();
  expect(await closed).toEqual([0, null]);
  return tail;
}

/** Takes a backup into `folder`, tablespaces into `folder.OID`. */
async function backUp(server: LocalServer, folder: string, options: Partial<BaseBackupOptions> = {}): Promise<End> {
  await using connection = await connectPostgres({ ...addressOf(server), replication: 'database' });
  let end: End | undefined;
  for await (const part of baseBackup(connection, { label: "varve's test", ...options })) {
    if (part.kind === 'archive') {
      const tail = await extract(
        server,
        part.tar,
        part.tablespaceOid === null ? folder : `${folder}.${part.tablespaceOid}`,
      );
      expect(tail.subarray(-1024).every((byte) => byte === 0)).toBe(true);
    } else if (part.kind === 'manifest') {
      const chunks: Uint8Array[] = [];
      for await (const chunk of part.json) chunks.push(chunk);
      await writeFile(join(folder, 'backup_manifest'), Buffer.concat(chunks));
    } else if (part.kind === 'end') {
      end = part;
    }
  }
  if (!end) throw new Error('the backup has no end');
  return end;
}

function addressOf({ port, user, password }: LocalServer): ConnectOptions {
  return { host: '127.0.0.1', port, user, password, database: 'postgres', tls: 'disable' };
}

async function rowsOf(connection: PgConnection, sql: string): Promise<readonly (readonly (string | null)[])[]> {
  return (await connection.query(sql)).at(-1)?.rows ?? [];
}

interface Ledger {
  readonly acknowledged: { readonly id: number; readonly lsn: Lsn }[];
  stop(): Promise<void>;
}

/** Writes one row per transaction and notes each acknowledged one with a position not before its commit. */
function writeLedger(server: LocalServer): Ledger {
  const acknowledged: { id: number; lsn: Lsn }[] = [];
  const over = new AbortController();
  const write = async (): Promise<void> => {
    await using connection = await connectPostgres(addressOf(server));
    while (!over.signal.aborted) {
      const id = acknowledged.length;
      await connection.query(`insert into ledger values (${id}, repeat(md5('${id}'), 50))`);
      const [[lsn] = []] = await rowsOf(connection, 'select pg_current_wal_insert_lsn()');
      acknowledged.push({ id, lsn: parseLsn(lsn ?? '') });
    }
  };
  const writing = write();
  return {
    acknowledged,
    async stop() {
      over.abort();
      await writing;
    },
  };
}

async function setPort(dataDirectory: string, folder: string): Promise<number> {
  const port = await freePort();
  await writeFile(
    join(dataDirectory, 'postgresql.auto.conf'),
    `port = ${port}\nunix_socket_directories = '${folder}'\n`,
  );
  return port;
}

for (const { binDir, major } of majors) {
  describe(`a base backup of PostgreSQL ${major}`, () => {
    let server: LocalServer;

    beforeAll(async () => {
      server = await startLocalServer({ major, initdbOptions: ['--data-checksums'] });
      await using connection = await connectPostgres(addressOf(server));
      await connection.query('create table ledger (id int primary key, body text)');
      await connection.query(
        'create table bulk as select i, repeat(md5(i::text), 20) from generate_series(1, 40000) i',
      );
      await connection.query(
        "create role plain login password 'plain'; create role copier login replication password 'copier'",
      );
    }, 60_000);

    afterAll(async () => {
      await server[Symbol.asyncDispose]();
    });

    test('taken under write load starts by itself and has every row committed by its end', async () => {
      const folder = join(server.folder, 'restored');
      const ledger = writeLedger(server);
      await sleep(200);
      const reports: number[] = [];
      const end = await backUp(server, folder, {
        maxRateKBps: 30_000,
        onProgress: ({ bytesDone }) => reports.push(bytesDone),
      });
      await sleep(200);
      await ledger.stop();
      expect(end.endLsn).toBeGreaterThan(end.startLsn);
      expect(end.timeline).toBe(1);
      expect(reports.at(-1)).toBeGreaterThan(40 << 20);
      expect(reports.toSorted((a, b) => a - b)).toEqual(reports);
      expect(await readFile(join(folder, 'backup_label'), 'utf8')).toContain(
        `START WAL LOCATION: ${formatLsn(end.startLsn)}`,
      );

      const port = await setPort(folder, server.folder);
      const host = { dataDirectory: folder, binDir: server.binDir };
      expect(await serverStatus(host)).toEqual({ isRunning: false });
      expect(await startServer(host)).toBe(true);
      expect(await startServer(host)).toBe(false);
      expect(await serverStatus(host)).toMatchObject({
        isRunning: true,
        port,
        state: 'ready',
        socketDirectory: server.folder,
      });
      try {
        await using connection = await connectPostgres({ ...addressOf(server), port });
        const present = new Set((await rowsOf(connection, 'select id from ledger')).map((row) => Number(row[0])));
        const promised = ledger.acknowledged.filter(({ lsn }) => lsn <= end.endLsn).map(({ id }) => id);
        expect(promised.length).toBeGreaterThan(10);
        expect(promised.filter((id) => !present.has(id))).toEqual([]);
        expect(present.size).toBeLessThan(ledger.acknowledged.length);
        expect(await rowsOf(connection, 'select count(*) from bulk')).toEqual([['40000']]);
        const facts = await readServerFacts(connection);
        expect((await readPgControl(folder)).systemId).toBe(facts.systemId);
      } finally {
        expect(await stopServer({ ...host, mode: 'immediate' })).toBe(true);
        expect(await stopServer(host)).toBe(false);
      }
    }, 60_000);

    // The packages of npm bring no tools: the distribution's major has the oracle.
    const verifier = join(binDir, 'pg_verifybackup');
    if (existsSync(verifier)) {
      test('passes pg_verifybackup', async () => {
        const folder = join(server.folder, 'verified');
        await backUp(server, folder);
        expect(await server.run(verifier, [folder])).toContain('successfully verified');
      }, 60_000);
    }

    test('with a tablespace has its own archive, and starts with the tablespace elsewhere', async () => {
      const original = join(server.folder, 'space ü');
      await mkdir(original);
      await chown(original, server.uid, server.gid);
      await using connection = await connectPostgres(addressOf(server));
      await connection.query(`create tablespace extra location '${original}'`);
      await connection.query(
        'create table apart (a int) tablespace extra; insert into apart select generate_series(1, 1000)',
      );
      const folder = join(server.folder, 'with-space');
      await using copier = await connectPostgres({
        ...addressOf(server),
        user: 'copier',
        password: new Secret('copier'),
        replication: 'database',
      });
      const kinds: string[] = [];
      let oid = 0;
      for await (const part of baseBackup(copier, { label: 'x' })) {
        kinds.push(part.kind === 'archive' ? `archive ${part.tablespacePath ?? 'base'}` : part.kind);
        if (part.kind === 'archive') {
          oid = part.tablespaceOid ?? oid;
          await extract(server, part.tar, part.tablespaceOid === null ? folder : `${folder}.moved`);
        }
        if (part.kind === 'manifest') for await (const _ of part.json);
      }
      expect(kinds).toEqual(['start', `archive ${original}`, 'archive base', 'manifest', 'end']);
      const map = join(folder, 'tablespace_map');
      expect(await readFile(map, 'utf8')).toBe(`${oid} ${original}\n`);
      await writeFile(map, `${oid} ${folder}.moved\n`);
      const port = await setPort(folder, server.folder);
      const host = { dataDirectory: folder, binDir: server.binDir };
      await startServer(host);
      try {
        await using restored = await connectPostgres({ ...addressOf(server), port });
        expect(await rowsOf(restored, 'select count(*) from apart')).toEqual([['1000']]);
        expect(
          await rowsOf(restored, "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'extra'"),
        ).toEqual([[`${folder}.moved`]]);
      } finally {
        await stopServer(host);
      }
      await connection.query('drop table apart');
      await connection.query('drop tablespace extra');
    }, 60_000);

    test('leaves no slot behind, also when it is left early or aborted, and the session goes on', async () => {
      await using connection = await connectPostgres({ ...addressOf(server), replication: 'database' });
      for await (const part of baseBackup(connection, { label: 'left' })) {
        if (part.kind !== 'archive') continue;
        for await (const _ of part.tar) break;
        break;
      }
      expect(await rowsOf(connection, 'select count(*) from pg_replication_slots')).toEqual([['0']]);
      const controller = new AbortController();
      const run = async (): Promise<void> => {
        for await (const part of baseBackup(connection, { label: 'aborted', signal: controller.signal })) {
          if (part.kind !== 'archive') continue;
          for await (const _ of part.tar) controller.abort();
        }
      };
      const failure = await run().catch((error: unknown) => error);
      expect(isAppError(failure, 'CANCELLED')).toBe(true);
      expect(await rowsOf(connection, 'select count(*) from pg_replication_slots')).toEqual([['0']]);
    }, 30_000);

    test('a part that is not read to its end is an error, never a short backup', async () => {
      await using connection = await connectPostgres({ ...addressOf(server), replication: 'database' });
      const run = async (): Promise<void> => {
        for await (const part of baseBackup(connection, { label: 'skipped' })) expect(part.kind).not.toBe('end');
      };
      const failure = await run().catch((error: unknown) => error);
      expect(isAppError(failure, 'USAGE_INVALID')).toBe(true);
    });

    test('a server that is killed in the middle fails the backup', async () => {
      await using connection = await connectPostgres({ ...addressOf(server), replication: 'database' });
      await using administrator = await connectPostgres(addressOf(server));
      const run = async (): Promise<void> => {
        for await (const part of baseBackup(connection, { label: 'killed' })) {
          if (part.kind === 'archive') {
            await administrator.query('select pg_terminate_backend(pid) from pg_stat_replication');
            for await (const _ of part.tar);
          }
          expect(part.kind).not.toBe('end');
        }
      };
      const failure = await run().catch((error: unknown) => error);
      expect(isAppError(failure, 'DATABASE_UNREACHABLE')).toBe(true);
    });

    test('a server that goes silent in the middle fails the backup after the stall time-out', async () => {
      await using connection = await connectPostgres({ ...addressOf(server), replication: 'database' });
      const [[pid] = []] = await rowsOf(connection, 'select pg_backend_pid()');
      const run = async (): Promise<void> => {
        for await (const part of baseBackup(connection, { label: 'silent', stallTimeoutMs: 500 })) {
          if (part.kind !== 'archive') continue;
          process.kill(Number(pid), 'SIGSTOP');
          for await (const _ of part.tar);
        }
      };
      const failure = await run().catch((error: unknown) => error);
      process.kill(Number(pid), 'SIGCONT');
      expect(isAppError(failure, 'DATABASE_UNREACHABLE') && failure.message).toContain('sent nothing for');
    });

    test('a role without REPLICATION is told what to do; an ordinary session is a programming error', async () => {
      const plain = { ...addressOf(server), user: 'plain', password: new Secret('plain') };
      const refused = await connectPostgres({ ...plain, replication: 'database' }).catch((error: unknown) => error);
      expect(isAppError(refused, 'DATABASE_DENIED') && refused.hint).toContain(
        `ALTER ROLE ${quoteIdentifier('plain')} REPLICATION;`,
      );
      await using connection = await connectPostgres(plain);
      const usage = await baseBackup(connection, { label: 'x' })
        .next()
        .catch((error: unknown) => error);
      expect(isAppError(usage, 'USAGE_INVALID')).toBe(true);
    });

    test('is proven by the manifest of the server, file by file', async () => {
      await using connection = await connectPostgres({ ...addressOf(server), replication: 'database' });
      await connection.query('create table "Ünïcode" (a int)');
      const proof = new BackupProof();
      const damaged = new BackupProof();
      let bytes = 0;
      for await (const part of baseBackup(connection, { label: 'proof' })) {
        if (part.kind === 'archive') {
          for await (const chunk of damaged.archive(flipOneBit(proof.archive(part.tar, part.tablespaceOid)), null))
            bytes += chunk.length;
        }
        if (part.kind === 'manifest') for await (const _ of damaged.manifest(proof.manifest(part.json)));
      }
      const manifest = proof.verify();
      expect(manifest.files.size).toBeGreaterThan(900);
      expect([...manifest.files.values()].reduce((sum, file) => sum + file.sizeBytes, 0)).toBeLessThan(bytes);
      expect(manifest.systemId === undefined).toBe(major < 17);
      expect(manifest.walRanges).toHaveLength(1);
      const failure = await Promise.resolve()
        .then(() => damaged.verify())
        .catch((error: unknown) => error);
      expect(isAppError(failure, 'DATABASE_BACKUP_MISMATCH') && failure.message).toMatch(
        /has read: \S+ has another checksum\.$/,
      );
    }, 30_000);

    test('names the file with a corrupt page, and is whole but for that', async () => {
      await using connection = await connectPostgres({ ...addressOf(server), replication: 'database' });
      await connection.query("create table victim as select repeat('x', 500) from generate_series(1, 1000)");
      await connection.query('checkpoint');
      const [[path] = []] = await rowsOf(connection, "select pg_relation_filepath('victim')");
      const file = join(server.dataDirectory, path ?? '');
      const bytes = await readFile(file);
      bytes.fill(0xff, 8192 + 4000, 8192 + 4100);
      await writeFile(file, bytes);
      const end = await backUp(server, join(server.folder, 'suspect'));
      expect(end.suspectFiles).toEqual([path]);
      await connection.query('drop table victim');
      expect((await backUp(server, join(server.folder, 'sound'))).suspectFiles).toEqual([]);
    }, 30_000);
  });
}

/** The same bytes but for one, in the middle of a relation of many pages. */
async function* flipOneBit(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const chunk of tar) {
    const copy = Buffer.from(chunk);
    const offset = (8 << 20) - at;
    if (offset >= 0 && offset < copy.length) copy[offset] = (copy[offset] ?? 0) ^ 1;
    at += copy.length;
    yield copy;
  }
}

test('a manifest that was changed on the way is no manifest', () => {
  const body = '{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n],\n"WAL-Ranges": [\n],\n';
  const line = `"Manifest-Checksum": "${createHash('sha256').update(body).digest('hex')}"}\n`;
  expect(parseBackupManifest(Buffer.from(body + line)).files.size).toBe(0);
  for (const text of [body.replace('1', '2') + line, body, '', `${body}${line} `]) {
    expect(() => parseBackupManifest(Buffer.from(text))).toThrow(
      expect.objectContaining({ code: 'DATABASE_BACKUP_MISMATCH' }),
    );
  }
});

test('digests of files in a tar are the same however it is cut', () => {
  const header = (name: string, size: number, type = '0'): Buffer => {
    const block = Buffer.alloc(512);
    block.write(name, 0, 'utf8');
    if (size < 8 ** 11) block.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
    block.write(type, 156, 'latin1');
    return block;
  };
  const content = Buffer.alloc(700, 'x');
  const tar = Buffer.concat([
    header('folder', 0, '5'),
    header('empty', 0),
    header('link', 0, '2'),
    header('./file ü', 700),
    content,
    Buffer.alloc(1024 - 700),
    Buffer.alloc(1024),
  ]);
  const sha256 = createHash('sha256').update(content).digest('hex');
  for (const size of [1, 100, 511, 512, 513, tar.length]) {
    const digests = new TarDigests();
    for (let at = 0; at < tar.length; at += size) digests.push(tar.subarray(at, at + size));
    digests.end();
    expect([...digests.files.keys()]).toEqual(['empty', 'file ü']);
    expect(digests.files.get('file ü')).toEqual({ sizeBytes: 700, sha256 });
  }
  const cut = new TarDigests();
  cut.push(tar.subarray(0, 512 * 4 + 100));
  expect(() => cut.end()).toThrow(/ends within the file file ü/);
  // From 8 GiB on the size is in base 256.
  const large = header('large', 8 ** 11);
  large.set([0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0], 124);
  const digests = new TarDigests();
  digests.push(large);
  expect(() => digests.end()).toThrow(/large/);
});

describe.skipIf(binDirOf(15) === undefined)('the swap of data directories', () => {
  let server: LocalServer;
  let restored: string;

  beforeAll(async () => {
    server = await startLocalServer({ major: 15 });
    restored = join(server.folder, 'restored');
    await using connection = await connectPostgres(addressOf(server));
    await connection.query('create table t (a int); insert into t values (1)');
    await backUp(server, restored);
    await connection.query('insert into t values (2)');
  }, 60_000);

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  async function countAfterStart(): Promise<string> {
    const host = { dataDirectory: server.dataDirectory, binDir: server.binDir, logFile: join(server.folder, 'log') };
    await startServer(host);
    try {
      await using connection = await connectPostgres(addressOf(server));
      return (await rowsOf(connection, 'select count(*) from t'))[0]?.[0] ?? '';
    } finally {
      await stopServer(host);
    }
  }

  async function codeOf(promise: Promise<unknown>): Promise<string> {
    const error = await promise.catch((failure: unknown) => failure);
    return isAppError(error) ? `${error.code}: ${error.message}` : `no failure: ${String(error)}`;
  }

  test('is refused while the server runs, and for folders that are not what they should be', async () => {
    const { dataDirectory } = server;
    expect(await codeOf(swapDataDirectory({ dataDirectory, restored }))).toMatch(/RESTORE_TARGET_INVALID.*runs on/);
    await stopServer({ dataDirectory, binDir: server.binDir });
    await chmod(restored, 0o755);
    expect(await codeOf(swapDataDirectory({ dataDirectory, restored }))).toMatch(/RESTORE_TARGET_INVALID.*mode 755/);
    await chmod(restored, 0o700);
    if (process.getuid?.() === 0) {
      await chown(restored, 0, 0);
      expect(await codeOf(swapDataDirectory({ dataDirectory, restored }))).toMatch(
        /RESTORE_TARGET_INVALID.*belongs to user 0/,
      );
      await chown(restored, server.uid, server.gid);
    }
    await writeFile(join(restored, 'PG_VERSION'), '14\n');
    expect(await codeOf(swapDataDirectory({ dataDirectory, restored }))).toMatch(
      /RESTORE_TARGET_INVALID.*PostgreSQL 14/,
    );
    await writeFile(join(restored, 'PG_VERSION'), '15\n');
    expect(await codeOf(swapDataDirectory({ dataDirectory, restored: server.folder }))).toMatch(
      /pg_control is missing/,
    );
    expect(await codeOf(swapDataDirectory({ dataDirectory, restored: '/nowhere' }))).toMatch(/does not exist/);
    expect((await stat(dataDirectory)).isDirectory()).toBe(true);
  });

  test('rolls back to the old one, and commits to the restored one', async () => {
    const { dataDirectory } = server;
    const first = await swapDataDirectory({ dataDirectory, restored });
    expect(first.control.restored.systemId).toBe(first.control.previous?.systemId);
    expect((await stat(first.asideDirectory ?? '')).isDirectory()).toBe(true);
    await first.rollback();
    expect(await countAfterStart()).toBe('2');
    const second = await swapDataDirectory({ dataDirectory, restored });
    expect(await countAfterStart()).toBe('1');
    await second.commit();
    expect((await readdir(server.folder)).filter((name) => name.includes('varve-old'))).toEqual([]);
    expect((await readdir(server.folder)).includes('restored')).toBe(false);
  });

  test('a stale postmaster.pid of another program does not count as running', async () => {
    await writeFile(
      join(server.dataDirectory, 'postmaster.pid'),
      `${process.pid}\n${server.dataDirectory}\n1\n${server.port}\n`,
    );
    expect(await serverStatus(server)).toEqual({ isRunning: false });
    expect(await countAfterStart()).toBe('1');
  });

  test('a server that cannot start says what its log says', async () => {
    const host = { dataDirectory: server.dataDirectory, binDir: server.binDir };
    const failure = await startServer({ ...host, options: '-c shared_buffers=nonsense' }).catch(
      (error: unknown) => error,
    );
    expect(isAppError(failure, 'COMMAND_FAILED') && failure.message).toContain('shared_buffers');
    const missing = await startServer({ ...host, binDir: '/nowhere' }).catch((error: unknown) => error);
    expect(isAppError(missing, 'DATABASE_TOOL_MISSING')).toBe(true);
  });
});
