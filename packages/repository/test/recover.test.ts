import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import { listTree, openRepository, planRecovery, type Snapshot } from '@varve/repository';
import { FaultyStorage } from '@varve/testing';
import { describe, expect, test, vi } from 'vitest';
import { namesOf } from '../src/repair/recover.ts';
import { resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';
import { change, checkData, makeSample, packPath, reopen } from './small-repository.ts';

vi.setConfig({ testTimeout: 60_000 });

const noRestic = resticMissing();
const clock = { now: (): Date => new Date('2026-05-01T00:00:00Z') };

async function forget(folder: ScratchFolder, ...ids: string[]): Promise<void> {
  for (const id of ids) await rm(join(folder.repo, 'snapshots', id));
}

async function recovered(folder: ScratchFolder): Promise<Snapshot | undefined> {
  const snapshots = await (await reopen(folder)).listSnapshots();
  return snapshots.find(({ tags }) => tags?.includes('recovered'));
}

async function pathsOf(folder: ScratchFolder, treeId: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of listTree(await reopen(folder), { treeId, recursive: true })) paths.push(path);
  return paths;
}

describe('a recovery', () => {
  test('finds nothing while every folder is in a snapshot, and nothing after it was run', async () => {
    await using folder = await ScratchFolder.create();
    const { newer, older } = await makeSample(folder);
    const nothing = await planRecovery(await reopen(folder));
    expect(nothing.plan).toMatchObject({ roots: [], unreadableTrees: 0, trees: 3 });
    expect(await nothing.run()).toEqual({ snapshotId: null });
    await forget(folder, newer, older);
    await (await planRecovery(await reopen(folder))).run();
    expect((await planRecovery(await reopen(folder))).plan.roots).toEqual([]);
  });

  test('makes a snapshot of what a removed one held, under the ids of its trees', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, older, newer } = await makeSample(folder);
    const snapshots = await repository.listSnapshots();
    await forget(folder, older);
    const { plan, run } = await planRecovery(await reopen(folder), { clock, hostname: 'rescue' });
    const treeId = snapshots.find(({ id }) => id === older)!.tree;
    const name = treeId.slice(0, 8);
    expect(plan.roots).toEqual([{ treeId, name, entries: 3, firstEntries: ['a', 'b', 'sub'] }]);
    const { snapshotId } = await run();
    const snapshot = await recovered(folder);
    expect(snapshot).toMatchObject({ id: snapshotId, hostname: 'rescue', paths: ['/recover'], tags: ['recovered'] });
    expect(Date.parse(snapshot!.time)).toBe(clock.now().getTime());
    const paths = ['', '/a', '/b', '/sub', '/sub/c'].map((path) => `/${name}${path}`);
    expect(await pathsOf(folder, snapshot!.tree)).toEqual(paths);
    expect(newer).not.toBe(older);
    expect(await checkData(folder)).toMatchObject({ errors: [], warnings: [] });
    if (noRestic) return;
    expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
    const listed = await folder.restic(['ls', snapshotId!]);
    for (const path of paths) expect(listed).toContain(path);
  });

  test('repairs the index before, so that no pack is overlooked', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, newer, older } = await makeSample(folder);
    for (const { name } of await repository.listFiles('index')) await rm(join(folder.repo, 'index', name));
    await forget(folder, newer, older);
    const { plan, run } = await planRecovery(await reopen(folder));
    expect(plan.index.addedPacks).toHaveLength(3);
    expect(plan.roots).toHaveLength(2);
    expect(await repository.listFiles('index')).toEqual([]);
    await run();
    expect(await checkData(folder)).toMatchObject({ errors: [], warnings: [], snapshots: 1 });
  });

  test('leaves out trees that cannot be read, and takes what they led to', async () => {
    await using folder = await ScratchFolder.create();
    const { repository, subtree, newer, older, treePack } = await makeSample(folder);
    await forget(folder, newer, older);
    const end = [...repository.index.packs()].find(({ packId }) => packId === treePack)!.blobs.at(-1)!;
    await change(packPath(folder, treePack), (bytes) => bytes.fill(1, 0, end.offset + end.length));
    const { plan } = await planRecovery(await reopen(folder));
    expect(plan).toMatchObject({ unreadableTrees: 2, trees: 1, roots: [{ treeId: subtree }] });
  });

  test('names folders by short ids, and by whole ones where short ones would be equal', () => {
    const [a, b, c] = ['12345678a', '12345678b', '22345678a'].map((id) => id.padEnd(64, '0')) as [
      string,
      string,
      string,
    ];
    expect(namesOf([a, b, c])).toEqual([
      [a, a],
      [b, b],
      [c, '22345678'],
    ]);
  });

  test('that ends early at any change is completed by the next one', async () => {
    for (const kind of ['before', 'after'] as const) {
      for (let failingCall = 1; failingCall <= 4; failingCall++) {
        await using folder = await ScratchFolder.create();
        const { newer, older } = await makeSample(folder);
        await forget(folder, newer, older);
        const storage = new FaultyStorage(folder.storage(), { failingCall, kind });
        const repository = await openRepository({ storage, password: new Secret(resticPassword) });
        const { run } = await planRecovery(repository);
        if (failingCall <= 3) await expect(run()).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
        else await run();
        expect(storage.calls.map(({ handle }) => handle.type)).toEqual(
          ['pack', 'index', 'snapshot'].slice(0, failingCall),
        );
        await (await planRecovery(await reopen(folder))).run();
        const snapshot = await recovered(folder);
        expect((await pathsOf(folder, snapshot!.tree)).filter((path) => path.endsWith('/sub/c'))).toHaveLength(2);
        expect(await checkData(folder)).toMatchObject({ errors: [], warnings: [], snapshots: 1 });
      }
    }
  });
});

describe.skipIf(noRestic)(`a repository of restic${noRestic ? ` (${noRestic})` : ''}`, () => {
  test('gives back what restic forgot', async () => {
    await using folder = await ScratchFolder.create();
    await folder.restic(['init']);
    const source = import.meta.dirname;
    await folder.restic(['backup', source]);
    await folder.restic(['forget', 'latest']);
    const { plan, run } = await planRecovery(await reopen(folder));
    expect(plan.roots).toHaveLength(1);
    await run();
    expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
    expect(await folder.restic(['ls', 'latest', '--tag', 'recovered'])).toContain(join(source, 'recover.test.ts'));
    expect(await folder.restic(['recover'])).toContain('no snapshot to write');
  });
});
