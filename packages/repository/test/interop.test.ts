import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import { checkRepository, createRepository, openRepository, type Repository } from '@varve/repository';
import { describe, expect, test, vi } from 'vitest';
import { PackBuilder } from '../src/pack/pack-builder.ts';
import { PackUploader } from '../src/pack/pack-uploader.ts';
import { isIrreducible } from '../src/chunker/polynomial.ts';
import { loadEngine } from '../src/native/load-engine.ts';
import { decodeTree } from '../src/tree/decode-tree.ts';
import { cheapKey, resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';

// Each call of restic derives a key.
vi.setConfig({ testTimeout: 120_000 });

const missing = resticMissing();
const password = new Secret(resticPassword);
const emptyTree = Buffer.from('{"nodes":[]}\n');

/** Stores the blobs and a snapshot of an empty folder. */
async function fill(repository: Repository, contents: readonly Uint8Array[]): Promise<void> {
  const { engine, key } = repository;
  const uploader = new PackUploader(repository);
  for (const [type, blobs] of [
    ['data', contents],
    ['tree', [emptyTree]],
  ] as const) {
    const builder = new PackBuilder({ engine, key, type, packSizeBytes: 200_000 });
    for (const blob of blobs) {
      builder.add(engine.sha256(blob), blob);
      if (builder.isFull) await uploader.add(builder.finish());
    }
    if (builder.blobCount > 0) await uploader.add(builder.finish());
  }
  await uploader.flush();
  const tree = engine.sha256(emptyTree).toString('hex');
  await repository.saveSnapshot({
    time: '2026-03-04T05:06:07.123456789+01:00',
    tree,
    paths: ['/a&b<c>', '/ü\u2028'],
    hostname: 'höst',
    tags: ['x', 'y z'],
  });
}

/** A folder of files to back up; yields the plaintext of one of them. */
async function makeSource(path: string): Promise<Buffer> {
  await mkdir(join(path, 'sub', 'deeper'), { recursive: true });
  const large = randomBytes(3_000_000);
  await writeFile(join(path, 'large'), large);
  await writeFile(join(path, 'sub', 'empty'), '');
  for (let i = 0; i < 30; i++)
    await writeFile(join(path, 'sub', 'deeper', `file ${i}`), `content ${i} `.repeat(i * 10));
  return large;
}

/** The plaintext of every file below a tree, by path. */
async function readFiles(repository: Repository, root: string): Promise<Map<string, Buffer>> {
  const files = new Map<string, Buffer>();
  const folders: { tree: string; path: string }[] = [{ tree: root, path: '' }];
  for (let folder = folders.pop(); folder; folder = folders.pop()) {
    for (const node of decodeTree(await repository.loadBlob('tree', folder.tree))) {
      const path = `${folder.path}/${node.name.toString()}`;
      if (node.subtree !== undefined) folders.push({ tree: node.subtree, path });
      if (!node.content) continue;
      const parts = [];
      for (const id of node.content) parts.push(await repository.loadBlob('data', id));
      files.set(path, Buffer.concat(parts));
    }
  }
  return files;
}

describe.skipIf(missing !== null)(`a repository that we make (${missing ?? 'restic is there'})`, () => {
  test('is one that restic opens, lists and finds in order, byte by byte', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const contents = [
      new Uint8Array(0),
      Buffer.from('hello'),
      ...Array.from({ length: 40 }, (_, i) => randomBytes(1 + i * 700)),
    ];
    await fill(repository, contents);
    const config = JSON.parse(await folder.restic(['cat', 'config']));
    expect(config).toEqual({
      version: 2,
      id: repository.id,
      chunker_polynomial: repository.config.chunkerPolynomial.toString(16),
    });
    expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
    const listed = (await folder.restic(['list', 'blobs'])).trim().split('\n').sort();
    const expected = contents.map((content) => `data ${createHash('sha256').update(content).digest('hex')}`);
    expect(listed).toEqual([...expected, `tree ${createHash('sha256').update(emptyTree).digest('hex')}`].sort());
    const [snapshot] = JSON.parse(await folder.restic(['snapshots', '--json']));
    expect(snapshot).toMatchObject({
      time: '2026-03-04T05:06:07.123456789+01:00',
      paths: ['/a&b<c>', '/ü\u2028'],
      hostname: 'höst',
      tags: ['x', 'y z'],
    });
    expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
  });

  test('is one that restic writes to, and we read what it wrote', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'source');
    const large = await makeSource(source);
    await folder.restic(['backup', source, '--tag', 'one']);
    const snapshot = await repository.findSnapshot('latest', { tags: ['one'] });
    await repository.loadIndex();
    const files = await readFiles(repository, snapshot.tree);
    expect(files.get(join(source, 'large'))?.equals(large)).toBe(true);
    expect(files.size).toBe(32);
    expect(await checkRepository(repository, { readData: true, workers: 2 })).toMatchObject({
      errors: [],
      warnings: [],
      snapshots: 1,
    });
  });

  test('has no password in it, and two of them have neither id nor polynomial in common', async () => {
    await using one = await ScratchFolder.create();
    await using two = await ScratchFolder.create();
    const [a, b] = [await one.createRepository(), await two.createRepository()];
    expect(a.id).not.toBe(b.id);
    expect(a.config.chunkerPolynomial).not.toBe(b.config.chunkerPolynomial);
    expect(isIrreducible(a.config.chunkerPolynomial)).toBe(true);
    const [key] = await Array.fromAsync(a.storage.list('key'));
    const text = (await readFile(join(one.repo, 'keys', key!.name))).toString();
    expect(text).not.toContain(resticPassword);
    expect(Object.keys(JSON.parse(text))).toEqual([
      'created',
      'username',
      'hostname',
      'kdf',
      'N',
      'r',
      'p',
      'salt',
      'data',
    ]);
  });

  test('is not made a second time, nor over keys, nor without a password', async () => {
    await using folder = await ScratchFolder.create();
    await folder.createRepository();
    await expect(folder.createRepository()).rejects.toMatchObject({ code: 'REPOSITORY_EXISTS' });
    await using other = await ScratchFolder.create();
    const storage = other.storage();
    await storage.create();
    await storage.save({ type: 'key', name: 'ab'.repeat(32) }, Buffer.from('{}'));
    await expect(other.createRepository()).rejects.toMatchObject({ code: 'REPOSITORY_EXISTS' });
    await using third = await ScratchFolder.create();
    const nothing = createRepository({ storage: third.storage(), password: new Secret(''), keyDerivation: cheapKey });
    await expect(nothing).rejects.toMatchObject({ code: 'REPOSITORY_PASSWORD_MISSING' });
  });

  test('with the cost that is chosen for this machine opens in about half a second here and with restic', async () => {
    await using folder = await ScratchFolder.create();
    await createRepository({ storage: folder.storage(), password });
    const [key] = await Array.fromAsync(folder.storage().list('key'));
    const { N, r, p } = JSON.parse((await readFile(join(folder.repo, 'keys', key!.name))).toString());
    expect(128 * N * r).toBeLessThanOrEqual(60 * 1024 * 1024);
    expect(N * r * p).toBeGreaterThanOrEqual(32_768 * 8);
    expect((await folder.restic(['list', 'keys'])).trim()).toBe(key!.name);
  });
});

