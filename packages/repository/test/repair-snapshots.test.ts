import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import {
  listTree,
  openRepository,
  planIndexRepair,
  planRecovery,
  planSnapshotRepair,
  type Repository,
  type SnapshotRepairOptions,
  type SnapshotRepairPlan,
  type SnapshotRepairResult,
} from '@varve/repository';
import { FaultyStorage } from '@varve/testing';
import { describe, expect, test, vi } from 'vitest';
import { resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';
import {
  change,
  checkData,
  flipBit,
  idOf,
  makeSample,
  packPath,
  reopen,
  storePack,
  treeBlob,
  type SampleRepository,
} from './small-repository.ts';

vi.setConfig({ testTimeout: 60_000 });

const noRestic = resticMissing();
const hexId: unknown = expect.stringMatching(/^[0-9a-f]{64}$/);

async function repair(
  folder: ScratchFolder,
  options: SnapshotRepairOptions = {},
): Promise<{ plan: SnapshotRepairPlan; result: SnapshotRepairResult }> {
  const { plan, run } = await planSnapshotRepair(await reopen(folder), options);
  return { plan, result: await run() };
}

async function expectWhole(folder: ScratchFolder): Promise<void> {
  expect(await checkData(folder)).toMatchObject({ errors: [], warnings: [], affected: [] });
  if (!noRestic) expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
}

async function pathsOf(repository: Repository, treeId: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path, node } of listTree(repository, { treeId, recursive: true }))
    paths.push(node.type === 'file' ? `${path} ${node.content?.length}` : path);
  return paths;
}

/** The sample without the blobs `a2` and `b`: their pack is replaced by one with the others. */
async function loseBlobs(folder: ScratchFolder): Promise<SampleRepository> {
  const sample = await makeSample(folder);
  const { repository, contents, dataPack } = sample;
  await rm(packPath(folder, dataPack));
  await storePack(repository, 'data', [contents.a1, contents.c]);
  await (await planIndexRepair(await reopen(folder))).run();
  return sample;
}

