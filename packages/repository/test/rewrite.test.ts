import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@varve/base';
import { rewriteSnapshots, tagSnapshots, type Repository, type Snapshot } from '@varve/repository';
import { describe, expect, test, vi } from 'vitest';
import { PackBuilder } from '../src/pack/pack-builder.ts';
import { PackUploader } from '../src/pack/pack-uploader.ts';
import { changedTags } from '../src/snapshot/tag-snapshots.ts';
import { decodeSnapshot, encodeSnapshot } from '../src/snapshot/snapshot.ts';
import { resticVersion, ScratchFolder } from './restic-oracle.ts';
import { backUp, backUpTwice, expectBothChecks, makeSource, missing, reopen } from './edit-lab.ts';

// Each call of restic derives a key.
vi.setConfig({ testTimeout: 120_000 });

const canRewrite = missing === null && !/restic 0\.(?:\d|1[0-4])\./.test(resticVersion());

/** Stores a tree and makes a snapshot of it. */
async function saveTree(repository: Repository, tree: Buffer): Promise<Snapshot> {
  const { engine, key } = repository;
  const builder = new PackBuilder({ engine, key, type: 'tree' });
  const id = engine.sha256(tree);
  builder.add(id, tree);
  const uploader = new PackUploader(repository);
  await uploader.add(builder.finish());
  await uploader.flush();
  return repository.saveSnapshot({ time: '2026-05-06T07:08:09Z', tree: id.toString('hex'), paths: ['/x'] });
}

describe('a snapshot file', () => {
  test('that is written anew keeps the fields of other programs, also in its summary', () => {
    const json = {
      time: '2026-01-02T03:04:05.678901234+02:00',
      tree: 'ab'.repeat(32),
      paths: ['/x'],
      uid: 7,
      summary: { files_new: 3, total_dirsize_processed: 4, command: 'rustic <backup>' },
      label: 'a & b',
      description: 'x',
      delete: 'NotSet',
      parents: [],
    };
    const { id: _id, ...fields } = decodeSnapshot(Buffer.from(JSON.stringify(json)), 'cd'.repeat(32));
    const written = JSON.parse(encodeSnapshot({ ...fields, tags: ['new'] }).toString()) as Record<string, unknown>;
    expect(written).toMatchObject({ ...json, tags: ['new'] });
    expect(Object.keys(fields)).not.toContain('label');
  });
});

describe('tags', () => {
  test('are set, or added and then removed, each once', () => {
    expect(changedTags(['a', 'b'], { set: ['c', 'c'] })).toEqual(['c']);
    expect(changedTags(['a', 'b'], { set: [] })).toEqual([]);
    expect(changedTags(['a', 'b'], { add: ['b', 'c'], remove: ['a', 'x'] })).toEqual(['b', 'c']);
  });

  test('change on the snapshots that lack them, and the original stays the first id', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const [first, second] = await backUpTwice(repository, await makeSource(folder));
    const changed = await tagSnapshots(repository, [first, second], { change: { add: ['x'] } });
    expect(changed.map(({ old }) => old.id)).toEqual([second.id]);
    const [{ next }] = changed as [(typeof changed)[number]];
    expect(next).toEqual({ ...second, id: next.id, tags: ['x'], original: second.id });
    const [again] = await tagSnapshots(repository, [next], { change: { set: [] } });
    expect(again?.next).toMatchObject({ original: second.id });
    expect(again?.next.tags).toBeUndefined();
    const ids = (await (await reopen(folder)).listSnapshots()).map(({ id }) => id);
    expect(ids).toEqual([first.id, again?.next.id]);
    if (missing === null) {
      expect(await folder.restic(['snapshots', '--json', '--tag', 'first,x'])).toContain(first.id);
      await folder.restic(['tag', '--add', 'from restic', first.id]);
      const tagged = (await repository.listSnapshots()).find(({ original }) => original === first.id);
      expect(tagged?.tags).toEqual(['first', 'x', 'from restic']);
    }
    await expectBothChecks(folder);
  });
});

