import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Progress } from '@varve/base';
import { backupPaths, parseOwnerRule, restoreTree, type Repository, type RestoredItem } from '@varve/repository';
import { describeTree } from '@varve/testing';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { isRoot, loadLibc, noise } from './odd-tree.ts';
import { ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 60_000 });

interface Saved {
  readonly repository: Repository;
  readonly source: string;
  readonly target: string;
  readonly from: {
    readonly treeId: string;
    readonly path: string;
    readonly target: string;
    readonly relativePaths: true;
  };
}

async function saved(fill: (source: string) => void): Promise<Saved> {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const repository = await folder.createRepository();
  const source = join(folder.path, 'source');
  mkdirSync(source);
  fill(source);
  const { snapshot } = await backupPaths(repository, { paths: ['source'], cwd: folder.path, hostname: 'host' });
  const target = join(folder.path, 'target');
  return { repository, source, target, from: { treeId: snapshot.tree, path: '/source', target, relativePaths: true } };
}

function fillMixed(source: string): void {
  mkdirSync(join(source, 'sub/deep'), { recursive: true });
  writeFileSync(join(source, 'plain'), 'plain');
  writeFileSync(join(source, 'sub/Upper.TXT'), 'upper');
  writeFileSync(join(source, 'sub/deep/leaf'), 'leaf');
  writeFileSync(join(source, 'empty'), '');
  writeFileSync(join(source, 'big'), noise(5_000_000, 'big'));
  linkSync(join(source, 'plain'), join(source, 'sub/name of plain'));
  symlinkSync('plain', join(source, 'link'));
}

describe('a restore over existing data', () => {
  test('loads from the storage only what differs', async () => {
    const { repository, source, target, from } = await saved((path) => {
      for (let i = 0; i < 4; i++) writeFileSync(join(path, `f${i}`), noise(8_000_000, String(i)));
    });
    await restoreTree(repository, from);
    const bytes = readFileSync(join(target, 'f2'));
    bytes[4_000_000] = 255 - (bytes[4_000_000] ?? 0);
    writeFileSync(join(target, 'f2'), bytes);
    let loaded = 0;
    const { storage } = repository;
    const load = storage.load.bind(storage);
    vi.spyOn(storage, 'load').mockImplementation(async (handle, options) => {
      const result = await load(handle, options);
      if (handle.type === 'pack') loaded += result.length;
      return result;
    });
    const result = await restoreTree(repository, from);
    expect(result).toMatchObject({ files: 1, unchanged: 3, restoredBytes: 8_000_000, unchangedBytes: 24_000_000 });
    expect(result.bytes).toBeLessThan(8_000_000);
    // The chunk that differs, and the windows of trees.
    expect(loaded).toBeLessThan(result.bytes + 100_000);
    expect(describeTree(target)).toEqual(describeTree(source));
  });

  test('a dry run tells exactly what the restore then does', async () => {
    const { repository, target, from, source } = await saved(fillMixed);
    await restoreTree(repository, from);
    writeFileSync(join(target, 'plain'), 'other');
    rmSync(join(target, 'sub/deep'), { recursive: true });
    mkdirSync(join(target, 'extra/deep'), { recursive: true });
    writeFileSync(join(target, 'extra/deep/x'), 'x');
    rmSync(join(target, 'link'));
    writeFileSync(join(target, 'link'), 'was a link');
    const before = describeTree(target);
    const run = async (dryRun: boolean): Promise<{ items: string[]; numbers: object }> => {
      const items: RestoredItem[] = [];
      const onItem = (item: RestoredItem): void => void items.push(item);
      const { bytes, problems, ...numbers } = await restoreTree(repository, {
        ...from,
        deleteOthers: true,
        dryRun,
        onItem,
      });
      expect(problems.filter(({ message }) => isRoot || !/Owners/.test(message))).toEqual([]);
      expect(bytes > 0).toBe(!dryRun);
      return {
        items: items.map(({ action, path, sizeBytes }) => `${action} ${path} ${sizeBytes}`).toSorted(),
        numbers,
      };
    };
    const dry = await run(true);
    expect(describeTree(target)).toEqual(before);
    expect(dry.items).toEqual(
      [
        'unchanged /big 5000000',
        'unchanged /empty 0',
        'unchanged /sub/Upper.TXT 5',
        // A file with other names is replaced, so its further names are made anew.
        'restored /sub/name of plain 0',
        'restored /link 0',
        'updated /plain 5',
        'restored /sub/deep/leaf 4',
        'restored /sub 0',
        'restored /sub/deep 0',
        `deleted ${target}/extra 0`,
        `deleted ${target}/extra/deep 0`,
        `deleted ${target}/extra/deep/x 0`,
      ].toSorted(),
    );
    const real = await run(false);
    expect(real).toEqual(dry);
    expect(describeTree(target)).toEqual(describeTree(source));
    expect((await run(true)).numbers).toMatchObject({ files: 1, dirs: 2, unchanged: 6, deleted: 0 });
  });

  test('reports progress that ends at its totals', async () => {
    const { repository, target, from } = await saved(fillMixed);
    for (const change of [() => {}, () => writeFileSync(join(target, 'plain'), 'other'), () => {}]) {
      change();
      const states: Progress[] = [];
      await restoreTree(repository, { ...from, onProgress: (state) => states.push(state) });
      const last = states.at(-1);
      expect(last).toMatchObject({ filesTotal: 7, bytesTotal: 5_000_014 });
      expect([last?.filesDone, last?.bytesDone]).toEqual([last?.filesTotal, last?.bytesTotal]);
      for (const [i, { bytesDone, filesDone }] of states.entries()) {
        expect(bytesDone).toBeGreaterThanOrEqual(states[i - 1]?.bytesDone ?? 0);
        expect(filesDone).toBeGreaterThanOrEqual(states[i - 1]?.filesDone ?? 0);
      }
    }
  });
});

