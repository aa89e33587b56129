// The timeline of a real server that is captured: what is committed, marked, restarted and brought back shows up as it was.

import { join } from 'node:path';
import { findPostgresBinaries, startPostgres } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import type { Varve } from '../src/index.ts';
import { openVarve } from '../src/index.ts';
import { addCapturedApp, query, reachCommit } from './capture-fixture.ts';
import { temporaryFolder } from './engine-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
const clockSql = `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

async function databaseOf(varve: Varve, at?: string) {
  const { databases } = await varve.timeline('shop', { fresh: true, at });
  const [database] = databases;
  if (!database) throw new Error('no database in the timeline');
  return database;
}

describe.skipIf(binDir === '')('the timeline of a captured server', () => {
  test('has its commits, its points and its restarts, and nothing later', { timeout: 180_000 }, async () => {
    await using folder = await temporaryFolder();
    await using server = await startPostgres({ binDir, initdbOptions: ['--wal-segsize=1'] });
    const dataDirectory = join(folder.path, 'data');
    await using varve = await openVarve({ dataDirectory, dockerHost: 'unix:///no.sock', runInBackground: true });
    await addCapturedApp(varve, server, { method: 'base', dataDirectory: server.dataDir });
    await query(server, 'create table ledger (id int primary key)');
    await reachCommit(varve, server);

    // The capture asks for the base backup that it needs by itself.
    await expect.poll(async () => (await varve.listSnapshots('shop')).length, { timeout: 60_000 }).toBe(1);
    const [snapshot] = await varve.listSnapshots('shop');
    const before = await query(server, clockSql);
    await query(server, 'insert into ledger values (1)');
    const after = await query(server, clockSql);
    await reachCommit(varve, server);
    const database = await databaseOf(varve, before);
    const [range] = database.ranges;
    expect(database).toMatchObject({ captured: true, timeline: 1, gaps: [], unreachable: [], damaged: [] });
    expect(range?.baseSnapshotId).toBe(snapshot?.id);
    const lastAt = range?.toAt ?? '';
    expect(lastAt > before && lastAt < after, `${before} < ${lastAt} < ${after}`).toBe(true);
    expect(database.nearest).toMatchObject({ reachable: true });
    expect((await databaseOf(varve, after)).nearest).toMatchObject({
      reachable: false,
      before: range?.toAt,
      after: null,
    });

    const point = await varve.createRestorePoint('shop', { name: 'before lunch' });
    await varve.waitForRestorePoint('shop', point, { signal: AbortSignal.timeout(60_000) });
    const named = await databaseOf(varve);
    expect(named.points).toMatchObject([{ name: 'before lunch', timeline: 1, reachable: true, branch: 'current' }]);
    await expect(varve.createRestorePoint('shop', { name: 'before lunch' })).rejects.toMatchObject({
      code: 'WAL_POINT_EXISTS',
    });

    await server.stop();
    await server.start();
    await query(server, 'insert into ledger values (2)');
    await reachCommit(varve, server);
    const restarted = await databaseOf(varve);
    expect(restarted.restarts.length).toBeGreaterThan(0);
    expect(restarted.ranges).toHaveLength(1);
    expect(restarted.ranges[0]?.fromAt).toBe(range?.fromAt);
  });
});