describe.skipIf(missing !== null)('a repository that restic made', () => {
  test.each([1, 2] as const)('in format %i is read to its last byte', async (version) => {
    await using folder = await ScratchFolder.create();
    await folder.restic(['init', '--repository-version', String(version)]);
    const source = join(folder.path, 'source');
    const large = await makeSource(source);
    for (const tag of ['one', 'two']) {
      await writeFile(join(source, 'changing'), tag);
      await folder.restic(['backup', source, '--tag', tag]);
    }
    for (const preferred of ['native', 'builtin'] as const) {
      const engine = loadEngine({ preferred });
      const repository = await openRepository({ storage: folder.storage(), password, engine });
      expect(repository.version).toBe(version);
      const snapshots = await repository.listSnapshots();
      expect(snapshots.map(({ tags }) => tags)).toEqual([['one'], ['two']]);
      await repository.loadIndex();
      const files = await readFiles(repository, snapshots[1]!.tree);
      expect(files.get(join(source, 'large'))?.equals(large)).toBe(true);
      expect(files.get(join(source, 'changing'))?.toString()).toBe('two');
      expect(await checkRepository(repository, { readData: true })).toMatchObject({
        errors: [],
        warnings: [],
        snapshots: 2,
      });
    }
  });

  test('in format 1 is not written to, and the error names the remedy', async () => {
    await using folder = await ScratchFolder.create();
    await folder.restic(['init', '--repository-version', '1']);
    const repository = await openRepository({ storage: folder.storage(), password });
    expect(() => new PackUploader(repository)).toThrow(
      expect.objectContaining({
        code: 'REPOSITORY_VERSION_UNSUPPORTED',
        hint: expect.stringContaining('repo migrate upgrade_repo_v2'),
      }),
    );
    await expect(repository.saveIndexFile([])).rejects.toMatchObject({ code: 'REPOSITORY_VERSION_UNSUPPORTED' });
  });

  test('opens with each of its passwords and with no other', async () => {
    await using folder = await ScratchFolder.create();
    await folder.createRepository();
    await writeFile(join(folder.path, 'second'), 'zweites');
    await folder.restic(['key', 'add', '--new-password-file', join(folder.path, 'second')]);
    for (const text of [resticPassword, 'zweites']) {
      expect((await openRepository({ storage: folder.storage(), password: new Secret(text) })).version).toBe(2);
    }
    const wrong = openRepository({ storage: folder.storage(), password: new Secret('falsch') });
    await expect(wrong).rejects.toMatchObject({ code: 'REPOSITORY_PASSWORD_WRONG' });
    await expect(wrong).rejects.not.toThrow(/falsch/);
  });

  test('that was pruned is read anew, and packs that are gone are not looked for', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const source = join(folder.path, 'source');
    for (const name of ['a', 'b']) {
      await mkdir(source, { recursive: true });
      await writeFile(join(source, name), randomBytes(500_000));
      await folder.restic(['backup', source]);
    }
    await repository.loadIndex();
    const before = repository.index;
    await folder.restic(['forget', '--keep-last', '1', '--prune', '--max-unused', '0']);
    await repository.loadIndex();
    expect(repository.index).not.toBe(before);
    const packs = new Set((await repository.listFiles('pack')).map(({ name }) => name));
    expect(new Set(repository.index.packs().map(({ packId }) => packId))).toEqual(packs);
    expect(await checkRepository(repository, { readData: true })).toMatchObject({
      errors: [],
      warnings: [],
      snapshots: 1,
    });
  });
});

