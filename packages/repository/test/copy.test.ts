import { execFileSync } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRepository, copySnapshots, type CopyResult, type Repository } from '@varve/repository';
import { describeTree, FaultyStorage } from '@varve/testing';
import { describe, expect, test, vi } from 'vitest';
import { PackBuilder } from '../src/pack/pack-builder.ts';
import { PackUploader } from '../src/pack/pack-uploader.ts';
import { cheapKey, ScratchFolder } from './restic-oracle.ts';
import {
  backUp,
  backUpTwice,
  cloneRepository,
  expectBothChecks,
  expectGood,
  makeSource,
  missing,
  password,
  reopen,
} from './edit-lab.ts';

// Each call of restic derives a key.
vi.setConfig({ testTimeout: 120_000 });

async function copyAll(
  source: Repository,
  destination: Repository,
  options: Partial<Parameters<typeof copySnapshots>[0]> = {},
): Promise<CopyResult> {
  return copySnapshots({ source, destination, snapshots: await source.listSnapshots(), workers: 0, ...options });
}

/** An empty repository that cuts as `source` does. */
function twin(folder: ScratchFolder, source: Repository): Promise<Repository> {
  const { chunkerPolynomial } = source.config;
  return createRepository({ storage: folder.storage(), password, keyDerivation: cheapKey, chunkerPolynomial });
}

