// Retention of log in a real installation: shown, then removed, and nothing that the window needs.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { newAppSchema } from '@varve/contract';
import { Secret } from '@varve/base';
import { checkRepository, openRepository } from '@varve/repository';
import { openStorage } from '@varve/storage';
import { FakeClock } from '@varve/testing';
import { expect, test } from 'vitest';
import { openVarve } from '../src/index.ts';
import { pointInTimeReason } from '../src/retention/retention.ts';
import { temporaryFolder } from './engine-fixture.ts';
import { storeBase, storeBlock } from './stored-history.ts';
import { clock } from './wal-history.ts';

test('log before the window goes after a preview, and blocks are taken for snapshots nowhere', async () => {
  await using folder = await temporaryFolder();
  const time = new FakeClock('2026-11-28T10:00:00Z');
  await mkdir(join(folder.path, 'files'));
  await writeFile(join(folder.path, 'files', 'one'), 'one');
  const dataDirectory = join(folder.path, 'data');
  await using varve = await openVarve({ dataDirectory, dockerHost: 'unix:///no.sock', clock: time });
  const policy = { retention: { keepLast: 1, keepDaily: 0, keepWeekly: 0, keepMonthly: 0 } };
  const app = await varve.addApp(
    newAppSchema.parse({ type: 'host', id: 'shop', folders: [join(folder.path, 'files')], policy }),
  );
  const kit = await varve.recoveryKit();
  const storage = openStorage(kit.location);
  await using repository = await openRepository({ storage, password: new Secret(kit.password) });
  await storeBlock(repository, { from: 1, times: [['09:00', '09:29']] });
  await storeBlock(repository, { from: 2, times: [['09:30', '09:59']] });
  await storeBlock(repository, { from: 3, times: [['10:00', '10:59']] });
  await storeBlock(repository, { from: 4, times: [['11:00', '11:59']], sealed: false });
  const baseId = await storeBase(repository, app);
  await varve.waitForJob((await varve.startSnapshot('shop', { kind: 'manual' }, 'test')).id);

  const snapshots = await varve.listSnapshots('shop');
  expect(snapshots.map(({ id }) => id)).not.toContain(baseId);
  const preview = await varve.previewRetention('shop');
  expect(preview.keep.map(({ snapshot, reasons }) => [snapshot.id, reasons])).toEqual([
    [snapshots[0]?.id, ['last snapshot']],
    [baseId, [pointInTimeReason]],
  ]);
  expect(preview.remove).toEqual([]);
  expect(preview.removeWal).toMatchObject([
    { component: 'db', blocks: 2, fromAt: clock('09:00'), toAt: clock('09:59') },
  ]);
  expect((await varve.listSnapshots('shop')).map(({ id }) => id)).toHaveLength(2);

  const before = (await varve.timeline('shop', { fresh: true })).databases[0]?.ranges;
  const job = await varve.waitForJob((await varve.startForget('shop', preview, 'test')).id);
  expect(job).toMatchObject({ state: 'succeeded', error: null });
  expect((await varve.getJob(job.id)).log.map(({ message }) => message)).toContainEqual(
    expect.stringMatching(/^Removed 2 blocks of the write-ahead log of db/),
  );
  const tags = (await repository.listSnapshots()).map((snapshot) => snapshot.tags?.[0] ?? '');
  expect(tags.toSorted((a, b) => a.localeCompare(b))).toEqual(['varve', 'varve', 'wal', 'wal']);
  expect((await varve.timeline('shop', { fresh: true })).databases[0]?.ranges).toEqual(before);
  expect((await varve.getMaintenance())?.prune.pendingSince).not.toBeNull();
  expect((await varve.previewRetention('shop')).removeWal).toEqual([]);

  // Neither the catalogue's copy nor the app's numbers count blocks.
  expect(await varve.rebuildCatalogue()).toMatchObject({ snapshots: 2 });
  expect((await varve.getApp('shop')).protection.snapshotCount).toBe(2);
  expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
  await storage.close();
});
