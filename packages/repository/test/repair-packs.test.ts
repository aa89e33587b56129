import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import {
  checkRepository,
  keepPackCopy,
  openRepository,
  planIndexRepair,
  planPackRepair,
  type PackRepairPlan,
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
  placeOf,
  reopen,
  storePack,
} from './small-repository.ts';

vi.setConfig({ testTimeout: 60_000 });

const noRestic = resticMissing();

async function repair(folder: ScratchFolder, ...packIds: string[]): Promise<PackRepairPlan> {
  const copies = join(folder.path, 'copies');
  await mkdir(copies, { recursive: true });
  const { plan, run } = await planPackRepair(await reopen(folder), { packIds });
  await run({ keepCopy: async (packId, bytes) => void (await keepPackCopy(copies, packId, bytes)) });
  return plan;
}

/** What is left of a repository after a repair: no damage but the loss that the plan told. */
async function expectLoss(folder: ScratchFolder, paths: readonly string[]): Promise<void> {
  const report = await checkData(folder);
  const isLoss = ({ code }: { readonly code: string }): boolean => code === 'BLOB_MISSING' || code === 'TREE_MISSING';
  expect(report.errors.filter((error) => !isLoss(error))).toEqual([]);
  expect(report.warnings).toEqual([]);
  expect(report.affected.map(({ path }) => path)).toEqual(paths);
  if (noRestic) return;
  const check = folder.restic(['check', '--read-data']);
  if (paths.length === 0) expect(await check).toContain('no errors were found');
  else await expect(check).rejects.toThrow(/not found|not in the index|errors/);
}