describe('rewriting', () => {
  test('takes files out of the snapshots that have them, and leaves the others alone', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const path = await makeSource(folder);
    const [first, second] = await backUpTwice(repository, path);
    const seen: string[] = [];
    const options = { snapshots: [first, second], excludes: ['sub/new'] };
    const planned = await rewriteSnapshots(repository, {
      ...options,
      dryRun: true,
      onExcluded: (excluded) => seen.push(excluded),
    });
    expect(planned).toEqual([{ old: second, next: null, excluded: 1 }]);
    expect(seen).toEqual([join(path, 'sub/new')]);
    expect(await repository.listSnapshots()).toHaveLength(2);

    const [done, ...more] = await rewriteSnapshots(repository, options);
    expect(more).toEqual([]);
    expect(done?.next).toMatchObject({
      time: second.time,
      parent: second.parent,
      original: second.id,
      tags: ['rewrite'],
      summary: { filesNew: second.summary?.filesNew, totalFilesProcessed: first.summary?.totalFilesProcessed },
    });
    // A second time there is nothing left to do.
    expect(await rewriteSnapshots(repository, { ...options, snapshots: await repository.listSnapshots() })).toEqual([]);
    expect(await repository.listSnapshots()).toHaveLength(3);

    const [forgotten] = await rewriteSnapshots(repository, { ...options, forget: true });
    expect(forgotten?.next?.tags).toBeUndefined();
    expect((await (await reopen(folder)).listSnapshots()).map(({ id }) => id)).not.toContain(second.id);
    await expectBothChecks(folder);
  });

  test('that leaves nothing keeps a snapshot of an empty folder, as restic does', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const snapshot = await backUp(repository, await makeSource(folder));
    const [done] = await rewriteSnapshots(repository, { snapshots: [snapshot], excludes: ['/*'], forget: true });
    expect(done?.next).toMatchObject({
      tree: 'ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8',
      summary: { totalFilesProcessed: 0, totalBytesProcessed: 0 },
    });
    await expectBothChecks(folder);
  });

  test('gives another host and time, and counts what is in a snapshot', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const { id, summary, ...fields } = await backUp(repository, await makeSource(folder));
    const bare = await repository.saveSnapshot({ ...fields, tags: ['bare'] });
    const newTime = new Date('2020-02-03T04:05:06Z');
    const [moved] = await rewriteSnapshots(repository, { snapshots: [bare], newHostname: 'there', newTime });
    expect(moved?.next).toMatchObject({
      hostname: 'there',
      tree: fields.tree,
      original: bare.id,
      tags: ['bare', 'rewrite'],
    });
    expect(new Date(moved?.next?.time ?? '')).toEqual(newTime);
    expect(await rewriteSnapshots(repository, { snapshots: [bare], newHostname: 'here' })).toEqual([]);
    const [counted, ...others] = await rewriteSnapshots(repository, {
      snapshots: (await repository.listSnapshots()).filter((snapshot) => [id, bare.id].includes(snapshot.id)),
      snapshotSummary: true,
    });
    expect(others).toEqual([]);
    const { totalFilesProcessed, totalBytesProcessed } = summary ?? {};
    expect(counted?.next?.summary).toMatchObject({ totalFilesProcessed, totalBytesProcessed, filesNew: 0 });
    await expectBothChecks(folder);
  });

  test('refuses a tree that it would not write as it is, unless it does not have to be written', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const times = '"mtime":"2026-01-02T03:04:05Z","atime":"2026-01-02T03:04:05Z","ctime":"2026-01-02T03:04:05Z"';
    const node = (name: string, more: string): string =>
      `{"name":"${name}","type":"file",${times},"uid":0,"gid":0,"content":[]${more}}`;
    const tree = Buffer.from(`{"nodes":[${node('a', '')},${node('b', ',"colour":"red"')}]}\n`);
    const snapshot = await saveTree(repository, tree);
    const before = await repository.listFiles('pack');
    await expect(rewriteSnapshots(repository, { snapshots: [snapshot], excludes: ['a'] })).rejects.toMatchObject({
      code: 'REPOSITORY_DAMAGED',
      message: expect.stringMatching(/without losing information/),
    });
    expect(await repository.listFiles('pack')).toEqual(before);
    expect(await rewriteSnapshots(repository, { snapshots: [snapshot], excludes: ['c'] })).toEqual([]);
    expect(await repository.listSnapshots()).toEqual([snapshot]);
  });

  test('changes the snapshots before one that cannot be read', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const whole = await backUp(repository, await makeSource(folder, { large: false }));
    const { id: _id, ...fields } = whole;
    const lost = await repository.saveSnapshot({ ...fields, tree: 'ab'.repeat(32) });
    const options = { snapshots: [whole, lost], excludes: ['*.log'], forget: true };
    await expect(rewriteSnapshots(repository, options)).rejects.toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    const after = await repository.listSnapshots();
    expect(after.map(({ id, original }) => original ?? id).toSorted()).toEqual([whole.id, lost.id].toSorted());
    expect(after.find(({ original }) => original === whole.id)?.tree).not.toBe(whole.tree);
  });

  test('refuses patterns that it does not understand, and can be cancelled', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const snapshots = [await backUp(repository, await makeSource(folder))];
    await expect(rewriteSnapshots(repository, { snapshots, excludes: ['['] })).rejects.toMatchObject({
      code: 'USAGE_INVALID',
    });
    const signal = AbortSignal.abort(new AppError('CANCELLED', 'stop'));
    await expect(rewriteSnapshots(repository, { snapshots, excludes: ['x'], signal })).rejects.toMatchObject({
      code: 'CANCELLED',
    });
    expect(await repository.listSnapshots()).toEqual(snapshots);
  });
});

