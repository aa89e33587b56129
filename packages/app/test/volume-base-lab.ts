// Clusters of tests that are saved by reading their data folder, and brought back by restic alone.

import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import type { App, DatabaseComponent, SavedDatabase } from '@varve/contract';
import { connectPostgres, startServer, stopServer, type PgConnection } from '@varve/postgres';
import { freePort, runRestic, type PostgresServer } from '@varve/testing';
import type { TakenSnapshot } from '../src/use-case.ts';
import type { RunFixture } from './run-fixture.ts';

export function connect(server: PostgresServer, database = 'postgres', port = server.port): Promise<PgConnection> {
  const { host, user } = server;
  return connectPostgres({ host, port, user, password: new Secret(server.password), database });
}

export async function query(connection: PgConnection, sql: string): Promise<string> {
  const results = await connection.query(sql);
  return (results.at(-1)?.rows ?? []).map((row) => row.join('|')).join('\n');
}

export function appOf(fixture: RunFixture, server: PostgresServer, change: Partial<DatabaseComponent> = {}): App {
  fixture.secrets.set('url', new Secret(server.url));
  return fixture.app([
    {
      kind: 'database',
      name: 'db',
      engine: 'postgresql',
      method: 'base',
      readThrough: 'volume',
      source: { type: 'url', urlSecret: 'url', display: 'postgresql://tester@127.0.0.1' },
      dataDirectory: server.dataDir,
      binDirectory: server.binDir,
      excludes: [],
      ...change,
    },
  ]);
}

export function savedOf(taken: TakenSnapshot): SavedDatabase {
  const [saved] = taken.manifest.components;
  if (saved?.kind !== 'database') throw new Error('there is no database in the snapshot');
  return saved;
}

/** Starts a copy of the server on files that restic alone has restored. */
export async function startRestored(
  fixture: RunFixture,
  server: PostgresServer,
  folder: string,
  { isThere = false }: { readonly isThere?: boolean } = {},
): Promise<{ readonly dataDir: string; readonly port: number; stop(): Promise<void> }> {
  const target = join(fixture.folder, folder);
  if (!isThere) await runRestic(fixture, ['restore', 'latest', '--target', target]);
  for (const path of [target, join(target, 'databases'), join(target, 'databases/db')]) await chmod(path, 0o755);
  const dataDir = join(target, 'databases/db/base');
  const port = await freePort();
  await writeFile(join(dataDir, 'postgresql.auto.conf'), `port = ${port}\nunix_socket_directories = ''\n`);
  const host = { dataDirectory: dataDir, binDir: server.binDir };
  await startServer(host);
  return { dataDir, port, stop: async () => void (await stopServer(host)) };
}
