// What happens to a captured server: a promotion, log that was removed, a server that was set back, with a new timeline and without,
// another cluster at the same place. The capture goes on by itself, and what is missing is told.

import { execFile } from 'node:child_process';
import { chown, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { silentLogger } from '@varve/base';
import { checkRepository } from '@varve/repository';
import { findPostgresBinaries, startPostgres, type PostgresServer } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve, type Varve } from '../src/index.ts';
import { addCapturedApp, captureOf, query, reachCommit, readArchive, withRepository } from './capture-fixture.ts';
import { temporaryFolder } from './engine-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
const run = promisify(execFile);

async function startSmall(): Promise<PostgresServer> {
  const server = await startPostgres({
    binDir,
    initdbOptions: ['--wal-segsize=1'],
    settings: { max_wal_size: '8MB', min_wal_size: '2MB', wal_keep_size: '0' },
  });
  await query(server, 'create table notes (note text, xid bigint default txid_current())');
  return server;
}

const note = (server: PostgresServer, text: string): Promise<string> =>
  query(server, `insert into notes (note) values ('${text}') returning xid`);

/** Half a megabyte of log. */
const write = (server: PostgresServer): Promise<string> =>
  query(server, 'insert into notes (note) select repeat(md5(n::text), 30) from generate_series(1, 500) n');

/** Makes a file in the data folder that belongs to the server's user. */
async function signalFile(server: PostgresServer, name: string): Promise<void> {
  const { uid, gid } = await stat(server.dataDir);
  await writeFile(join(server.dataDir, name), '');
  await chown(join(server.dataDir, name), uid, gid);
}

async function promote(server: PostgresServer): Promise<void> {
  await server.stop();
  await signalFile(server, 'standby.signal');
  await server.start();
  await query(server, 'select pg_promote()');
  await expect.poll(() => query(server, 'select pg_is_in_recovery()')).toBe('f');
}

async function copyOf(server: PostgresServer, path: string): Promise<void> {
  await run('cp', ['-a', server.dataDir, path]);
}

