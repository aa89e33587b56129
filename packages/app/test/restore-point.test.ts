// Named restore points on a real server: written, flushed, refused with the way out.

import { join } from 'node:path';
import { Secret } from '@varve/base';
import { newAppSchema } from '@varve/contract';
import { connectPostgres, parseLsn } from '@varve/postgres';
import { findPostgresBinaries, startPostgres, type PostgresServer } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve } from '../src/index.ts';
import { temporaryFolder } from './engine-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';

async function query(server: PostgresServer, sql: string): Promise<string> {
  const { host, port, user, password } = server;
  await using connection = await connectPostgres({
    host,
    port,
    user,
    password: new Secret(password),
    database: 'postgres',
  });
  return (await connection.query(sql)).at(-1)?.rows[0]?.[0] ?? '';
}

describe.skipIf(binDir === '')('a restore point', () => {
  test(
    'is in the log, flushed, when its position is told, also on a database at rest',
    { timeout: 60_000 },
    async () => {
      await using folder = await temporaryFolder();
      await using server = await startPostgres({
        binDir,
        settings: { synchronous_commit: 'off', wal_writer_delay: '10s' },
      });
      await using varve = await openVarve({ dataDirectory: join(folder.path, 'data'), dockerHost: 'unix:///no.sock' });
      await varve.addApp(newAppSchema.parse({ type: 'host', id: 'shop', databases: [{ url: server.url, wal: true }] }));
      const point = await varve.createRestorePoint('shop', { name: "before O'Neil's import" });
      expect(parseLsn(await query(server, 'select pg_current_wal_flush_lsn()'))).toBeGreaterThanOrEqual(
        parseLsn(point.lsn),
      );
      expect(point).toMatchObject({
        component: 'db',
        name: "before O'Neil's import",
        timeline: 1,
        systemId: await query(server, 'select system_identifier from pg_control_system()'),
        at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/) as string,
      });
      await expect(varve.createRestorePoint('shop', { name: 'x', component: 'other' })).rejects.toMatchObject({
        code: 'SETTINGS_INVALID',
      });
      const waiting = varve.waitForRestorePoint('shop', point, { signal: AbortSignal.timeout(200) });
      await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    },
  );

  test('needs the right to make one, and says how to give it', { timeout: 60_000 }, async () => {
    await using folder = await temporaryFolder();
    await using server = await startPostgres({ binDir });
    await query(server, "create role clerk login replication password 'clerk-secret'");
    await using varve = await openVarve({ dataDirectory: join(folder.path, 'data'), dockerHost: 'unix:///no.sock' });
    const url = new URL(server.url);
    [url.username, url.password] = ['clerk', 'clerk-secret'];
    await varve.addApp(newAppSchema.parse({ type: 'host', id: 'shop', databases: [{ url: url.href, wal: true }] }));
    const refused = await varve.createRestorePoint('shop', { name: 'x' }).then(
      () => undefined,
      (error: unknown) => error as { code: string; hint: string },
    );
    expect(refused?.code).toBe('DATABASE_DENIED');
    const grant = refused?.hint.slice(refused.hint.indexOf('GRANT')) ?? '';
    await query(server, grant);
    expect(await varve.createRestorePoint('shop', { name: 'x' })).toMatchObject({ name: 'x' });
  });

  test('is not made of a database whose log nobody captures', async () => {
    await using folder = await temporaryFolder();
    await using varve = await openVarve({ dataDirectory: join(folder.path, 'data'), dockerHost: 'unix:///no.sock' });
    await varve.addApp(newAppSchema.parse({ type: 'host', id: 'shop', folders: [folder.path] }));
    await expect(varve.createRestorePoint('shop', { name: 'x' })).rejects.toMatchObject({ code: 'SETTINGS_INVALID' });
    const databases = ['a', 'b'].map((name) => ({ name, url: 'postgresql://x@127.0.0.1:1/x', wal: true }));
    await varve.addApp(newAppSchema.parse({ type: 'host', id: 'two', databases }));
    await expect(varve.createRestorePoint('two', { name: 'x' })).rejects.toMatchObject({ code: 'USAGE_INVALID' });
  });
});
