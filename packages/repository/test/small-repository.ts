// Small repositories that tests make blob by blob, and ways to damage them.

import { randomBytes } from 'node:crypto';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import { checkRepository, openRepository, type CheckReport, type Repository } from '@varve/repository';
import { PackBuilder } from '../src/pack/pack-builder.ts';
import { PackUploader } from '../src/pack/pack-uploader.ts';
import { resticPassword, type ScratchFolder } from './restic-oracle.ts';

const time = '2026-01-02T03:04:05Z';

/** Stores blobs in a pack of their own and yields the pack's id. */
export async function storePack(
  repository: Repository,
  type: 'data' | 'tree',
  blobs: readonly Uint8Array[],
  isIndexed = true,
): Promise<string> {
  const { engine, key } = repository;
  const builder = new PackBuilder({ engine, key, type });
  for (const blob of blobs) builder.add(engine.sha256(blob), blob);
  const pack = builder.finish();
  if (isIndexed) {
    const uploader = new PackUploader(repository);
    await uploader.add(pack);
    await uploader.flush();
  } else {
    await repository.storage.save({ type: 'pack', name: pack.id }, pack.bytes);
  }
  return pack.id;
}

export const idOf = (repository: Repository, blob: Uint8Array): string =>
  repository.engine.sha256(blob).toString('hex');

interface NodeFields {
  readonly name: string;
  readonly type?: string;
  readonly content?: readonly string[] | null;
  readonly size?: number;
  readonly subtree?: string | null;
}

/** A tree blob of nodes as they are given, in their order. */
export function treeBlob(nodes: readonly NodeFields[]): Buffer {
  const common = { mode: 420, mtime: time, atime: time, ctime: time, uid: 0, gid: 0 };
  const encoded = nodes.map(({ name, type = 'file', size, content = null, subtree }) => ({
    name,
    type,
    ...common,
    mode: type === 'dir' ? 2 ** 31 + 0o755 : 0o644,
    size,
    content,
    subtree,
  }));
  return Buffer.from(`${JSON.stringify({ nodes: encoded })}\n`);
}

/** Files `/a` (two blobs), `/b`, `/sub/c` in two snapshots, the newer without `/b`; data, trees, and trees of `/sub` apart. */
export interface SampleRepository {
  readonly repository: Repository;
  /** Contents: `a1` and `a2` of `/a`, `b`, `c`. */
  readonly contents: Readonly<Record<'a1' | 'a2' | 'b' | 'c', Buffer>>;
  readonly dataPack: string;
  readonly treePack: string;
  readonly subtreePack: string;
  readonly subtree: string;
  readonly older: string;
  readonly newer: string;
}

export async function makeSample(folder: ScratchFolder): Promise<SampleRepository> {
  const repository = await folder.createRepository();
  const content = (text: string): Buffer => Buffer.concat([Buffer.from(text.repeat(100)), randomBytes(400)]);
  const contents = { a1: content('a1'), a2: content('a2'), b: content('b'), c: content('c') };
  const file = (name: string, blobs: readonly Buffer[]): NodeFields => ({
    name,
    content: blobs.map((blob) => idOf(repository, blob)),
    size: blobs.reduce((sum, { length }) => sum + length, 0),
  });
  const dataPack = await storePack(repository, 'data', Object.values(contents));
  const sub = treeBlob([file('c', [contents.c])]);
  const subtree = idOf(repository, sub);
  const subtreePack = await storePack(repository, 'tree', [sub]);
  const a = file('a', [contents.a1, contents.a2]);
  const folderNode = { name: 'sub', type: 'dir', subtree };
  const trees = [treeBlob([a, file('b', [contents.b]), folderNode]), treeBlob([a, folderNode])] as const;
  const treePack = await storePack(repository, 'tree', trees);
  const save = async (tree: Buffer, when: string): Promise<string> =>
    (await repository.saveSnapshot({ time: when, tree: idOf(repository, tree), paths: ['/x'], hostname: 'h' })).id;
  const older = await save(trees[0], time);
  const newer = await save(trees[1], '2026-02-02T03:04:05Z');
  return { repository, contents, dataPack, treePack, subtreePack, subtree, older, newer };
}

/** Opens it anew, as another process would. */
export function reopen(folder: ScratchFolder): Promise<Repository> {
  return openRepository({ storage: folder.storage(), password: new Secret(resticPassword) });
}

export async function checkData(folder: ScratchFolder): Promise<CheckReport> {
  return checkRepository(await reopen(folder), { readData: true });
}

export const packPath = (folder: ScratchFolder, id: string): string => join(folder.repo, 'data', id.slice(0, 2), id);

/** Edits a file of the repository, write-protected as it may be. */
export async function change(path: string, edit: (bytes: Buffer) => Buffer): Promise<void> {
  await chmod(path, 0o600);
  await writeFile(path, edit(await readFile(path)));
}

export async function flipBit(path: string, position: number): Promise<void> {
  await change(path, (bytes) => {
    const at = position < 0 ? bytes.length + position : position;
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
    return bytes;
  });
}

/** Where blobs are in their packs. */
export function placeOf(repository: Repository, type: 'data' | 'tree', blob: Uint8Array) {
  const place = repository.index.lookup(type, idOf(repository, blob));
  if (!place) throw new Error('not in the index');
  return place;
}