describe('deletion', () => {
  async function withExtras(): Promise<Saved> {
    const data = await saved(fillMixed);
    await restoreTree(data.repository, data.from);
    mkdirSync(join(data.target, 'extra/deep'), { recursive: true });
    writeFileSync(join(data.target, 'extra/deep/x.log'), 'x');
    writeFileSync(join(data.target, 'extra/y'), 'y');
    writeFileSync(join(data.target, 'sub/z.log'), 'z');
    return data;
  }

  test('touches only what is included', async () => {
    const { repository, target, from } = await withExtras();
    const result = await restoreTree(repository, { ...from, deleteOthers: true, include: ['/sub'] });
    expect(result.deleted).toBe(1);
    expect(existsSync(join(target, 'sub/z.log'))).toBe(false);
    expect(existsSync(join(target, 'extra/y'))).toBe(true);
  });

  test('by pattern reaches into folders of which something was restored', async () => {
    const { repository, target, from } = await withExtras();
    const result = await restoreTree(repository, { ...from, deleteOthers: true, include: ['*.log', '*.TXT'] });
    expect(result.deleted).toBe(1);
    expect(existsSync(join(target, 'sub/z.log'))).toBe(false);
    expect(readdirSync(join(target, 'extra'))).toEqual(['deep', 'y']);
  });

  test('keeps what is excluded, wherever it is', async () => {
    const { repository, target, from } = await withExtras();
    const result = await restoreTree(repository, { ...from, deleteOthers: true, exclude: ['*.log'] });
    expect(result.deleted).toBe(1);
    expect(existsSync(join(target, 'extra/deep/x.log'))).toBe(true);
    expect(existsSync(join(target, 'extra/y'))).toBe(false);
    expect(existsSync(join(target, 'sub/z.log'))).toBe(true);
  });

  test('does not replace a folder by a file when something excluded is in it', async () => {
    const { repository, target, from } = await withExtras();
    rmSync(join(target, 'plain'));
    mkdirSync(join(target, 'plain'));
    writeFileSync(join(target, 'plain/kept.log'), 'x');
    const result = await restoreTree(repository, { ...from, deleteOthers: true, exclude: ['*.log'] });
    expect(result.problems).toContainEqual({ path: '/plain', message: expect.stringContaining('excluded') as string });
    expect(existsSync(join(target, 'plain/kept.log'))).toBe(true);
    await restoreTree(repository, { ...from, deleteOthers: true });
    expect(readFileSync(join(target, 'plain'), 'utf8')).toBe('plain');
  });

  test('comes last: what stops a restore before leaves everything', async () => {
    const { repository, target, from } = await withExtras();
    const controller = new AbortController();
    rmSync(join(target, 'big'));
    const onProgress = (): void => controller.abort();
    const options = { ...from, deleteOthers: true, signal: controller.signal, onProgress };
    await expect(restoreTree(repository, options)).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(existsSync(join(target, 'extra/deep/x.log'))).toBe(true);
    const result = await restoreTree(repository, { ...from, deleteOthers: true });
    expect(result.deleted).toBe(5);
  });
});

