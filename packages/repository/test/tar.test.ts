import { execFileSync, spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { listTree, restoreTree, startArchive, streamTar, type Repository } from '@varve/repository';
import { describeTree } from '@varve/testing';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { readTar, type TarEntry } from '../src/tar/read-tar.ts';
import { tarEnd, tarHeader, tarPadding } from '../src/tar/write-tar.ts';
import { isRoot, loadLibc, makeOddTree } from './odd-tree.ts';
import { ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const commitOptions = {
  time: new Date('2026-03-04T05:06:07.008Z'),
  hostname: 'host',
  paths: ['/x'],
  programVersion: 'varve',
};
const readAttributes = (path: Buffer): { name: string; value: Buffer }[] => loadLibc().readAttributes(path);

async function scratch(): Promise<ScratchFolder> {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  return folder;
}

const file: TarEntry = {
  type: 'file',
  name: Buffer.from('file'),
  linkName: Buffer.alloc(0),
  permissions: 0o644,
  uid: 0,
  gid: 0,
  user: '',
  group: '',
  size: 0,
  mtimeNs: 0n,
  device: 0n,
  extendedAttributes: [],
};

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

function tarOf(...entries: (Partial<TarEntry> & { data?: string })[]): Buffer {
  const parts = entries.flatMap(({ data = '', ...entry }) => {
    const size = Buffer.byteLength(data);
    return [tarHeader({ ...file, size, ...entry }), Buffer.from(data), tarPadding(size)];
  });
  return Buffer.concat([...parts, tarEnd]);
}

async function read(tar: Uint8Array, size = 1000): Promise<{ entry: TarEntry; content: string }[]> {
  const entries: { entry: TarEntry; content: string }[] = [];
  await readTar(pieces(tar, size), async (entry, content) => {
    entries.push({ entry, content: Buffer.concat(await Array.fromAsync(content)).toString() });
  });
  return entries;
}

/** Adds a tar at /t and yields the tree. */
async function addTar(repository: Repository, source: AsyncIterable<Uint8Array>, stripComponents = 0): Promise<string> {
  await using session = await startArchive(repository);
  await session.addTar({ target: '/t', source, stripComponents });
  const { snapshot } = await session.commit(commitOptions);
  return snapshot.tree;
}

describe('the tar codec', () => {
  test('reads what it writes, however the stream is split', async () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((name) => Buffer.from(name.map((b) => b || 1)));
    const entry = fc.record({
      name: bytes,
      linkName: bytes,
      permissions: fc.nat({ max: 0o7777 }),
      uid: fc.nat({ max: 2 ** 40 }),
      gid: fc.nat({ max: 2 ** 40 }),
      user: fc.string({ maxLength: 40 }).filter((text) => !text.includes('\0')),
      mtimeNs: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
      extendedAttributes: fc.array(fc.record({ name: fc.constantFrom('user.a', 'user.b=c'), value: bytes }), {
        maxLength: 1,
      }),
      data: fc.string({ maxLength: 2000 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 4 }), fc.integer({ min: 1, max: 3000 }), async (entries, size) => {
        // The name of an attribute cannot hold "=" in pax; and a file's name does not end with a slash.
        const usable = entries.map((one) => ({
          ...one,
          name: Buffer.concat([one.name, Buffer.from('x')]),
          extendedAttributes: one.extendedAttributes.filter(({ name }) => !name.includes('=')),
        }));
        const back = await read(tarOf(...usable), size);
        expect(back.map(({ content }) => content)).toEqual(usable.map(({ data }) => Buffer.from(data).toString()));
        for (const [i, { entry: got }] of back.entries()) {
          const { data, ...wanted } = usable[i] ?? { data: '' };
          expect(got).toMatchObject({ ...wanted, size: Buffer.byteLength(data) });
        }
      }),
    );
  });

  test('refuses streams that break off, wherever that is', async () => {
    const whole = tarOf({ name: Buffer.from('ä'.repeat(80)), data: 'x'.repeat(700) });
    const withoutEnd = whole.length - tarEnd.length;
    for (let length = 1; length < withoutEnd; length += 97) {
      await expect(read(whole.subarray(0, length))).rejects.toMatchObject({
        code: 'ARCHIVE_PRODUCER_FAILED',
      });
    }
    // PostgreSQL before 15 leaves the end marker out.
    expect(await read(whole.subarray(0, withoutEnd))).toHaveLength(1);
  });

  test('refuses headers that were changed, sparse files and unknown kinds', async () => {
    const changed = tarOf({ data: 'x' });
    changed[0] = 0x67;
    await expect(read(changed)).rejects.toMatchObject({ code: 'ARCHIVE_PRODUCER_FAILED' });
    const unknown = tarOf({});
    unknown.write('?', 156, 'latin1');
    const sum = unknown.subarray(0, 512).reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
    unknown.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    await expect(read(unknown)).rejects.toThrow(/unknown kind/);
  });
});

describe('a tar as an input', () => {
  test('gnu tar of a folder of odd things, in its own formats, comes back as it was', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'source');
    makeOddTree(source);
    const expected = describeTree(source, { readAttributes, owners: isRoot });
    const tar = spawn('tar', ['--format=pax', '--xattrs', '-C', source, '-cf', '-', '.']);
    const treeId = await addTar(repository, tar.stdout);
    const target = join(folder.path, 'target');
    await restoreTree(repository, { treeId, path: '/t', target });
    expect(describeTree(target, { readAttributes, owners: isRoot })).toEqual(expected);
    // The older format has no nanoseconds and no attributes, but long names of its own.
    mkdirSync(join(source, 'n'.repeat(120)));
    writeFileSync(join(source, 'n'.repeat(120), 'x'), 'x');
    const gnu = spawn('tar', ['--format=gnu', '-C', folder.path, '-cf', '-', 'source']);
    const names = async (id: string): Promise<string[]> =>
      (await Array.fromAsync(listTree(repository, { treeId: id, path: '/t', recursive: true }))).map(
        ({ path }) => path,
      );
    const listed = await names(await addTar(repository, gnu.stdout, 1));
    expect(listed).toContain(`/t/${'n'.repeat(120)}/x`);
    expect(listed).toHaveLength((await names(treeId)).length + 2);
  });

  test('entries may come in any order, links and the last of two entries win', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const tar = tarOf(
      { type: 'link', name: Buffer.from('a/link'), linkName: Buffer.from('z/file') },
      { name: Buffer.from('z/file'), data: 'old' },
      { name: Buffer.from('z/file'), data: 'new' },
      { type: 'dir', name: Buffer.from('z/'), permissions: 0o700 },
      { type: 'dir', name: Buffer.from('a/') },
      { type: 'dir', name: Buffer.from('./') },
    );
    const treeId = await addTar(repository, pieces(tar, 512));
    const target = join(folder.path, 'target');
    await restoreTree(repository, { treeId, target });
    const lines = describeTree(join(target, 't'), { owners: false });
    expect(lines.filter((line) => line.includes('sha256'))).toHaveLength(2);
    expect(lines.some((line) => line.startsWith('"./z/file"') && line.includes('same="./a/link"'))).toBe(true);
    expect(lines.some((line) => line.startsWith('"./z" mode=40700'))).toBe(true);
    // The same archive gives the same tree.
    expect(await addTar(repository, pieces(tar, 99))).toBe(treeId);
  });

  test('without an entry for its root becomes a folder like its first one where that is wanted', async () => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const tar = tarOf(
      { name: Buffer.from('label'), data: 'x' },
      { type: 'dir', name: Buffer.from('./base/'), permissions: 0o750, uid: 123, gid: 456 },
      { type: 'dir', name: Buffer.from('other/'), permissions: 0o700, uid: 1, gid: 2 },
    );
    await using session = await startArchive(repository);
    await session.addTar({ target: '/like', source: pieces(tar, 512), rootLikeFirstFolder: true });
    await session.addTar({ target: '/plain', source: pieces(tar, 512) });
    const { snapshot } = await session.commit(commitOptions);
    const found = await Array.fromAsync(listTree(repository, { treeId: snapshot.tree }));
    const of = (path: string) => found.find((entry) => entry.path === path)?.node;
    expect(of('/like')).toMatchObject({ type: 'dir', uid: 123, gid: 456 });
    expect(((of('/like')?.mode ?? 0) & 0o777).toString(8)).toBe('750');
    expect(((of('/plain')?.mode ?? 0) & 0o777).toString(8)).toBe('755');
  });

  test.each(['../x', 'a/../../x', '/etc/passwd', '..'])('the name %j is refused and no snapshot made', async (name) => {
    const folder = await scratch();
    const repository = await folder.createRepository();
    const session = await startArchive(repository);
    const add = session.addTar({ target: '/t', source: pieces(tarOf({ name: Buffer.from(name), data: 'x' }), 512) });
    await expect(add).rejects.toMatchObject({ code: 'RESTORE_PATH_UNSAFE' });
    await expect(session.commit(commitOptions)).rejects.toMatchObject({ code: 'RESTORE_PATH_UNSAFE' });
    expect(await repository.listSnapshots()).toEqual([]);
  });
});

test('a folder streamed as a tar is unpacked by gnu tar as it was', async () => {
  const folder = await scratch();
  const repository = await folder.createRepository();
  const source = join(folder.path, 'source');
  makeOddTree(source);
  await using session = await startArchive(repository);
  await session.addPath({ source, target: '/t' });
  const { snapshot } = await session.commit(commitOptions);
  const archive = join(folder.path, 'out.tar');
  const stream = streamTar(repository, { treeId: snapshot.tree, path: '/t' });
  await pipeline(Readable.from(stream), createWriteStream(archive));
  const target = join(folder.path, 'target');
  mkdirSync(target);
  execFileSync('tar', ['--xattrs', '--xattrs-include=*', '-xpf', archive, '-C', target]);
  // tar cannot set times before 1970 on every system; everything else is equal.
  const normal = (path: string): string[] =>
    describeTree(path, { readAttributes, owners: isRoot }).map((line) => line.replace(/mtime=-\d+/, 'mtime=early'));
  expect(normal(target)).toEqual(normal(source));
});
