import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import { openRepository, planIndexRepair, type IndexRepairPlan, type Repository } from '@varve/repository';
import { FaultyStorage } from '@varve/testing';
import { describe, expect, test, vi } from 'vitest';
import { encodeGoJson } from '../src/store/go-json.ts';
import { resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';
import {
  change,
  checkData,
  flipBit,
  makeSample,
  packPath,
  placeOf,
  reopen,
  storePack,
  type SampleRepository,
} from './small-repository.ts';

vi.setConfig({ testTimeout: 60_000 });

const noRestic = resticMissing();

const indexFiles = (folder: ScratchFolder): Promise<string[]> => readdir(join(folder.repo, 'index'));

async function repair(folder: ScratchFolder, options: { readAllPacks?: boolean } = {}): Promise<IndexRepairPlan> {
  const { plan, run } = await planIndexRepair(await reopen(folder), options);
  await run();
  return plan;
}

/** Ours and restic's check are content, and there is nothing left to repair. */
async function expectWhole(folder: ScratchFolder): Promise<void> {
  expect(await checkData(folder)).toMatchObject({ errors: [], warnings: [] });
  expect((await planIndexRepair(await reopen(folder))).plan).toMatchObject({ isNeeded: false, packsRead: 0 });
  if (!noRestic) expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
}

/** An index file that lists the pack with a blob that it does not hold. */
async function listWrongly({ saveUnpacked }: Pick<Repository, 'saveUnpacked'>, packId: string): Promise<void> {
  const blob = { id: '11'.repeat(32), type: 'data', offset: 0, length: 100 };
  await saveUnpacked('index', encodeGoJson({ supersedes: ['22'.repeat(32)], packs: [{ id: packId, blobs: [blob] }] }));
}

describe('a repair of the index', () => {
  test('does nothing when nothing is wrong, whether or not it reads all packs', async () => {
    await using folder = await ScratchFolder.create();
    await makeSample(folder);
    const before = await indexFiles(folder);
    expect(await repair(folder)).toMatchObject({ isNeeded: false, packsRead: 0, packs: 3 });
    expect(await repair(folder, { readAllPacks: true })).toMatchObject({ isNeeded: false, packsRead: 3 });
    expect((await indexFiles(folder)).sort()).toEqual(before.sort());
  });

  test('rebuilds it when all index files are gone', async () => {
    await using folder = await ScratchFolder.create();
    const { dataPack, treePack, subtreePack } = await makeSample(folder);
    for (const name of await indexFiles(folder)) await rm(join(folder.repo, 'index', name));
    expect((await repair(folder)).addedPacks).toEqual([dataPack, treePack, subtreePack].sort());
    await expectWhole(folder);
  });

  test('replaces index files that cannot be read or are not JSON, and leaves the others alone', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSample(folder);
    const [first, ...others] = (await indexFiles(folder)).sort() as [string, string, string];
    await flipBit(join(folder.repo, 'index', first), 30);
    const noIndex = await repository.saveUnpacked('index', Buffer.from('["nonsense"]'));
    const plan = await repair(folder);
    expect(plan.damagedFiles.map(({ name }) => name).sort()).toEqual([first, noIndex].sort());
    expect(plan.obsoleteFiles).toEqual([first, noIndex].sort());
    expect(await indexFiles(folder)).toEqual(expect.arrayContaining(others));
    expect(await indexFiles(folder)).toHaveLength(3);
    await expectWhole(folder);
  });

  test('merges packs that several files list, rightly or not, and ignores supersedes', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, dataPack, treePack } = await makeSample(folder);
    await listWrongly({ saveUnpacked: repository.saveUnpacked.bind(repository) }, dataPack);
    const listing = [...repository.index.packs()].find(({ packId }) => packId === treePack);
    await repository.saveRepairedIndexFile([listing!]);
    const plan = await repair(folder);
    expect(plan).toMatchObject({ duplicatePacks: [dataPack, treePack].sort(), changedPacks: [dataPack], packsRead: 1 });
    await expectWhole(folder);
  });

  test('forgets packs that are gone, and tells which', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSample(folder);
    const gone = await storePack(repository, 'data', [Buffer.from('nobody needs this')]);
    await rm(packPath(folder, gone));
    expect((await repair(folder)).missingPacks).toEqual([gone]);
    await expectWhole(folder);
  });

  test('believes a pack, not a list that lags behind', async () => {
    await using folder = await ScratchFolder.create();
    const { dataPack } = await makeSample(folder);
    const storage = folder.storage();
    const list = storage.list.bind(storage);
    storage.list = async function* (type, options) {
      for await (const file of list(type, options)) if (file.name !== dataPack) yield file;
    };
    const repository = await openRepository({ storage, password: new Secret(resticPassword) });
    expect((await planIndexRepair(repository)).plan).toMatchObject({ isNeeded: false, missingPacks: [] });
  });

  test('finds what only the packs can tell when all are read', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, dataPack } = await makeSample(folder);
    const listing = [...repository.index.packs()].find(({ packId }) => packId === dataPack)!;
    const [first, ...others] = listing.blobs;
    const blobs = [{ ...first!, id: '33'.repeat(32) }, ...others];
    for (const name of await indexFiles(folder)) await rm(join(folder.repo, 'index', name));
    await repository.saveRepairedIndexFile([{ packId: dataPack, blobs }]);
    expect((await repair(folder)).changedPacks).toEqual([]);
    expect((await checkData(folder)).errors.map(({ code }) => code)).toContain('PACK_HEADER_DIFFERENT');
    expect((await repair(folder, { readAllPacks: true })).changedPacks).toEqual([dataPack]);
    await expectWhole(folder);
  });

  test('keeps what a pack that was cut short still holds, and nothing beyond its end', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, contents, dataPack } = await makeSample(folder);
    const { offset } = placeOf(repository, 'data', contents.c);
    await change(packPath(folder, dataPack), (bytes) => bytes.subarray(0, offset + 10));
    const plan = await repair(folder);
    expect(plan.unreadablePacks).toEqual([{ packId: dataPack, reason: expect.stringContaining(dataPack) }]);
    const repaired = await reopen(folder);
    await repaired.loadIndex();
    const { engine } = repaired;
    const known = Object.entries(contents).filter(([, content]) => repaired.index.has('data', engine.sha256(content)));
    expect(known.map(([name]) => name)).toEqual(['a1', 'a2', 'b']);
    expect((await planIndexRepair(await reopen(folder))).plan).toMatchObject({ isNeeded: false, packsRead: 1 });
    // Nothing of it at all.
    await change(packPath(folder, dataPack), (bytes) => bytes.subarray(0, 5));
    await repair(folder);
    expect((await checkData(folder)).errors.map(({ code }) => code)).not.toContain('PACK_SIZE_WRONG');
  });

  test('leaves an upload that was torn unlisted', async () => {
    await using folder = await ScratchFolder.create();
    const { repository } = await makeSample(folder);
    const name = '44'.repeat(32);
    await repository.storage.save({ type: 'pack', name }, Buffer.alloc(500, 7));
    const plan = await repair(folder);
    expect(plan).toMatchObject({ isNeeded: false, unreadablePacks: [{ packId: name }] });
  });

  test('writes nothing when only planned, and nothing after it was cancelled', async () => {
    await using folder = await ScratchFolder.create();
    await makeSample(folder);
    for (const name of await indexFiles(folder)) await rm(join(folder.repo, 'index', name));
    const { run } = await planIndexRepair(await reopen(folder));
    expect(await indexFiles(folder)).toEqual([]);
    await expect(run({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await indexFiles(folder)).toEqual([]);
  });
});