describe.skipIf(binDir === '')('capture', () => {
  async function lab() {
    const folder = await temporaryFolder();
    const server = await startSmall();
    const warnings: string[] = [];
    const logger = { ...silentLogger, warn: (message: string) => void warnings.push(message) };
    const dataDirectory = join(folder.path, 'data');
    const open = (): Promise<Varve> =>
      openVarve({ dataDirectory, dockerHost: 'unix:///no.sock', runInBackground: true, logger });
    return {
      folder,
      server,
      open,
      warnings,
      async [Symbol.asyncDispose]() {
        await server[Symbol.asyncDispose]();
        await folder[Symbol.asyncDispose]();
      },
    };
  }

  const archiveOf = async (varve: Varve) => {
    const kit = await varve.recoveryKit();
    return withRepository(kit, async (repository) => {
      expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
      const log = await readArchive(repository);
      return { ...log, blocks: log.archive.blocks.map(({ block }) => block) };
    });
  };

  test('follows a promotion: a block of the new timeline, its history, no gap', async () => {
    await using all = await lab();
    const { server } = all;
    await using varve = await all.open();
    await addCapturedApp(varve, server);
    const before = await note(server, 'before');
    await write(server);
    await reachCommit(varve, server);
    await promote(server);
    const after = await note(server, 'after');
    await write(server);
    await reachCommit(varve, server);
    const { blocks, commits, archive } = await archiveOf(varve);
    expect(blocks.map(({ timeline, sealed, gap }) => ({ timeline, sealed, gap }))).toEqual([
      { timeline: 1, sealed: true, gap: null },
      { timeline: 2, sealed: false, gap: null },
    ]);
    expect(blocks[1]?.histories).toEqual([2]);
    expect((await archive.history(blocks[1]?.systemId ?? '', 2))?.toString()).toMatch(/^1\t0\//);
    expect(blocks[1]?.restarts.length).toBeGreaterThan(0);
    for (const xid of [before, after]) expect(commits.has(Number(xid))).toBe(true);
    expect(await captureOf(varve)).toMatchObject({ state: 'streaming', timeline: 2, gap: null });
  });

  test('tells a gap when the log was removed from the server, and goes on behind it', async () => {
    await using all = await lab();
    const { server } = all;
    let slot = '';
    {
      await using varve = await all.open();
      await addCapturedApp(varve, server);
      await note(server, 'before');
      await reachCommit(varve, server);
      slot = (await captureOf(varve)).slot ?? '';
    }
    await expect
      .poll(() => query(server, `select active from pg_replication_slots where slot_name = '${slot}'`))
      .toBe('f');
    await query(server, `select pg_drop_replication_slot('${slot}')`);
    for (let turn = 0; turn < 12; turn++) {
      await write(server);
      await query(server, 'select pg_switch_wal()');
      await query(server, 'checkpoint');
    }
    await using varve = await all.open();
    const after = await note(server, 'after');
    await reachCommit(varve, server);
    const { blocks, commits } = await archiveOf(varve);
    expect(blocks).toMatchObject([
      { timeline: 1, sealed: true, gap: null },
      { timeline: 1, sealed: false, gap: { reason: 'wal-removed', timeline: 1, fromLsn: blocks[0]?.endLsn } },
    ]);
    expect(commits.has(Number(after))).toBe(true);
    expect(await captureOf(varve)).toMatchObject({ state: 'streaming', gap: { reason: 'wal-removed' } });
  });

  test.each([
    ['without a new timeline', undefined, 1],
    ['with a new timeline', 'recovery.signal', 2],
  ])('goes on when the server was set back %s', async (_, signal, timeline) => {
    await using all = await lab();
    const { server } = all;
    await using varve = await all.open();
    await addCapturedApp(varve, server);
    await write(server);
    await reachCommit(varve, server);
    await server.stop();
    await copyOf(server, join(all.folder.path, 'copy'));
    await server.start();
    for (let turn = 0; turn < 8; turn++) await write(server);
    await query(server, "select pg_create_restore_point('lost')");
    await reachCommit(varve, server);
    await server.stop();
    await rm(server.dataDir, { recursive: true });
    await copyOf({ ...server, dataDir: join(all.folder.path, 'copy') }, server.dataDir);
    if (signal !== undefined) {
      await signalFile(server, signal);
      await run('sh', ['-c', `echo "restore_command = 'false'" >> '${server.dataDir}/postgresql.conf'`]);
    }
    await server.start();
    await expect.poll(() => query(server, 'select pg_is_in_recovery()')).toBe('f');
    const kept = await note(server, 'kept');
    await write(server);
    await query(server, 'select pg_switch_wal()');
    await write(server);
    await expect.poll(async () => (await archiveOf(varve)).blocks.length, { timeout: 60_000, interval: 1000 }).toBe(2);
    await reachCommit(varve, server);
    const { blocks, commits, archive } = await archiveOf(varve);
    const newest = blocks.toSorted((a, b) => Date.parse(a.startedAt) - Date.parse(b.startedAt)).at(-1);
    expect(newest?.timeline).toBe(timeline);
    // Nobody asked Varve for it.
    expect(all.warnings).toContain('the server has another history; capture begins anew');
    expect(commits.has(Number(kept))).toBe(true);
    const old = blocks.find((block) => block !== newest);
    expect(old?.restorePoints).toHaveLength(1);
    // On a timeline of its own the new history begins within the old one, which stays whole.
    if (timeline === 1) expect(newest?.gap).toMatchObject({ reason: 'diverged', fromLsn: old?.endLsn });
    else expect(newest?.gap).toBeNull();
    const segments = archive.segments(newest?.systemId ?? '');
    const isKept = old?.segments.every(({ name, bytes }) => segments.get(name)?.bytes === bytes);
    expect(isKept).toBe(timeline !== 1);
  });

  test('begins anew when another cluster answers at the same place', async () => {
    await using all = await lab();
    const { server } = all;
    await using other = await startSmall();
    await using varve = await all.open();
    await addCapturedApp(varve, server);
    await note(server, 'first cluster');
    await reachCommit(varve, server);
    await query(other, `alter role tester password '${server.password}'`);
    await server.stop();
    await rm(server.dataDir, { recursive: true });
    await other.stop();
    await copyOf(other, server.dataDir);
    await run('sh', ['-c', `echo "port = ${server.port}" >> '${server.dataDir}/postgresql.conf'`]);
    await server.start();
    await note(server, 'second cluster');
    await expect.poll(async () => (await archiveOf(varve)).blocks.length, { timeout: 60_000, interval: 1000 }).toBe(2);
    const { blocks } = await archiveOf(varve);
    expect(new Set(blocks.map(({ systemId }) => systemId)).size).toBe(2);
    expect(blocks.filter(({ gap }) => gap?.reason === 'diverged')).toHaveLength(1);
  });
});
