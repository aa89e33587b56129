// Single files, written by threads that are kept: the same bytes and the same errors as reading them.

import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FileFetcher, readFileContent, type Repository } from '@varve/repository';
import { expect, test } from 'vitest';
import { PackBuilder } from '../src/pack/pack-builder.ts';
import { PackUploader } from '../src/pack/pack-uploader.ts';
import { ScratchFolder } from './restic-oracle.ts';
import { flipBit, idOf, packPath, storePack, treeBlob } from './small-repository.ts';

/** A tree with files of these blobs; a file's size is that of its blobs unless told. */
async function treeOf(
  repository: Repository,
  files: Readonly<Record<string, { readonly blobs: readonly Uint8Array[]; readonly size?: number }>>,
): Promise<string> {
  const inOrder = Object.entries(files).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const nodes = inOrder.map(([name, { blobs, size }]) => ({
    name,
    content: blobs.map((blob) => idOf(repository, blob)),
    size: size ?? blobs.reduce((sum, { length }) => sum + length, 0),
  }));
  const tree = treeBlob(nodes);
  await storePack(repository, 'tree', [tree]);
  return idOf(repository, tree);
}

test('files are written whole, several at once, with blobs that repeat and come from several packs', async () => {
  await using folder = await ScratchFolder.create();
  const repository = await folder.createRepository();
  const [a, b, c] = [randomBytes(300_000), Buffer.alloc(200_000, 'text '), Buffer.alloc(100_000)];
  await storePack(repository, 'data', [a, b]);
  await storePack(repository, 'data', [c]);
  const files = { one: [a, c, b, c, a], two: [c], three: [b, a], empty: [] };
  const wanted = Object.fromEntries(Object.entries(files).map(([name, blobs]) => [name, { blobs }]));
  const treeId = await treeOf(repository, wanted);
  await using fetcher = await FileFetcher.open(repository, { workers: 2 });
  const rounds = [0, 1, 2].flatMap((round) => Object.entries(files).map(([name, blobs]) => ({ round, name, blobs })));
  await Promise.all(
    rounds.map(async ({ round, name, blobs }) => {
      const target = join(folder.path, `${name}-${round}`);
      await writeFile(target, '');
      const content = Buffer.concat(blobs);
      expect(await fetcher.fetch({ treeId, path: `/${name}`, target })).toBe(content.length);
      expect((await readFile(target)).equals(content)).toBe(true);
    }),
  );
});

test('damage is told in the words of a reader, and other files are fetched afterwards', async () => {
  await using folder = await ScratchFolder.create();
  const repository = await folder.createRepository();
  const [good, flipped, lost, unknown, wanted, stored] = Array.from({ length: 6 }, () => randomBytes(50_000)) as [
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
    Buffer,
  ];
  await storePack(repository, 'data', [good]);
  const flippedPack = await storePack(repository, 'data', [flipped]);
  const lostPack = await storePack(repository, 'data', [lost]);
  // Sealed with the right key and of the right length, and still another content than the index says.
  const builder = new PackBuilder({ engine: repository.engine, key: repository.key, type: 'data' });
  builder.add(repository.engine.sha256(wanted), stored);
  const uploader = new PackUploader(repository);
  await uploader.add(builder.finish());
  await uploader.flush();
  const treeId = await treeOf(repository, {
    good: { blobs: [good] },
    flipped: { blobs: [good, flipped] },
    lost: { blobs: [good, lost] },
    unknown: { blobs: [good, unknown] },
    wrong: { blobs: [good, wanted] },
    short: { blobs: [good], size: 50_001 },
  });
  await flipBit(packPath(folder, flippedPack), 8 * 1000);
  await rm(packPath(folder, lostPack));
  await using fetcher = await FileFetcher.open(repository, { workers: 1 });
  const reasons = {
    flipped: /was changed|not authentic|does not/,
    lost: new RegExp(lostPack.slice(0, 8)),
    unknown: /not in the index/,
    wrong: /has the hash/,
    short: /50000 bytes, but its record says 50001/,
    'not-there': /holds no/,
  };
  for (const [name, reason] of Object.entries(reasons)) {
    const path = `/${name}`;
    const read = await Array.fromAsync(readFileContent(repository, { treeId, path })).catch((error: unknown) => error);
    const target = join(folder.path, name);
    const error = await fetcher.fetch({ treeId, path, target }).catch((thrown: unknown) => thrown);
    const { code, message } = read as { code: string; message: string };
    expect(error, name).toMatchObject({ code, message });
    expect(message, name).toMatch(reason);
  }
  expect(await fetcher.fetch({ treeId, path: '/good', target: join(folder.path, 'good') })).toBe(50_000);
  expect((await readFile(join(folder.path, 'good'))).equals(good)).toBe(true);
});

test('another copy is taken for one that is damaged', async () => {
  await using folder = await ScratchFolder.create();
  const repository = await folder.createRepository();
  const blob = randomBytes(10_000);
  const first = await storePack(repository, 'data', [blob]);
  const second = await storePack(repository, 'data', [blob]);
  const treeId = await treeOf(repository, { file: { blobs: [blob] } });
  await using fetcher = await FileFetcher.open(repository, { workers: 1 });
  for (const [name, pack] of [
    ['second', first],
    ['none', second],
  ] as const) {
    await flipBit(packPath(folder, pack), 8 * 1000);
    const target = join(folder.path, name);
    const fetched = fetcher.fetch({ treeId, path: '/file', target });
    if (name === 'none') await expect(fetched).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    else {
      expect(await fetched).toBe(10_000);
      expect((await readFile(target)).equals(blob)).toBe(true);
    }
  }
});

test('after a cancellation nothing is written', async () => {
  await using folder = await ScratchFolder.create();
  const repository = await folder.createRepository();
  const blob = randomBytes(10_000);
  await storePack(repository, 'data', [blob]);
  const treeId = await treeOf(repository, { file: { blobs: [blob] } });
  await using fetcher = await FileFetcher.open(repository, { workers: 1 });
  const target = join(folder.path, 'target');
  const fetched = fetcher.fetch({ treeId, path: '/file', target, signal: AbortSignal.abort() });
  await expect(fetched).rejects.toMatchObject({ code: 'CANCELLED' });
  await expect(readFile(target)).rejects.toMatchObject({ code: 'ENOENT' });
});
