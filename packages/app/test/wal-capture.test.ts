// Capture of real servers into a repository: what is there, what is taken away, what happens in between.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { checkRepository } from '@varve/repository';
import { expectResticCheck, findPostgresBinaries, resticAvailable, startPostgres } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openVarve } from '../src/index.ts';
import {
  addCapturedApp,
  captureOf,
  query,
  reachCommit,
  readArchive,
  spoolFolder,
  withRepository,
} from './capture-fixture.ts';
import { temporaryFolder } from './engine-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';
const smallSegments = { initdbOptions: ['--wal-segsize=1'], settings: { max_wal_size: '64MB', min_wal_size: '32MB' } };

describe.skipIf(binDir === '')('capture', () => {
  test('brings the log into the repository, whole segments and the beginning of one', async () => {
    await using folder = await temporaryFolder();
    await using server = await startPostgres({ binDir, ...smallSegments });
    const dataDirectory = join(folder.path, 'data');
    const kit = await (async () => {
      await using varve = await openVarve({ dataDirectory, dockerHost: 'unix:///no.sock', runInBackground: true });
      await addCapturedApp(varve, server);
      await query(server, 'create table ledger (id bigint primary key, xid bigint)');
      await query(server, 'insert into ledger select n, txid_current() from generate_series(1, 50000) n');
      await query(server, "select pg_create_restore_point('before lunch')");
      await reachCommit(varve, server);
      await query(server, 'insert into ledger select 0, txid_current()');
      const lsn = await reachCommit(varve, server);
      expect(await captureOf(varve)).toMatchObject({
        state: 'streaming',
        problem: null,
        commitProblem: null,
        gap: null,
      });
      expect(lsn).toBeGreaterThan(0n);
      return await varve.recoveryKit();
    })();
    const spooled = (await readdir(spoolFolder(dataDirectory))).filter((name) => /^[0-9A-F]{24}/.test(name));
    expect(spooled.length).toBeLessThanOrEqual(2);
    await withRepository(kit, async (repository) => {
      const { commits, archive } = await readArchive(repository);
      const xids = await query(server, "select string_agg(distinct xid::text, ',') from ledger");
      for (const xid of xids.split(',')) expect(commits.has(Number(xid))).toBe(true);
      expect(archive.blocks).toHaveLength(1);
      const block = archive.blocks[0]?.block;
      expect(block).toMatchObject({ timeline: 1, gap: null, sealed: false });
      expect(block?.restorePoints.map(({ name }) => name)).toEqual(['before lunch']);
      const counted = block?.segments.reduce((sum, one) => sum + one.commits, 0);
      expect(counted).toBe(commits.size);
      expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
    });
    if ((await resticAvailable()) !== undefined) {
      await expectResticCheck({ repo: kit.location, password: kit.password }, { readData: true });
    }
  });
});