describe('a repair of packs', () => {
  test('saves the good blobs of a pack with a damaged one, and names the blob and the files that are lost', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents, dataPack, newer, older } = await makeSample(folder);
    const path = packPath(folder, dataPack);
    await flipBit(path, placeOf(repository, 'data', contents.c).offset + 20);
    const damaged = await readFile(path);
    const plan = await repair(folder, dataPack);
    const c = { type: 'data', id: idOf(repository, contents.c) };
    expect(plan.packs).toEqual([
      {
        packId: dataPack,
        state: 'damaged',
        sizeBytes: damaged.length,
        headerProblem: null,
        blobs: 4,
        salvaged: 3,
        elsewhere: 0,
        lost: [c],
      },
    ]);
    expect(plan).toMatchObject({ salvagedBlobs: 3, lostBlobs: 1, affectedCount: 2 });
    expect(plan.affected.map(({ snapshotId, path: file }) => [snapshotId, file])).toEqual([
      [newer, '/sub/c'],
      [older, '/sub/c'],
    ]);
    expect(await readdir(join(folder.path, 'copies'))).toEqual([`pack-${dataPack}`]);
    expect(Buffer.compare(await readFile(join(folder.path, 'copies', `pack-${dataPack}`)), damaged)).toBe(0);
    expect(await readdir(join(path, '..'))).not.toContain(dataPack);
    await expectLoss(folder, ['/sub/c', '/sub/c']);
  });

  test('goes by the index when the header, or its length, is damaged, or the end is cut off', async () => {
    const damages: ((bytes: Buffer) => Buffer)[] = [
      (bytes) => (bytes.writeUInt8(bytes.at(-1)! ^ 1, bytes.length - 1), bytes),
      (bytes) => (bytes.writeUInt8(bytes.at(-40)! ^ 1, bytes.length - 40), bytes),
      (bytes) => bytes.subarray(0, -20),
      (bytes) => Buffer.concat([bytes, Buffer.from('x')]),
    ];
    for (const damage of damages) {
      await using folder = await ScratchFolder.create();
      const { dataPack } = await makeSample(folder);
      await change(packPath(folder, dataPack), damage);
      const plan = await repair(folder, dataPack);
      expect(plan).toMatchObject({ salvagedBlobs: 4, lostBlobs: 0, affectedCount: 0 });
      expect(plan.packs[0]?.headerProblem).toContain(dataPack);
      await expectLoss(folder, []);
    }
  });

  test('goes by the header when no index lists the pack', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents, dataPack } = await makeSample(folder);
    for (const { name } of await repository.listFiles('index')) await rm(join(folder.repo, 'index', name));
    await flipBit(packPath(folder, dataPack), placeOf(repository, 'data', contents.b).offset + 20);
    expect(await repair(folder, dataPack)).toMatchObject({ salvagedBlobs: 3, lostBlobs: 1 });
    await (await planIndexRepair(await reopen(folder))).run();
    await expectLoss(folder, ['/b']);
  });

  test('loses folders with the pack of their trees, and tells them by path', async () => {
    await using folder = await ScratchFolder.create();
    const { subtreePack } = await makeSample(folder);
    await change(packPath(folder, subtreePack), (bytes) => bytes.fill(0));
    const plan = await repair(folder, subtreePack);
    expect(plan.affected.map(({ path, type }) => `${path} ${type}`)).toEqual(['/sub folder', '/sub folder']);
    await expectLoss(folder, ['/sub', '/sub']);
  });

  test('takes good copies elsewhere into account, those of another damaged pack too', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents, dataPack } = await makeSample(folder);
    await storePack(repository, 'data', [contents.a1]);
    const other = await storePack(repository, 'data', [contents.b, Buffer.from('spoiled')]);
    await change(packPath(folder, dataPack), (bytes) => {
      bytes.fill(1, 0, placeOf(repository, 'data', contents.c).offset);
      return bytes;
    });
    await flipBit(packPath(folder, other), placeOf(repository, 'data', Buffer.from('spoiled')).offset + 20);
    const plan = await repair(folder, dataPack, other);
    expect(plan.packs).toMatchObject([
      { salvaged: 1, elsewhere: 2, lost: [{ id: idOf(repository, contents.a2) }] },
      { salvaged: 1, elsewhere: 0, lost: [{ id: idOf(repository, Buffer.from('spoiled')) }] },
    ]);
    expect(plan.affected.map(({ path }) => path)).toEqual(['/a', '/a']);
    await expectLoss(folder, ['/a', '/a']);
  });

  test('leaves an intact pack alone, and forgets one that is gone', async () => {
    await using folder = await ScratchFolder.create();
    const { dataPack, treePack } = await makeSample(folder);
    await rm(packPath(folder, dataPack));
    const plan = await repair(folder, dataPack, treePack);
    expect(plan.packs).toMatchObject([
      { state: 'missing', salvaged: 0, blobs: 4 },
      { state: 'intact', salvaged: 0, lost: [] },
    ]);
    expect(await readdir(join(folder.path, 'copies'))).toEqual([]);
    await expectLoss(folder, ['/a', '/sub/c', '/a', '/b', '/sub/c']);
  });

  test('refuses names that are none, packs that nobody knows, and an index that cannot be read', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, dataPack } = await makeSample(folder);
    const plan = (packId: string): Promise<unknown> => planPackRepair(repository, { packIds: [packId] });
    await expect(plan(dataPack.slice(0, 8))).rejects.toMatchObject({ code: 'USAGE_INVALID' });
    await expect(plan('00'.repeat(32))).rejects.toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
    const [first] = await repository.listFiles('index');
    await flipBit(join(folder.repo, 'index', first!.name), 20);
    await expect(plan(dataPack)).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
      hint: expect.stringContaining('varve repo repair index'),
    });
  });

  test('changes nothing when the copy cannot be kept', async () => {
    await using folder = await ScratchFolder.create();
    const { dataPack } = await makeSample(folder);
    await flipBit(packPath(folder, dataPack), 20);
    const copies = join(folder.path, 'copies');
    await mkdir(copies);
    await writeFile(join(copies, `pack-${dataPack}`), 'something else');
    const before = await readdir(folder.repo, { recursive: true });
    await expect(repair(folder, dataPack)).rejects.toMatchObject({ code: 'REPAIR_COPY_FAILED' });
    await rm(copies, { recursive: true });
    await writeFile(copies, '');
    await expect(keepPackCopy(copies, dataPack, Buffer.from('x'))).rejects.toMatchObject({
      code: 'REPAIR_COPY_FAILED',
    });
    expect(await readdir(folder.repo, { recursive: true })).toEqual(before);
  });

  test('changes nothing when only planned, and nothing after it was cancelled', async () => {
    await using folder = await ScratchFolder.create();
    const { dataPack } = await makeSample(folder);
    await flipBit(packPath(folder, dataPack), 20);
    const before = await readdir(folder.repo, { recursive: true });
    const { run } = await planPackRepair(await reopen(folder), { packIds: [dataPack] });
    const keepCopy = (): Promise<void> => Promise.reject(new Error('must not be asked'));
    await expect(run({ keepCopy, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await readdir(folder.repo, { recursive: true })).toEqual(before);
  });

  test('removes nothing when the storage reads worse than for the plan, and reads twice what seems bad', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents, dataPack } = await makeSample(folder);
    await flipBit(packPath(folder, dataPack), placeOf(repository, 'data', contents.b).offset);
    const { run } = await planPackRepair(await reopen(folder), { packIds: [dataPack] });
    await flipBit(packPath(folder, dataPack), placeOf(repository, 'data', contents.c).offset);
    await expect(run({ keepCopy: async () => {} })).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
      message: expect.stringContaining(idOf(repository, contents.c)),
    });
    expect((await repository.listFiles('pack')).map(({ name }) => name)).toContain(dataPack);
    const flipsLoad = ({ type }: { type: string }, call: number): boolean => type === 'pack' && call % 2 === 0;
    for (const blob of [contents.b, contents.c])
      await flipBit(packPath(folder, dataPack), placeOf(repository, 'data', blob).offset);
    const storage = new FaultyStorage(folder.storage(), { failingCall: 0, kind: 'before', flipsLoad });
    const flaky = await openRepository({ storage, password: new Secret(resticPassword) });
    expect((await planPackRepair(flaky, { packIds: [dataPack] })).plan.packs).toMatchObject([{ state: 'intact' }]);
  });

  test('that ends early at any change is completed by the next one, and loses no more', async () => {
    for (const kind of ['before', 'after'] as const) {
      let failingCall = 1;
      for (; ; failingCall++) {
        await using folder = await ScratchFolder.create();
        const { repository: sample, contents, dataPack, subtreePack } = await makeSample(folder);
        await flipBit(packPath(folder, dataPack), placeOf(sample, 'data', contents.c).offset + 20);
        await flipBit(packPath(folder, subtreePack), -1);
        const storage = new FaultyStorage(folder.storage(), { failingCall, kind });
        const repository = await openRepository({ storage, password: new Secret(resticPassword) });
        const packIds = [dataPack, subtreePack];
        const { run } = await planPackRepair(repository, { packIds });
        const copies: string[] = [];
        const keepCopy = async (packId: string): Promise<void> => void copies.push(packId);
        const failure = await run({ keepCopy }).then(
          () => null,
          (error: unknown) => error,
        );
        expect(copies).toEqual(packIds);
        const order = storage.calls.map(({ call, handle }) => `${call} ${handle.type}`);
        const ranks = ['save pack', 'save index', 'remove index', 'remove pack'];
        expect(order).toEqual(order.toSorted((a, b) => ranks.indexOf(a) - ranks.indexOf(b)));
        const left = new Set((await sample.listFiles('pack')).map(({ name }) => name));
        if (packIds.some((packId) => left.has(packId))) await repair(folder, ...packIds);
        else await expect(repair(folder, ...packIds)).rejects.toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
        const report = await checkRepository(await reopen(folder), { readData: true });
        expect(report.errors.map(({ code }) => code)).toEqual(['BLOB_MISSING']);
        expect(report.affected.map(({ path }) => path)).toEqual(['/sub/c', '/sub/c']);
        if (failure === null) break;
        expect(failure).toMatchObject({ code: 'STORAGE_UNREACHABLE' });
      }
      expect(failingCall).toBeGreaterThan(6);
    }
  });
});

describe.skipIf(noRestic)(`a repository of restic${noRestic ? ` (${noRestic})` : ''}`, () => {
  test('with a damaged pack is repaired so that restic reads all that is left', async () => {
    await using folder = await ScratchFolder.create();
    await folder.restic(['init']);
    const source = join(import.meta.dirname, '../src');
    await folder.restic(['backup', source]);
    const repository = await reopen(folder);
    await repository.loadIndex();
    const file = await readFile(join(source, 'repository.ts'));
    const { packId, offset } = placeOf(repository, 'data', file);
    await flipBit(packPath(folder, packId), offset + 20);
    const plan = await repair(folder, packId);
    expect(plan.affected.map(({ path }) => path)).toEqual([join(source, 'repository.ts')]);
    const target = join(folder.path, 'restored');
    await folder.restic(['restore', 'latest', '--target', target, '--exclude', 'repository.ts']);
    const whole = await readFile(join(target, source, 'index.ts'));
    expect(Buffer.compare(whole, await readFile(join(source, 'index.ts')))).toBe(0);
    // The next backup stores it again, and everything is whole.
    await folder.restic(['backup', '--force', source]);
    await expectLoss(folder, []);
  });
});
