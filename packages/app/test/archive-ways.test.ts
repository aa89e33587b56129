// From one way to the other and back, with the very lines that are shown for postgresql.conf; and a process that captures a folder
// and is killed at any moment. VARVE_TEST_KILLS sets how often.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, chown, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { findOutermostMajors, startPostgres } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve, type Varve } from '../src/index.ts';
import { addArchivedApp, reachArchived, startArchiving } from './archive-fixture.ts';
import { addCapturedApp, captureOf, query, reachCommit, readArchive, shop, withRepository } from './capture-fixture.ts';
import { temporaryFolder } from './engine-fixture.ts';

const majors = await findOutermostMajors();
const oldest = majors.at(-1);
const newest = majors[0];
const kills = Number(process.env['VARVE_TEST_KILLS'] ?? 1);
const script = join(import.meta.dirname, 'processes', 'capture.ts');

const open = (dataDirectory: string, runInBackground: boolean): Promise<Varve> =>
  openVarve({ dataDirectory, dockerHost: 'unix:///no.sock', runInBackground });

const insert = 'insert into ledger select txid_current() returning xid';

describe.skipIf(oldest === undefined)('the way of the log', () => {
  test('changes to archive_command and back without a gap', { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder();
    await using server = await startPostgres({ binDir: oldest?.binDir ?? '', initdbOptions: ['--wal-segsize=1'] });
    const { uid, gid } = await stat(server.dataDir);
    const directory = join(folder.path, 'the archive');
    await chmod(folder.path, 0o755);
    await mkdir(directory);
    await chown(directory, uid, gid);
    await query(server, 'create table ledger (xid bigint)');
    await using varve = await open(join(folder.path, 'data'), true);
    await addCapturedApp(varve, server);
    const xids = [await query(server, insert)];
    await reachCommit(varve, server);
    const archive = { directory };

    // Nothing changes while the server would not hand its log over.
    await expect(varve.setWalCapture(shop.appId, { enabled: true, archive })).rejects.toMatchObject({
      code: 'APP_INVALID',
      hint: expect.stringContaining('restart'),
    });
    expect(await captureOf(varve)).toMatchObject({ way: 'stream' });
    const settings = await varve.walSettings(shop.appId, { archive });
    expect(settings).toMatchObject({ component: 'db', needsRestart: true, obstacles: [{ severity: 'blocks' }, {}] });
    await appendFile(join(server.dataDir, 'postgresql.conf'), `${settings.lines.join('\n')}\n`);
    await server.stop();
    await server.start();
    expect(await varve.walSettings(shop.appId, { archive })).toMatchObject({ needsRestart: false, obstacles: [] });

    // A command that fails is told, and keeps the way from being taken.
    const obstacle = async () => (await varve.walSettings(shop.appId, { archive })).obstacles[0]?.message ?? '';
    await chown(directory, 0, 0);
    await query(server, insert);
    await query(server, 'select pg_switch_wal()');
    await expect.poll(obstacle).toContain('archive_command fails');
    await expect(varve.setWalCapture(shop.appId, { enabled: true, archive })).rejects.toThrow('archive_command fails');
    await chown(directory, uid, gid);
    await query(server, insert);
    await query(server, 'select pg_switch_wal()');
    await expect.poll(obstacle).toBe('');

    xids.push(await query(server, insert));
    await varve.setWalCapture(shop.appId, { enabled: true, archive });
    xids.push(await query(server, insert));
    await expect.poll(async () => (await captureOf(varve)).way).toBe('archive');
    await reachArchived(varve, server);
    await expect.poll(() => query(server, 'select count(*) from pg_replication_slots')).toBe('0');
    expect(await captureOf(varve)).toMatchObject({ slot: null, gap: null, archive: { directory } });

    xids.push(await query(server, insert));
    await varve.setWalCapture(shop.appId, { enabled: true });
    xids.push(await query(server, insert));
    await expect.poll(async () => (await captureOf(varve)).state, { timeout: 30_000 }).toBe('streaming');
    await reachCommit(varve, server);
    expect(await captureOf(varve)).toMatchObject({ way: 'stream', gap: null, archive: null });
    await withRepository(await varve.recoveryKit(), async (repository) => {
      const { archive: stored, commits } = await readArchive(repository);
      expect(stored.blocks.map(({ block }) => block.gap)).toEqual([null]);
      expect(xids.filter((xid) => !commits.has(Number(xid)))).toEqual([]);
    });
  });

  test(
    `through a folder loses nothing over ${kills} ${kills === 1 ? 'kill' : 'kills'}`,
    { timeout: 60_000 + kills * 15_000 },
    async () => {
      await using folder = await temporaryFolder();
      await using lab = await startArchiving({ binDir: newest?.binDir ?? '' });
      const { server } = lab;
      const dataDirectory = join(folder.path, 'data');
      await query(server, 'create table ledger (xid bigint, filler text)');
      const kit = await (async () => {
        await using varve = await open(dataDirectory, true);
        await addArchivedApp(varve, lab);
        await reachArchived(varve, server);
        return await varve.recoveryKit();
      })();
      const xids: string[] = [];
      for (let round = 0; round < kills; round++) {
        const child = spawn(process.execPath, [script, dataDirectory], { stdio: ['ignore', 'pipe', 'inherit'] });
        await once(child.stdout, 'data');
        const endAt = performance.now() + 500 + Math.random() * 2500;
        while (performance.now() < endAt) {
          xids.push(
            await query(
              server,
              `insert into ledger select txid_current(), repeat(md5(random()::text), 30) from generate_series(1, 300) returning xid`,
            ),
          );
          await query(server, 'select pg_switch_wal()');
          await wait(100);
        }
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        expect(await ended).toEqual([null, 'SIGKILL']);
      }
      await using varve = await open(dataDirectory, true);
      await reachArchived(varve, server);
      await withRepository(kit, async (repository) => {
        const { archive, commits } = await readArchive(repository);
        expect(xids.length).toBeGreaterThan(0);
        expect(xids.filter((xid) => !commits.has(Number(xid)))).toEqual([]);
        expect(archive.blocks.map(({ block }) => block.gap).filter((gap) => gap !== null)).toEqual([]);
        const segments = archive.blocks.flatMap(({ block }) => block.segments);
        expect(new Set(segments.map(({ name }) => name)).size).toBe(segments.length);
      });
      const waiting = async () => (await readdir(lab.archive)).filter((name) => !name.endsWith('.backup'));
      await expect.poll(waiting, { timeout: 30_000 }).toEqual([]);
      const spool = join(dataDirectory, 'wal', shop.appId);
      expect(await readdir(spool)).toEqual(['db']);
      await varve.removeApp(shop.appId);
      await expect.poll(() => readdir(spool), { timeout: 30_000 }).toEqual([]);
    },
  );
});
