import { randomBytes, randomInt } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { listTree, planIndexRepair, planSnapshotRepair, type Repository } from '@varve/repository';
import { expect, test, vi } from 'vitest';
import { resticMissing, ScratchFolder } from './restic-oracle.ts';
import { seededRandom } from './seeded-random.ts';
import { checkData, idOf, packPath, reopen, storePack, treeBlob } from './small-repository.ts';

// By hand, longer: VARVE_SEED=1 VARVE_RUNS=200 npx vitest run packages/repository/test/repair-random.test.ts
const seed = Number(process.env['VARVE_SEED'] ?? randomInt(2 ** 31));
const runs = Number(process.env['VARVE_RUNS'] ?? 6);

vi.setConfig({ testTimeout: 60_000 + runs * 5000 });

const noRestic = resticMissing();

type ModelNode =
  | { readonly name: string; readonly type: 'file'; readonly blobs: readonly number[] }
  | { readonly name: string; readonly type: 'dir'; readonly folder: ModelFolder };

interface ModelFolder {
  readonly nodes: readonly ModelNode[];
  readonly treeId: string;
  readonly tree: Buffer;
}

interface Loss {
  readonly blobs: ReadonlySet<number>;
  readonly trees: ReadonlySet<string>;
}

function makeFolders(
  repository: Repository,
  { blobs, next }: { blobs: readonly Buffer[]; next: (below: number) => number },
): ModelFolder[] {
  const folders: ModelFolder[] = [];
  for (let i = 0; i < 25; i++) {
    const nodes = Array.from({ length: next(6) }, (_, position): ModelNode => {
      const folder = folders[next(folders.length + 1)];
      const name = `n${position}`;
      if (folder && next(2) === 0) return { name, type: 'dir', folder };
      return { name, type: 'file', blobs: Array.from({ length: next(4) }, () => next(blobs.length)) };
    });
    const tree = treeBlob(
      nodes.map((node) => {
        if (node.type === 'dir') return { name: node.name, type: 'dir', subtree: node.folder.treeId };
        const content = node.blobs.map((blob) => idOf(repository, blobs[blob]!));
        return { name: node.name, content, size: node.blobs.reduce((sum, blob) => sum + blobs[blob]!.length, 0) };
      }),
    );
    folders.push({ nodes, tree, treeId: idOf(repository, tree) });
  }
  return folders;
}

function affectedPaths(folder: ModelFolder, loss: Loss, path = ''): string[] {
  if (loss.trees.has(folder.treeId)) return [path === '' ? '/' : path];
  return folder.nodes.flatMap((node) => {
    const own = `${path}/${node.name}`;
    if (node.type === 'dir') return affectedPaths(node.folder, loss, own);
    return node.blobs.some((blob) => loss.blobs.has(blob)) ? [own] : [];
  });
}

function remaining(folder: ModelFolder, loss: Loss, path = ''): string[] {
  if (loss.trees.has(folder.treeId)) return [];
  return folder.nodes.flatMap((node) => {
    const own = `${path}/${node.name}`;
    if (node.type === 'dir') return [own, ...remaining(node.folder, loss, own)];
    return [`${own} ${node.blobs.filter((blob) => !loss.blobs.has(blob)).length}`];
  });
}

/** Stores what is kept in one pack of each kind, and what is to be lost in another. */
async function storeSplit<Item>(
  repository: Repository,
  type: 'data' | 'tree',
  split: { items: readonly Item[]; isLost: (item: Item) => boolean; bytesOf: (item: Item) => Buffer },
): Promise<string[]> {
  const { items, isLost, bytesOf } = split;
  const kept = items.filter((item) => !isLost(item)).map(bytesOf);
  const lost = items.filter(isLost).map(bytesOf);
  if (kept.length > 0) await storePack(repository, type, kept);
  return lost.length > 0 ? [await storePack(repository, type, lost)] : [];
}

async function runOnce(next: (below: number) => number, withRestic: boolean): Promise<void> {
  await using folder = await ScratchFolder.create();
  const repository = await folder.createRepository();
  const blobs = Array.from({ length: 30 }, () => randomBytes(50));
  const folders = makeFolders(repository, { blobs, next });
  const trees = [...new Map(folders.map((item) => [item.treeId, item])).values()];
  const loss: Loss = {
    blobs: new Set(blobs.keys().filter(() => next(10) === 0)),
    trees: new Set(trees.map(({ treeId }) => treeId).filter(() => next(12) === 0)),
  };
  const roots = [folders.at(-1)!, folders.at(-2)!, folders[next(20)]!];
  const lostPacks = [
    ...(await storeSplit(repository, 'data', {
      items: [...blobs.keys()],
      isLost: (blob) => loss.blobs.has(blob),
      bytesOf: (blob) => blobs[blob]!,
    })),
    ...(await storeSplit(repository, 'tree', {
      items: trees,
      isLost: ({ treeId }) => loss.trees.has(treeId),
      bytesOf: ({ tree }) => tree,
    })),
  ];
  const ids: string[] = [];
  for (const [day, { treeId }] of roots.entries())
    ids.push(
      (await repository.saveSnapshot({ time: `2026-01-0${day + 1}T00:00:00Z`, tree: treeId, paths: ['/x'] })).id,
    );
  for (const packId of lostPacks) await rm(packPath(folder, packId));

  const expected = roots.flatMap((root, i) => affectedPaths(root, loss).map((path) => `${ids[i]} ${path}`));
  const report = await checkData(folder);
  expect(report.affected.map(({ snapshotId, path }) => `${snapshotId} ${path}`).sort()).toEqual(expected.sort());
  expect(report.affectedCount).toBe(expected.length);

  await (await planIndexRepair(await reopen(folder))).run();
  const { plan, run } = await planSnapshotRepair(await reopen(folder), { forget: true });
  expect(plan.affected.map(({ snapshotId, path }) => `${snapshotId} ${path}`).sort()).toEqual(expected);
  await run();
  expect(await checkData(folder)).toMatchObject({ errors: [], warnings: [] });
  if (withRestic) expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
  const repaired = await reopen(folder);
  const after: string[][] = [];
  for (const { tree } of await repaired.listSnapshots()) {
    const paths: string[] = [];
    for await (const { path, node } of listTree(repaired, { treeId: tree, recursive: true }))
      paths.push(node.type === 'dir' ? path : `${path} ${node.content?.length}`);
    after.push(paths);
  }
  const left = roots.filter(({ treeId }) => !loss.trees.has(treeId));
  expect(after).toEqual(left.map((root) => remaining(root, loss)));
}

test(`random losses are told exactly, and repaired to exactly what is left (VARVE_SEED=${seed})`, async () => {
  const next = seededRandom(seed);
  for (let run = 0; run < runs; run++) await runOnce(next, !noRestic && run < 2);
});