describe('copying snapshots', () => {
  test.each([0, 2])('brings everything, in order, once; with %i worker threads', async (workers) => {
    await using from = await ScratchFolder.create();
    await using to = await ScratchFolder.create();
    const path = await makeSource(from);
    const source = await from.createRepository();
    const [first, second] = await backUpTwice(source, path);
    const destination = await twin(to, source);

    const result = await copyAll(source, destination, { workers });
    expect(result.copied.map((done) => done.source.id)).toEqual([first.id, second.id]);
    const { parent, ...kept } = second;
    expect(parent).toBe(first.id);
    const copy = result.copied[1]?.copy;
    expect(copy).toEqual({ ...kept, id: copy?.id, original: second.id });
    expect(result.treeBlobs).toBeGreaterThan(8);
    expect(result.bytesStored).toBeGreaterThan(2_500_000);
    // What was copied is compressed as it was.
    expect(result.bytesStored).toBeLessThan(result.bytesAdded + 10_000);

    const again = await copyAll(source, await reopen(to), { workers });
    expect(again).toMatchObject({ copied: [], bytesStored: 0 });
    expect(again.skipped.map(({ existing }) => existing.original)).toEqual([first.id, second.id]);
    // Copies of copies are known by their original, also in the repository that they came from.
    expect((await copyAll(await reopen(to), source)).copied).toEqual([]);
    await expectBothChecks(to);
  });

  test('stores nothing that the destination has', async () => {
    await using from = await ScratchFolder.create();
    await using to = await ScratchFolder.create();
    const path = await makeSource(from);
    const source = await from.createRepository();
    await backUp(source, path);
    const destination = await twin(to, source);
    await backUp(destination, path, { hostname: 'there' });
    const result = await copyAll(source, destination);
    // The folders above the source, which others change meanwhile, may differ.
    expect(result.treeBlobs).toBeLessThan(4);
    expect(result).toMatchObject({ dataBlobs: 0, copied: [{ source: { hostname: 'here' } }] });
    await expectGood(to);
  });

  test('says in a dry run what it would do, and does nothing', async () => {
    await using from = await ScratchFolder.create();
    await using to = await ScratchFolder.create();
    const source = await from.createRepository();
    await backUpTwice(source, await makeSource(from));
    await twin(to, source);
    const storage = new FaultyStorage(to.storage());
    const planned = await copyAll(source, await reopen(to, storage), { dryRun: true });
    expect(planned.copied.map(({ copy }) => copy)).toEqual([null, null]);
    expect(storage.calls).toEqual([]);
    const { dataBlobs, treeBlobs, bytesRead } = await copyAll(source, await reopen(to));
    expect(planned).toMatchObject({ dataBlobs, treeBlobs, bytesRead, bytesStored: 0 });
  });

  test('of a snapshot whose tags were changed since makes another one', async () => {
    await using from = await ScratchFolder.create();
    await using to = await ScratchFolder.create();
    const source = await from.createRepository();
    const snapshot = await backUp(source, await makeSource(from));
    const destination = await twin(to, source);
    await copyAll(source, destination);
    const { id, ...fields } = snapshot;
    await source.saveSnapshot({ ...fields, tags: ['later'], original: id });
    const result = await copyAll(source, destination);
    expect(result).toMatchObject({ copied: [{ copy: { original: id, tags: ['later'] } }], bytesStored: 0 });
    expect(result.skipped).toHaveLength(1);
  });

  test('keeps what other programs noted in a snapshot', async () => {
    await using from = await ScratchFolder.create();
    await using to = await ScratchFolder.create();
    const source = await from.createRepository();
    const { id: _id, ...fields } = await backUp(source, await makeSource(from));
    const unknownFields = {
      snapshot: { label: 'nightly', delete: { After: '2030-01-01T00:00:00Z' } },
      summary: { x: 1.5 },
    };
    await source.saveSnapshot({ ...fields, hostname: 'rustic', unknownFields });
    await copyAll(source, await twin(to, source));
    const copies = await (await reopen(to)).listSnapshots();
    expect(copies.find(({ hostname }) => hostname === 'rustic')).toMatchObject({ unknownFields });
  });

  test('onto the same repository is refused', async () => {
    await using from = await ScratchFolder.create();
    const source = await from.createRepository();
    await expect(copyAll(source, await reopen(from))).rejects.toMatchObject({ code: 'USAGE_INVALID' });
  });

  test('that is cancelled stops, and the next run completes it', async () => {
    await using from = await ScratchFolder.create();
    await using to = await ScratchFolder.create();
    const source = await from.createRepository();
    await backUpTwice(source, await makeSource(from));
    const storage = new FaultyStorage(to.storage());
    const destination = await createRepository({ storage, password, keyDerivation: cheapKey });
    for (const workers of [0, 1]) {
      const controller = new AbortController();
      const calls = storage.calls.length;
      const onProgress = (): void => controller.abort();
      const copy = copyAll(source, destination, { signal: controller.signal, onProgress, workers });
      await expect(copy).rejects.toMatchObject({ code: 'CANCELLED' });
      expect(storage.calls.length).toBe(calls);
    }
    expect((await copyAll(source, destination)).copied).toHaveLength(2);
    await expectGood(to);
  });

  test('that fails at any call leaves a repository in order, and the next run completes it', async () => {
    await using from = await ScratchFolder.create();
    await using empty = await ScratchFolder.create();
    const source = await from.createRepository();
    const ids = (await backUpTwice(source, await makeSource(from, { large: false }))).map(({ id }) => id);
    await backUp(await twin(empty, source), await makeSource(empty, { name: 'other', large: false }));
    const fresh = async (
      failingCall: number,
      kind: 'before' | 'after',
      folder: ScratchFolder,
    ): Promise<FaultyStorage> => {
      cloneRepository(empty, folder);
      return new FaultyStorage(folder.storage(), { failingCall, kind });
    };
    await using whole = await ScratchFolder.create();
    const all = await fresh(0, 'before', whole);
    await copyAll(source, await reopen(whole, all));
    const order = all.calls.map(({ handle }) => handle.type);
    expect(order).toEqual(['pack', 'pack', 'index', 'snapshot', 'snapshot']);

    for (let failingCall = 1; failingCall <= order.length; failingCall++) {
      for (const kind of ['before', 'after'] as const) {
        await using to = await ScratchFolder.create();
        const storage = await fresh(failingCall, kind, to);
        await expect(copyAll(source, await reopen(to, storage))).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
        await expectGood(to);
        const second = await copyAll(source, await reopen(to));
        expect(second.copied.length + second.skipped.length).toBe(2);
        // What is in an index file is found again.
        if (failingCall > 3) expect(second.bytesStored).toBe(0);
        const originals = (await (await reopen(to)).listSnapshots()).map(({ original }) => original);
        expect(originals.filter((id) => id !== undefined).toSorted()).toEqual(ids.toSorted());
        await expectGood(to);
      }
    }
  });

  test('names a blob that is damaged, and takes a second copy of it where there is one', async () => {
    await using from = await ScratchFolder.create();
    await using to = await ScratchFolder.create();
    const source = await from.createRepository();
    await backUp(source, await makeSource(from));
    const pack = [...source.index.packs()].find(({ blobs }) => blobs[0]?.type === 'data');
    const blob = pack?.blobs[1];
    if (!pack || !blob) throw new Error('The backup has no pack with data.');
    const plaintext = await source.loadBlob('data', blob.id);
    const file = join(from.repo, 'data', pack.packId.slice(0, 2), pack.packId);
    const bytes = await readFile(file);
    bytes[blob.offset + 20]! ^= 1;
    await chmod(file, 0o600);
    await writeFile(file, bytes);
    const destination = await twin(to, source);
    for (const workers of [0, 1]) {
      await expect(copyAll(await reopen(from), destination, { workers })).rejects.toMatchObject({
        code: 'REPOSITORY_DAMAGED',
        message: expect.stringContaining(blob.id),
      });
    }
    const { engine, key } = source;
    const builder = new PackBuilder({ engine, key, type: 'data' });
    builder.add(Buffer.from(blob.id, 'hex'), plaintext);
    const uploader = new PackUploader(source);
    await uploader.add(builder.finish());
    await uploader.flush();
    expect((await copyAll(source, destination)).copied).toHaveLength(1);
    await expectGood(to);
  });

  test('saves the snapshots before the one that is damaged', async () => {
    await using from = await ScratchFolder.create();
    await using to = await ScratchFolder.create();
    const source = await from.createRepository();
    const first = await backUp(source, await makeSource(from), { time: new Date('2026-01-02T03:04:05Z') });
    const { id: _id, ...fields } = first;
    await source.saveSnapshot({ ...fields, time: '2027-01-01T00:00:00Z', tree: 'ab'.repeat(32) });
    const destination = await twin(to, source);
    await expect(copyAll(source, destination)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect((await destination.listSnapshots()).map(({ original }) => original)).toEqual([first.id]);
    await expectGood(to);
  });
});

describe.skipIf(missing !== null)(`copies between ours and restic's (${missing ?? 'restic is there'})`, () => {
  async function passwordFile(folder: ScratchFolder): Promise<string> {
    const file = join(folder.path, 'password');
    await writeFile(file, password.reveal());
    return file;
  }

  test('restic copies ours, we copy what it made, and all three hold the same', async () => {
    await using ours = await ScratchFolder.create();
    await using theirs = await ScratchFolder.create();
    await using back = await ScratchFolder.create();
    const path = await makeSource(ours);
    const repository = await ours.createRepository();
    await backUpTwice(repository, path);
    const from = ['--from-repo', ours.repo, '--from-password-file', await passwordFile(theirs)];
    await theirs.restic(['init', '--copy-chunker-params', ...from]);
    await theirs.restic(['copy', ...from]);
    const restic = await reopen(theirs);
    expect(await copyAll(repository, restic)).toMatchObject({ copied: [], skipped: [{}, {}] });
    const destination = await twin(back, restic);
    expect((await copyAll(restic, destination)).copied).toHaveLength(2);
    // restic finds that our copy of its copy has everything.
    const again = await back.restic(['copy', '--json', ...from]);
    expect(again).not.toContain('saved');
    expect(await (await reopen(back)).listSnapshots()).toHaveLength(2);
    for (const folder of [ours, theirs, back]) {
      await expectBothChecks(folder);
      await folder.restic(['restore', 'latest', '--target', join(folder.path, 'out')]);
    }
    const described = [ours, theirs, back].map((folder) => describeTree(join(folder.path, 'out', path)));
    expect(described[1]).toEqual(described[0]);
    expect(described[2]).toEqual(described[0]);
    expect(described[0]?.length).toBeGreaterThan(40);
  });

  test.each(['1', '2'])(
    'a repository of format %s that restic made is copied; what it did not compress is compressed',
    async (version) => {
      await using theirs = await ScratchFolder.create();
      await using to = await ScratchFolder.create();
      const path = await makeSource(theirs);
      await theirs.restic(['init', '--repository-version', version]);
      await theirs.restic(['backup', ...(version === '1' ? [] : ['--compression', 'off']), path]);
      const source = await reopen(theirs);
      const result = await copyAll(source, await twin(to, source));
      expect(result.copied).toHaveLength(1);
      expect(result.bytesStored).toBeLessThan(result.bytesRead);
      await expectBothChecks(to);
      await to.restic(['restore', 'latest', '--target', join(to.path, 'out')]);
      expect(describeTree(join(to.path, 'out', path))).toEqual(describeTree(path));
    },
  );

  test('a large copy in threads, packs of several sizes, is what restic reads', async () => {
    await using from = await ScratchFolder.create();
    await using to = await ScratchFolder.create();
    const path = await makeSource(from);
    execFileSync('sh', ['-c', 'for i in 1 2 3 4 5; do head -c 9000000 /dev/urandom > "$0/random$i"; done', path]);
    const source = await from.createRepository();
    await backUp(source, path, { workers: 2 });
    const result = await copyAll(source, await twin(to, source), { workers: 2 });
    expect(result.bytesStored).toBeGreaterThan(45_000_000);
    const packs = await (await reopen(to)).listFiles('pack');
    // What threads have left is put together: no more small packs than one of each type.
    expect(packs.filter(({ sizeBytes }) => sizeBytes < 15_000_000).length).toBeLessThanOrEqual(2);
    await expectBothChecks(to);
  });
});
