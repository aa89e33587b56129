// What a backup by reading the data folder is made of: page checksums, the control file, start and stop, the WAL.

import { randomInt } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAppError, Secret } from '@varve/base';
import { findPostgresBinaries, startPostgres, type PostgresServer } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  connectPostgres,
  findBackupWal,
  mayBackUpVolume,
  parseLsn,
  proveBackupWal,
  readControlFile,
  readServerFacts,
  startVolumeBackup,
  type BackupWal,
  type PgConnection,
} from '../src/index.ts';
import { describePage, findBadPage, pageBytes } from '../src/volume-backup/page-check.ts';
import { isPageRight, pageWords } from '../src/volume-backup/page-checksum.ts';

const timeout = 60_000;

function connect(server: PostgresServer, user = server.user): Promise<PgConnection> {
  const password = new Secret(server.password);
  return connectPostgres({ host: server.host, port: server.port, user, password, database: 'postgres' });
}

async function value(connection: PgConnection, sql: string): Promise<string> {
  return (await connection.query(sql)).at(-1)?.rows[0]?.[0] ?? '';
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.catch((failure: unknown) => failure);
  return isAppError(error) ? `${error.code}: ${error.message}` : `no failure: ${String(error)}`;
}

/** Every relation file of the cluster. */
async function relationFiles(dataDir: string): Promise<string[]> {
  const names = await readdir(dataDir, { recursive: true });
  return names.filter((name) => /^(?:base\/\d+|global)\/\d+(?:_[a-z]+)?(?:\.\d+)?$/.test(name));
}