describe.skipIf(missing !== null)(`rewriting as restic does (${missing ?? 'restic is there'})`, () => {
  const cases = [
    { excludes: ['*.log'] },
    { excludes: ['logs', 'sub/deep/*.TXT'] },
    { iexcludes: ['*.txt', 'LARGE'] },
    { excludes: ['*', '!*.log', '!sub', '!source'] },
  ];

  test('yields the tree that a backup with the same excludes has', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    await makeSource(folder);
    // Relative, so that nothing above the source, which others may change, is in it.
    const whole = await backUp(repository, 'source', { cwd: folder.path });
    for (const { excludes = [], iexcludes = [] } of cases.slice(0, 3)) {
      const options = [...excludes.flatMap((e) => ['-e', e]), ...iexcludes.flatMap((e) => ['--iexclude', e])];
      await folder.restic(['backup', '--host', 'restic', '--force', ...options, 'source'], { cwd: folder.path });
      const theirs = await repository.findSnapshot('latest', { hosts: ['restic'] });
      const [ours] = await rewriteSnapshots(repository, { snapshots: [whole], excludes, iexcludes });
      expect(ours?.next?.tree).toBe(theirs.tree);
    }
    await expectBothChecks(folder);
  });

  test.skipIf(!canRewrite)('yields the tree that restic rewrite yields (restic 0.15 and later)', async () => {
    await using folder = await ScratchFolder.create();
    const repository = await folder.createRepository();
    const [whole] = await backUpTwice(repository, await makeSource(folder));
    for (const { excludes = [], iexcludes = [] } of cases) {
      await writeFile(join(folder.path, 'patterns'), excludes.join('\n'));
      const options = iexcludes.flatMap((e) => ['--iexclude', e]);
      await folder.restic(['rewrite', '--exclude-file', join(folder.path, 'patterns'), ...options, whole.id]);
      const theirs = (await repository.listSnapshots()).find(({ original }) => original === whole.id);
      await repository.removeSnapshots([theirs!.id]);
      const [ours] = await rewriteSnapshots(repository, { snapshots: [whole], excludes, iexcludes });
      const { id: _a, programVersion: _b, ...got } = ours!.next!;
      const { id: _c, programVersion: _d, ...wanted } = theirs!;
      expect(got).toEqual(wanted);
      await repository.removeSnapshots([ours!.next!.id]);
    }
    await expectBothChecks(folder);
  });
});