describe('a repository of another program', () => {
  test.for([
    ['small-repo.tar.gz', 'geheim', 1, 4],
    ['repo-mixed.tar.gz', 'geheim', 1, undefined],
    ['restic-repo.tar.gz', 'restic', 2, 2],
  ] as const)('%s is read and found in order', async ([fixture, secret, version, snapshots], context) => {
    await using folder = await ScratchFolder.create();
    if (!folder.unpackFixture(fixture)) return context.skip(`the fixture ${fixture} is not there`);
    const repository = await openRepository({ storage: folder.storage(), password: new Secret(secret) });
    expect(repository.version).toBe(version);
    const report = await checkRepository(repository, { readData: true });
    expect(report.errors).toEqual([]);
    expect(report.bytesRead).toBeGreaterThan(0);
    if (snapshots !== undefined) expect(report.snapshots).toBe(snapshots);
    await repository.loadIndex();
    for (const { tree } of await repository.listSnapshots())
      expect((await readFiles(repository, tree)).size).toBeGreaterThan(0);
  });
});

test('where there is no repository, none is found', async () => {
  await using folder = await ScratchFolder.create();
  await expect(openRepository({ storage: folder.storage(), password })).rejects.toMatchObject({
    code: 'REPOSITORY_NOT_FOUND',
    exitCode: 10,
  });
});