/** One file that cannot be read, one pack that is gone, one that is listed twice and once wrongly. */
async function damageIndex(folder: ScratchFolder): Promise<SampleRepository> {
  const sample = await makeSample(folder);
  const { repository, dataPack } = sample;
  const [first] = await indexFiles(folder);
  await flipBit(join(folder.repo, 'index', first!), 30);
  await listWrongly({ saveUnpacked: repository.saveUnpacked.bind(repository) }, dataPack);
  const gone = await storePack(repository, 'data', [Buffer.from('nobody needs this')]);
  await rm(packPath(folder, gone));
  return sample;
}

describe('a repair of the index that ends early', () => {
  test('at any change, before, in or after it, is completed by the next one', async () => {
    for (const kind of ['before', 'after', 'torn'] as const) {
      let failingCall = 1;
      for (; ; failingCall++) {
        await using folder = await ScratchFolder.create();
        await damageIndex(folder);
        const storage = new FaultyStorage(folder.storage(), { failingCall, kind });
        const repository = await openRepository({ storage, password: new Secret(resticPassword) });
        const { run } = await planIndexRepair(repository);
        const failure = await run().then(
          () => null,
          (error: unknown) => error,
        );
        const calls = storage.calls.map(({ call }) => call);
        expect(calls.lastIndexOf('save')).toBeLessThan(calls.includes('remove') ? calls.indexOf('remove') : 99);
        await repair(folder);
        expect(await checkData(folder)).toMatchObject({ errors: [], warnings: [] });
        if (failure === null) break;
        expect(failure).toMatchObject({ code: 'STORAGE_UNREACHABLE' });
      }
      expect(failingCall).toBeGreaterThan(3);
    }
  });
});

describe.skipIf(noRestic)(`a repository of restic${noRestic ? ` (${noRestic})` : ''}`, () => {
  test('has its index rebuilt so that restic reads everything', async () => {
    await using folder = await ScratchFolder.create();
    await folder.restic(['init']);
    await folder.restic(['backup', join(import.meta.dirname, '../src')]);
    for (const name of await indexFiles(folder)) await rm(join(folder.repo, 'index', name));
    await repair(folder);
    await expectWhole(folder);
    const restored = join(folder.path, 'restored');
    await folder.restic(['restore', 'latest', '--target', restored]);
    expect(await readdir(join(restored, import.meta.dirname, '../src'))).toContain('index.ts');
  });
});