test('patterns without regard to case', async () => {
  const { repository, target, from } = await saved(fillMixed);
  await restoreTree(repository, { ...from, includeIgnoringCase: ['*.txt'] });
  expect(describeTree(target).length).toBe(3);
  expect(existsSync(join(target, 'sub/Upper.TXT'))).toBe(true);
  await restoreTree(repository, { ...from, target: `${target}-2`, excludeIgnoringCase: ['SUB', 'B?G'] });
  expect(readdirSync(`${target}-2`)).toEqual(['empty', 'link', 'plain']);
});

test('extended attributes by pattern, and others on disk stay', async () => {
  const set = (path: string, name: string, value: string): void =>
    loadLibc().writeAttribute(Buffer.from(path), name, Buffer.from(value));
  const get = (path: string): string[] =>
    loadLibc()
      .readAttributes(Buffer.from(path))
      .map(({ name }) => name)
      .filter((name) => name.startsWith('user.'))
      .toSorted();
  const { repository, target, from } = await saved((path) => {
    writeFileSync(join(path, 'file'), '');
    for (const name of ['user.a', 'user.b', 'user.b.c']) set(join(path, 'file'), name, name);
  });
  const file = join(target, 'file');
  await restoreTree(repository, { ...from, attributes: { exclude: ['user.b*'] } });
  expect(get(file)).toEqual(['user.a']);
  set(file, 'user.mine', 'x');
  await restoreTree(repository, { ...from, attributes: { include: ['user.b'] } });
  expect(get(file)).toEqual(['user.a', 'user.b', 'user.mine']);
  await restoreTree(repository, from);
  expect(get(file)).toEqual(['user.a', 'user.b', 'user.b.c']);
  const wrong = restoreTree(repository, { ...from, attributes: { include: ['[a'] } });
  await expect(wrong).rejects.toMatchObject({ code: 'USAGE_INVALID' });
});

test('sparse files stay sparse', async () => {
  const { repository, source, target, from } = await saved((path) => {
    writeFileSync(join(path, 'holes'), 'begin');
    truncateSync(join(path, 'holes'), 20_000_000);
  });
  await restoreTree(repository, { ...from, sparse: true, verify: true });
  expect(statSync(join(target, 'holes')).blocks).toBeLessThan(20_000_000 / 512 / 2);
  expect(describeTree(target)).toEqual(describeTree(source));
});

describe('owners', () => {
  test.runIf(isRoot)('are mapped by number and by name', async () => {
    const { repository, target, from } = await saved((path) => {
      mkdirSync(join(path, 'folder'));
      for (const name of ['by name', 'by number', 'other']) writeFileSync(join(path, name), '');
      chownSync(join(path, 'by number'), 12345, 12346);
      chownSync(join(path, 'other'), 222, 333);
      chmodSync(join(path, 'by name'), 0o4755);
    });
    await restoreTree(repository, {
      ...from,
      owners: {
        users: [parseOwnerRule('root:4000', 'user'), parseOwnerRule('12345:root', 'user')],
        groups: [parseOwnerRule('12346:5000', 'group')],
      },
    });
    const owner = (name: string): number[] => [lstatSync(join(target, name)).uid, lstatSync(join(target, name)).gid];
    expect(owner('by name')).toEqual([4000, 0]);
    expect(lstatSync(join(target, 'by name')).mode & 0o7777).toBe(0o4755);
    expect(owner('by number')).toEqual([0, 5000]);
    expect(owner('other')).toEqual([222, 333]);
    expect(owner('folder')).toEqual([4000, 0]);
  });

  test.each(['', 'a', 'a:', ':b', 'a:b:c', 'a:no such user', '1:4294967295'])('%j is no rule', (text) => {
    expect(() => parseOwnerRule(text, 'user')).toThrow(expect.objectContaining({ code: 'USAGE_INVALID' }) as Error);
  });
});