for (const { binDir, major } of await findPostgresBinaries()) {
  describe(`a data folder of PostgreSQL ${major}`, () => {
    let server: PostgresServer;

    beforeAll(async () => {
      const initdbOptions = ['--data-checksums', '--wal-segsize=1'];
      // No slot can be made: nothing but the settings keeps the WAL.
      const settings = {
        fsync: 'off',
        max_replication_slots: '0',
        wal_level: 'replica',
        max_wal_size: '64MB',
        min_wal_size: '2MB',
      };
      server = await startPostgres({ binDir, initdbOptions, settings });
      await using connection = await connect(server);
      await connection.query(`
        create table filled as select i, md5(i::text) from generate_series(1, 20000) i;
        create index on filled (i);
        create role plain login password '${server.password}';
        checkpoint`);
      await connection.query('vacuum filled');
      await connection.query('checkpoint');
    }, timeout);

    afterAll(async () => {
      await server[Symbol.asyncDispose]();
    });

    test('has pages whose checksums are right, and no more when a single bit is another', async () => {
      let pages = 0;
      for (const path of await relationFiles(server.dataDir)) {
        const bytes = await readFile(join(server.dataDir, path));
        const name = path.slice(path.lastIndexOf('/') + 1);
        expect([path, findBadPage(bytes, { name, position: 0 }, 0)]).toEqual([path, -1]);
        pages += bytes.length / pageBytes;
        if (bytes.length === 0) continue;
        // A page is right in its own place only.
        const isNew = bytes.subarray(0, pageBytes).every((byte) => byte === 0);
        if (!isNew) expect(isPageRight(pageWords(bytes), 0, 1)).toBe(false);
        const bit = randomInt(bytes.length * 8);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        const wrong = Math.floor(bit / 8 / pageBytes) * pageBytes;
        expect([path, bit, findBadPage(bytes, { name, position: 0 }, 0)]).toEqual([path, bit, wrong]);
        expect(findBadPage(bytes, { name, position: 0 }, wrong + pageBytes)).toBe(-1);
      }
      expect(pages).toBeGreaterThan(500);
    });

    test('counts blocks on from one segment of a relation to the next, and tells the position in a page', async () => {
      await using connection = await connect(server);
      const path = await value(connection, "select pg_relation_filepath('filled')");
      const bytes = await readFile(join(server.dataDir, path));
      expect(findBadPage(bytes, { name: '16384', position: 0 }, 0)).toBe(-1);
      expect(findBadPage(bytes, { name: '16384.1', position: 0 }, 0)).toBe(0);
      expect(findBadPage(bytes, { name: 'pg_filenode.map', position: 0 }, 0)).toBe(-1);
      expect(
        findBadPage(bytes.subarray(pageBytes, 2 * pageBytes + 100), { name: '16384', position: pageBytes }, 0),
      ).toBe(-1);
      const lsn = BigInt(describePage(bytes.subarray(0, pageBytes)));
      expect(lsn > 0n && lsn < parseLsn(await value(connection, 'select pg_current_wal_lsn()'))).toBe(true);
    });

    test('has a control file that is read whole, and never otherwise', async () => {
      await using connection = await connect(server);
      const facts = await readServerFacts(connection);
      const control = await readControlFile(server.dataDir);
      expect(control).toMatchObject({ systemId: facts.systemId, isInProduction: true });
      expect(control.checkpointLsn).toBe(
        parseLsn(await value(connection, 'select checkpoint_lsn from pg_control_checkpoint()')),
      );
      expect(control.redoLsn).toBe(parseLsn(await value(connection, 'select redo_lsn from pg_control_checkpoint()')));
      expect(String(control.catalogVersion)).toBe(
        await value(connection, 'select catalog_version_no from pg_control_system()'),
      );
      const folder = await mkdtemp(join(tmpdir(), 'varve-control-'));
      try {
        await mkdir(join(folder, 'global'));
        control.bytes[100]! ^= 1;
        await writeFile(join(folder, 'global/pg_control'), control.bytes);
        expect(await codeOf(readControlFile(folder))).toMatch(/^ARCHIVE_PRODUCER_FAILED.*checksum/);
        expect(await readControlFile(join(folder, 'nowhere')).catch((error: unknown) => error)).toMatchObject({
          code: 'ENOENT',
        });
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    test(
      'is backed up only by who may, and forgotten when the session ends',
      async () => {
        await using administrator = await connect(server);
        await using plain = await connect(server, 'plain');
        expect([await mayBackUpVolume(administrator), await mayBackUpVolume(plain)]).toEqual([true, false]);
        const refused = await startVolumeBackup(plain, { label: 'x' }).catch((error: unknown) => error);
        expect(isAppError(refused, 'DATABASE_DENIED') && refused.hint).toMatch(
          /GRANT EXECUTE ON FUNCTION pg_(backup_start|start_backup)/,
        );
        const start = major >= 15 ? 'pg_backup_start(text, boolean)' : 'pg_start_backup(text, boolean, boolean)';
        const stop = major >= 15 ? 'pg_backup_stop(boolean)' : 'pg_stop_backup(boolean, boolean)';
        await administrator.query(`grant execute on function ${start}, ${stop} to plain`);
        expect(await mayBackUpVolume(plain)).toBe(true);
        const backup = await startVolumeBackup(plain, { label: "varve's" });
        const end = await backup.stop();
        expect(end.label.toString()).toMatch(/^START WAL LOCATION: [\s\S]*^LABEL: varve's$/m);
        expect(end.tablespaceMap).toBeNull();
        expect(end.timeline).toBe(1);
        expect(end.endLsn > backup.startLsn).toBe(true);
        await startVolumeBackup(plain, { label: 'left open' });
        await plain.close();
        await using again = await connect(server);
        await (await startVolumeBackup(again, { label: 'again' })).stop();
      },
      timeout,
    );

    async function backUp(connection: PgConnection, meanwhile: string): Promise<BackupWal> {
      const { systemId, walSegmentBytes } = await readServerFacts(connection);
      await using other = await connect(server);
      const backup = await startVolumeBackup(connection, { label: 'x' });
      expect(backup.holdsWal).toBe(false);
      await other.query(meanwhile);
      const { endLsn, timeline } = await backup.stop();
      return { startLsn: backup.startLsn, endLsn, timeline, segmentBytes: walSegmentBytes, systemId };
    }

    test(
      'has the WAL of its backup, which is proved after it was read',
      async () => {
        await using connection = await connect(server);
        const wal = await backUp(
          connection,
          'insert into filled select i, md5(i::text) from generate_series(1, 20000) i',
        );
        const folder = join(server.dataDir, 'pg_wal');
        const files = await findBackupWal(folder, wal);
        expect(files.length).toBeGreaterThan(1);
        expect(files.every(({ sizeBytes }) => sizeBytes === wal.segmentBytes)).toBe(true);
        await proveBackupWal(folder, wal);

        const copy = await mkdtemp(join(tmpdir(), 'varve-wal-'));
        try {
          for (const { name, path } of files) await copyFile(path, join(copy, name));
          await proveBackupWal(copy, wal);
          expect(await codeOf(proveBackupWal(copy, { ...wal, systemId: '1' }))).toMatch(/^WAL_INVALID/);
          // A segment that is being overwritten under its new name: the pages of another one.
          const [first, second] = files;
          await copyFile(first!.path, join(copy, second!.name));
          expect(await codeOf(proveBackupWal(copy, wal))).toMatch(/^WAL_INVALID.*is that of/);
          await copyFile(second!.path, join(copy, second!.name));
          const file = await open(join(copy, first!.name), 'r+');
          await file.truncate(wal.segmentBytes / 2);
          await file.close();
          expect(await codeOf(proveBackupWal(copy, wal))).toMatch(/^WAL_INVALID.*bytes instead of/);
          await rm(join(copy, first!.name));
          expect(await codeOf(proveBackupWal(copy, wal))).toMatch(/^WAL_GAP.*has removed the WAL segment/);
        } finally {
          await rm(copy, { recursive: true });
        }
      },
      timeout,
    );

    test(
      'whose server has removed the WAL of its backup meanwhile has none, and says so',
      async () => {
        await using connection = await connect(server);
        const fill = `insert into filled select i, md5(i::text) from generate_series(1, 20000) i; delete from filled where i > 100; checkpoint`;
        const wal = await backUp(connection, [fill, fill, fill, fill].join(';'));
        expect(await codeOf(findBackupWal(join(server.dataDir, 'pg_wal'), wal))).toMatch(
          /^WAL_GAP.*has removed the WAL segment/,
        );
      },
      timeout,
    );
  });
}
