// A server that hands its log over by archive_command into a folder, and lets nobody replicate.

import { chmod, chown, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { archiveCommand, parseLsn } from '@varve/postgres';
import { startPostgres, type PostgresServer } from '@varve/testing';
import { expect } from 'vitest';
import type { Varve } from '../src/index.ts';
import { addCapturedApp, captureOf, query, shop } from './capture-fixture.ts';

export interface ArchivingServer extends AsyncDisposable {
  readonly server: PostgresServer;
  /** What its archive_command fills. */
  readonly archive: string;
}

export async function startArchiving(options: {
  readonly binDir: string;
  readonly settings?: Readonly<Record<string, string>>;
}): Promise<ArchivingServer> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-archive-'));
  try {
    const server = await startPostgres({
      binDir: options.binDir,
      initdbOptions: ['--wal-segsize=1'],
      settings: {
        archive_mode: 'on',
        archive_command: archiveCommand(folder),
        archive_timeout: '60',
        // Neither a stream nor a slot can be had.
        max_wal_senders: '0',
        max_replication_slots: '0',
        autovacuum: 'off',
        ...options.settings,
      },
    });
    const { uid, gid } = await stat(server.dataDir);
    await chmod(folder, 0o700);
    await chown(folder, uid, gid);
    return {
      server,
      archive: folder,
      [Symbol.asyncDispose]: async () => {
        await server[Symbol.asyncDispose]();
        await rm(folder, { recursive: true, force: true });
      },
    };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** An app of that server whose log comes through the folder. */
export async function addArchivedApp(
  varve: Varve,
  { server, archive }: ArchivingServer,
  method: 'base' | 'dump' = 'dump',
): Promise<void> {
  const place = { dataDirectory: server.dataDir, binDirectory: server.binDir };
  await addCapturedApp(varve, server, { method, ...place, wal: false });
  await varve.setWalCapture(shop.appId, { enabled: true, archive: { directory: archive } });
  if (method === 'dump') await varve.updateDatabase(shop.appId, 'db', { method: 'dump' });
}

/** Has the server finish its segment, and waits until that is in the repository. */
export async function reachArchived(varve: Varve, server: PostgresServer): Promise<void> {
  const lsn = parseLsn(await query(server, 'select pg_switch_wal()'));
  const state = async (): Promise<unknown> => {
    const capture = await captureOf(varve);
    return parseLsn(capture.committedLsn ?? '0/0') >= lsn ? 'reached' : capture;
  };
  await expect.poll(state, { timeout: 60_000, interval: 100 }).toBe('reached');
}
