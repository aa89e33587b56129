// Log that comes by the server's own archive_command, from capture to recovery: no stream, no slot, no program of ours beside the server.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { recoveryRequestSchema, type RecoveryRequestInput } from '@varve/contract';
import { findOutermostMajors } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve, type Varve } from '../src/index.ts';
import { addArchivedApp, reachArchived, startArchiving } from './archive-fixture.ts';
import { captureOf, query, readArchive, shop, withRepository } from './capture-fixture.ts';
import { temporaryFolder } from './engine-fixture.ts';

const majors = await findOutermostMajors();
const moment = `select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

async function recover(varve: Varve, input: RecoveryRequestInput) {
  const wanted = recoveryRequestSchema.parse(input);
  const { fingerprint } = await varve.planRecovery(shop.appId, wanted);
  const job = await varve.startRecovery(shop.appId, { ...wanted, fingerprint }, 'test');
  return varve.waitForJob(job.id);
}

describe.skipIf(majors.length === 0).each(majors)('the archive of PostgreSQL $major', ({ binDir }) => {
  test('is captured, recovered to a time, and followed onto the new timeline', { timeout: 240_000 }, async () => {
    await using folder = await temporaryFolder();
    await using lab = await startArchiving({ binDir });
    const { server, archive } = lab;
    await query(server, 'create table ledger as select n as id, txid_current() as xid from generate_series(1, 100) n');
    await using varve = await openVarve({
      dataDirectory: join(folder.path, 'data'),
      dockerHost: 'unix:///no.sock',
      runInBackground: true,
    });
    await addArchivedApp(varve, lab, 'base');
    await reachArchived(varve, server);
    // The capture asks for the base backup that it needs by itself.
    await expect.poll(async () => (await varve.listSnapshots('shop')).length, { timeout: 60_000 }).toBe(1);
    await query(server, 'insert into ledger select n, txid_current() from generate_series(101, 200) n');
    const before = await query(server, moment);
    await query(server, 'delete from ledger where id <= 150');
    await reachArchived(varve, server);
    expect(await captureOf(varve)).toMatchObject({
      way: 'archive',
      slot: null,
      state: 'streaming',
      problem: null,
      gap: null,
      hasBaseBackup: true,
      archive: { readFrom: archive, server: { mode: 'on', hasCommand: true, timeoutSeconds: 60, isFailing: false } },
    });

    const job = await recover(varve, { target: { type: 'time', time: before }, destination: { type: 'in-place' } });
    expect(job).toMatchObject({ state: 'succeeded', result: { type: 'recovery', timeline: 2 } });
    expect(await query(server, 'select count(*) from ledger')).toBe('200');
    const xid = await query(server, 'insert into ledger values (201, txid_current()) returning xid');
    await query(server, 'select pg_switch_wal()');
    const kit = await varve.recoveryKit();
    await withRepository(kit, async (repository) => {
      const isThere = async (): Promise<boolean> => (await readArchive(repository)).commits.has(Number(xid));
      await expect.poll(isThere, { timeout: 60_000, interval: 500 }).toBe(true);
      const { archive: stored } = await readArchive(repository);
      const blocks = stored.blocks.map(({ block }) => block);
      expect(blocks.map(({ timeline, gap }) => ({ timeline, gap }))).toEqual([
        { timeline: 1, gap: null },
        { timeline: 2, gap: null },
      ]);
      expect(blocks[1]?.histories).toEqual([2]);
    });
    // What is stored is removed; notes about backups are nobody's but the server's.
    await expect
      .poll(async () => (await readdir(archive)).filter((name) => !name.endsWith('.backup')), { timeout: 30_000 })
      .toEqual([]);
  });
});