describe('a repair of snapshots', () => {
  test('changes nothing when nothing is lost', async () => {
    await using folder = await ScratchFolder.create();
    await makeSample(folder);
    expect(await repair(folder, { forget: true })).toEqual({
      plan: { examined: 2, snapshots: [], affected: [], affectedCount: 0, affectedSnapshots: [] },
      result: { repaired: [], removed: [] },
    });
    await expectWhole(folder);
  });

  test('takes lost parts out of files and notes where the new snapshots come from', async () => {
    await using folder = await ScratchFolder.create();
    const { contents, older, newer } = await loseBlobs(folder);
    const { plan, result } = await repair(folder, { forget: true });
    expect(plan.affected.map(({ snapshotId, path }) => [snapshotId, path])).toEqual([
      [newer, '/a'],
      [older, '/a'],
      [older, '/b'],
    ]);
    expect(plan.snapshots).toEqual([
      { snapshotId: older, time: '2026-01-02T03:04:05Z', action: 'rewrite', count: 2, newTree: hexId, remove: true },
      { snapshotId: newer, time: '2026-02-02T03:04:05Z', action: 'rewrite', count: 1, newTree: hexId, remove: true },
    ]);
    expect(result.removed).toEqual([older, newer]);
    const repository = await reopen(folder);
    const snapshots = await repository.listSnapshots();
    expect(snapshots).toMatchObject([
      { original: older, time: '2026-01-02T03:04:05Z', paths: ['/x'], hostname: 'h' },
      { original: newer, time: '2026-02-02T03:04:05Z' },
    ]);
    expect(snapshots.map(({ tags }) => tags)).toEqual([undefined, undefined]);
    expect(await pathsOf(repository, snapshots[0]!.tree)).toEqual(['/a 1', '/b 0', '/sub', '/sub/c 1']);
    const files = await Array.fromAsync(listTree(repository, { treeId: snapshots[0]!.tree }));
    expect(files.map(({ node }) => node.size)).toEqual([contents.a1.length, 0, 0]);
    await expectWhole(folder);
    if (noRestic) return;
    await folder.restic(['restore', 'latest', '--target', join(folder.path, 'restored')]);
    expect(Buffer.compare(await readFile(join(folder.path, 'restored/a')), contents.a1)).toBe(0);
  });

  test('keeps the broken ones unless told to forget them, and tells the new ones by a tag', async () => {
    await using folder = await ScratchFolder.create();
    const { older, newer } = await loseBlobs(folder);
    const first = await repair(folder);
    expect(first.result).toMatchObject({ removed: [], repaired: [{ snapshotId: older }, { snapshotId: newer }] });
    const snapshots = await (await reopen(folder)).listSnapshots();
    expect(snapshots).toHaveLength(4);
    expect(snapshots.filter(({ tags }) => tags?.includes('repaired')).map(({ original }) => original)).toEqual([
      older,
      newer,
    ]);
    // Again: the same new snapshots, not more of them; and now the broken ones go.
    expect((await repair(folder)).result.repaired).toEqual(first.result.repaired);
    expect((await repair(folder, { forget: true })).result).toEqual({
      repaired: first.result.repaired,
      removed: [older, newer],
    });
    expect(await (await reopen(folder)).listSnapshots()).toHaveLength(2);
    await expectWhole(folder);
  });

  test('looks only at the snapshots that are named', async () => {
    await using folder = await ScratchFolder.create();
    const { older, newer } = await loseBlobs(folder);
    await expect(repair(folder, { names: ['0'.repeat(64)] })).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' });
    expect((await repair(folder, { filter: { hosts: ['other'] } })).plan.examined).toBe(0);
    const { plan, result } = await repair(folder, { names: [newer.slice(0, 12), 'latest'], forget: true });
    expect(plan.examined).toBe(1);
    expect(result.removed).toEqual([newer]);
    expect((await (await reopen(folder)).listSnapshots()).map(({ id }) => id)).toContain(older);
  });

  test('empties a folder whose list of entries is lost', async () => {
    await using folder = await ScratchFolder.create();
    const { subtreePack } = await makeSample(folder);
    await rm(packPath(folder, subtreePack));
    await (await planIndexRepair(await reopen(folder))).run();
    const { plan } = await repair(folder, { forget: true });
    expect(plan.affected.map(({ path, type }) => `${path} ${type}`)).toEqual(['/sub folder', '/sub folder']);
    const repository = await reopen(folder);
    const [older] = await repository.listSnapshots();
    expect(await pathsOf(repository, older!.tree)).toEqual(['/a 2', '/b 1', '/sub']);
    await expectWhole(folder);
  });

  test('removes a snapshot without a root only when told to forget', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, treePack, older } = await makeSample(folder);
    const tree = treeBlob([{ name: 'z', content: [], size: 0 }]);
    await storePack(repository, 'tree', [tree]);
    await repository.saveSnapshot({ time: '2026-03-02T03:04:05Z', tree: idOf(repository, tree), paths: ['/z'] });
    await rm(packPath(folder, treePack));
    await (await planIndexRepair(await reopen(folder))).run();
    const { plan, result } = await repair(folder);
    expect(plan.snapshots.map(({ action }) => action)).toEqual(['drop', 'drop']);
    expect(result).toEqual({ repaired: [], removed: [] });
    expect((await repair(folder, { forget: true })).result.removed).toContain(older);
    expect(await (await reopen(folder)).listSnapshots()).toHaveLength(1);
    // The folder that the lost roots led to is not lost.
    const recovery = await planRecovery(await reopen(folder));
    expect(recovery.plan.roots.map(({ firstEntries }) => firstEntries)).toEqual([['c']]);
    await expectWhole(folder);
  });

  test('sorts trees that are out of order, and takes out entries that cannot be restored', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents } = await makeSample(folder);
    const file = (name: string) => ({
      name,
      content: [idOf(repository, contents.c)],
      size: contents.c.length,
    });
    const tree = treeBlob([
      file('b'),
      file('a'),
      file('../x'),
      { ...file('a'), content: [] },
      { name: 'n', content: null, size: 3 },
      { name: 'odd', type: 'irregular' },
      { name: 'gone', type: 'dir', subtree: null },
      { ...file('size'), size: 7 },
      { name: 'what', type: 'unheard-of' },
    ]);
    await storePack(repository, 'tree', [tree]);
    await repository.saveSnapshot({ time: '2026-03-02T03:04:05Z', tree: idOf(repository, tree), paths: ['/y'] });
    const { plan } = await repair(folder, { forget: true });
    expect(plan.affected.map(({ path, reason }) => `${path}: ${reason}`)).toEqual([
      expect.stringMatching(/^\/: .*no subtree, and 2 more$/),
      '/n: it has no list of its content',
      '/odd: it is of no known kind; it is left out',
      expect.stringMatching(/^\/size: its size is noted as 7 bytes, its content has \d+$/),
      expect.stringMatching(/^\/gone: its list of entries cannot be read/),
    ]);
    const repaired = await reopen(folder);
    const newest = (await repaired.listSnapshots()).at(-1);
    expect(await pathsOf(repaired, newest!.tree)).toEqual(['/a 1', '/b 1', '/gone', '/n 0', '/size 1']);
    await expectWhole(folder);
  });

  test('tells of snapshot files that cannot be read, and removes them only when all are looked at', async () => {
    await using folder = await ScratchFolder.create();
    const { older, newer } = await makeSample(folder);
    await flipBit(join(folder.repo, 'snapshots', older), 40);
    expect((await repair(folder, { names: ['latest'], forget: true })).plan.snapshots).toEqual([]);
    expect((await repair(folder, { filter: { hosts: ['h'] }, forget: true })).plan.snapshots).toEqual([]);
    expect((await repair(folder)).plan.snapshots).toMatchObject([{ action: 'unreadable', remove: false }]);
    expect((await repair(folder, { forget: true })).result.removed).toEqual([older]);
    expect((await (await reopen(folder)).listSnapshots()).map(({ id }) => id)).toEqual([newer]);
    const { plan, run } = await planRecovery(await reopen(folder));
    expect(plan.roots.map(({ firstEntries }) => firstEntries)).toEqual([['a', 'b', 'sub']]);
    await run();
    await expectWhole(folder);
  });

  test('changes nothing when only planned, and nothing after it was cancelled', async () => {
    await using folder = await ScratchFolder.create();
    await loseBlobs(folder);
    const before = await readdir(folder.repo, { recursive: true });
    const { run } = await planSnapshotRepair(await reopen(folder), { forget: true });
    await expect(run({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await readdir(folder.repo, { recursive: true })).toEqual(before);
  });

  test('changes no snapshot when the storage reads differently than for the plan', async () => {
    await using folder = await ScratchFolder.create();
    const { subtreePack, older, newer } = await loseBlobs(folder);
    const { run } = await planSnapshotRepair(await reopen(folder), { forget: true });
    await change(packPath(folder, subtreePack), (bytes) => bytes.fill(0));
    await expect(run()).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
      message: expect.stringContaining('No snapshot was changed'),
    });
    expect((await (await reopen(folder)).listSnapshots()).map(({ id }) => id)).toEqual([older, newer]);
  });

  test('refuses an index that promises what is gone', async () => {
    await using folder = await ScratchFolder.create();
    const { dataPack } = await makeSample(folder);
    await rm(packPath(folder, dataPack));
    await expect(planSnapshotRepair(await reopen(folder))).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
      message: expect.stringContaining(dataPack),
      hint: expect.stringContaining('varve repo repair index'),
    });
  });

  test('that ends early at any change leaves every snapshot, and is completed by the next one', async () => {
    for (const kind of ['before', 'after', 'torn'] as const) {
      let failingCall = 1;
      for (; ; failingCall++) {
        await using folder = await ScratchFolder.create();
        const { older, newer } = await loseBlobs(folder);
        const storage = new FaultyStorage(folder.storage(), { failingCall, kind });
        const { run } = await planSnapshotRepair(
          await openRepository({ storage, password: new Secret(resticPassword) }),
          { forget: true },
        );
        const failure = await run().then(
          () => null,
          (error: unknown) => error,
        );
        const order = storage.calls.map(({ call, handle }) => `${call} ${handle.type}`);
        const ranks = ['save pack', 'save index', 'save snapshot', 'remove snapshot'];
        expect(order).toEqual(order.toSorted((a, b) => ranks.indexOf(a) - ranks.indexOf(b)));
        // Half an index file stands in the way of everything but its own repair.
        if (kind === 'torn') await (await planIndexRepair(await reopen(folder))).run();
        await repair(folder, { forget: true });
        const snapshots = await (await reopen(folder)).listSnapshots();
        expect(snapshots.map(({ original }) => original)).toEqual([older, newer]);
        expect((await checkData(folder)).errors).toEqual([]);
        if (failure === null) break;
        expect(failure).toMatchObject({ code: 'STORAGE_UNREACHABLE' });
      }
      expect(failingCall).toBe(7);
    }
  });
});

describe.skipIf(noRestic)(`a repository of restic${noRestic ? ` (${noRestic})` : ''}`, () => {
  test('with a lost pack has its snapshots repaired so that restic restores them', async () => {
    await using folder = await ScratchFolder.create();
    await folder.restic(['init']);
    const source = join(import.meta.dirname, '../src');
    await folder.restic(['backup', source, '--tag', 'one']);
    const damaged = await reopen(folder);
    await damaged.loadIndex();
    const pack = [...damaged.index.packs()].find(({ blobs }) => blobs[0]?.type === 'data');
    await rm(packPath(folder, pack!.packId));
    await (await planIndexRepair(await reopen(folder))).run();
    const { plan } = await repair(folder, { forget: true });
    expect(plan.affectedCount).toBeGreaterThan(0);
    expect(plan.affected[0]?.path).toContain(source);
    await expectWhole(folder);
    await folder.restic(['restore', 'latest', '--tag', 'one', '--target', join(folder.path, 'restored')]);
    expect(await readdir(join(folder.path, 'restored', source))).toContain('index.ts');
  });
});
