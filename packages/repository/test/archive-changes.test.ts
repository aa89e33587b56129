// Files that change, vanish or cannot be read; what counts as unchanged; runs that end early; sessions side by side.

import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  closeSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  backupPaths,
  checkRepository,
  findNode,
  listTree,
  openRepository,
  readFileContent,
  startArchive,
  type Repository,
} from '@varve/repository';
import { Secret } from '@varve/base';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ArchiveRun } from '../src/archive/archive-run.ts';
import { BlobWriter } from '../src/archive/blob-writer.ts';
import { FileSaver, type FileToSave } from '../src/archive/file-saver.ts';
import { PageChecks } from '../src/archive/live-files.ts';
import { readLargeFile } from '../src/archive/large-file.ts';
import { compareReads, type ReadOutcome } from '../src/archive/stable-read.ts';
import { noCounts } from '../src/archive/worker-protocol.ts';
import { BlobClaims } from '../src/blob-index/blob-claims.ts';
import { Chunker } from '../src/chunker/chunker.ts';
import { Libc } from '../src/filesystem/libc.ts';
import { UserNames } from '../src/filesystem/user-names.ts';
import { encodeHeader } from '../src/pack/pack-header.ts';
import { TimeFormatter } from '../src/tree/go-time.ts';
import { isRoot, noise } from './odd-tree.ts';
import { resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const noRestic = resticMissing();
const commitOptions = { time: new Date(), hostname: 'host', paths: ['/x'], programVersion: 'varve' };

interface Lab {
  readonly folder: ScratchFolder;
  readonly repository: Repository;
  readonly source: string;
}

/** What a worker thread saves files with, here. */
function fileSaver({
  engine,
  key,
  index,
  config,
}: Repository): (file: FileToSave) => { json: string; outcome: ReadOutcome } {
  const writer = new BlobWriter({
    extraVerify: false,
    engine,
    key,
    claims: new BlobClaims(index),
    compression: 'auto',
    onPack: () => {},
    onPart: () => {},
  });
  const saver = new FileSaver({
    chunker: new Chunker(config.chunkerPolynomial),
    writer,
    reader: { libc: Libc.load(), times: new TimeFormatter(), users: new UserNames() },
    checks: new PageChecks(),
    throwIfAborted: () => {},
  });
  return (file) => saver.save(file, noCounts());
}

async function lab(): Promise<Lab> {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const source = join(folder.path, 'source');
  mkdirSync(source);
  return { folder, repository: await folder.createRepository(), source };
}

function reopen({ folder }: Lab): Promise<Repository> {
  return openRepository({ storage: folder.storage(), password: new Secret(resticPassword) });
}

async function expectSound({ folder, repository }: Lab): Promise<void> {
  expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
  if (noRestic === null) expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
  expect(readdirSync(join(folder.repo, 'locks'))).toEqual([]);
}

function packBytes({ folder }: Lab): number {
  const files = execFileSync('find', [join(folder.repo, 'data'), '-type', 'f', '-name', '?'.repeat(64)], {
    encoding: 'utf8',
  }).trim();
  return files === '' ? 0 : files.split('\n').reduce((sum, file) => sum + statSync(file).size, 0);
}

describe('what counts as unchanged', () => {
  test('is judged by size, time of change, time of status change and inode, as restic does', async () => {
    const all = await lab();
    const { source, repository } = all;
    const names = ['same', 'mtime', 'ctime', 'inode', 'size', 'touched'];
    for (const name of names) {
      writeFileSync(join(source, name), 'content');
      utimesSync(join(source, name), 1000, 1000);
    }
    const options = { paths: ['source'], cwd: all.folder.path, hostname: 'host' };
    await backupPaths(repository, options);
    utimesSync(join(source, 'mtime'), 1000, 2000);
    chmodSync(join(source, 'ctime'), 0o600);
    writeFileSync(join(source, 'inode.new'), 'content');
    utimesSync(join(source, 'inode.new'), 1000, 1000);
    renameSync(join(source, 'inode.new'), join(source, 'inode'));
    writeFileSync(join(source, 'size'), 'longer content');
    utimesSync(join(source, 'size'), 1000, 1000);
    const changed = async (comparison: object): Promise<number> => {
      const { summary } = await backupPaths(repository, { ...options, comparison, dryRun: true });
      return summary.filesChanged;
    };
    // Without the time of status change: mtime, inode, size. Without the inode too: mtime, size.
    expect(await changed({})).toBe(4);
    expect(await changed({ ignoreCtime: true })).toBe(3);
    expect(await changed({ ignoreCtime: true, ignoreInode: true })).toBe(2);
    if (noRestic !== null) return;
    for (const [args, count] of [
      [[], 4],
      [['--ignore-ctime'], 3],
      [['--ignore-inode'], 2],
    ] as const) {
      const printed = await all.folder.restic(['backup', '--dry-run', '--json', '--host', 'host', ...args, 'source'], {
        cwd: all.folder.path,
      });
      expect(JSON.parse(printed.trim().split('\n').at(-1) ?? '')).toMatchObject({ files_changed: count });
    }
  });

  test('a file whose chunks are not in the index is read again, and that is told', async () => {
    const all = await lab();
    writeFileSync(join(all.source, 'file'), noise(100_000, 'incomplete'));
    const options = { paths: [all.source], hostname: 'host' };
    const first = await backupPaths(all.repository, options);
    // As after the loss of the packs with data: the index knows the trees only.
    const listings = [...all.repository.index.packs()].map(({ packId, blobs }) => ({
      packId,
      isTree: blobs.some(({ type }) => type === 'tree'),
      header: encodeHeader(blobs),
    }));
    for (const name of readdirSync(join(all.folder.repo, 'index'))) rmSync(join(all.folder.repo, 'index', name));
    await all.repository.saveIndexFile(listings.filter(({ isTree }) => isTree));
    await using fresh = await reopen(all);
    const second = await backupPaths(fresh, { ...options, parent: first.snapshot });
    expect(second.problems).toEqual([]);
    expect(second.notices).toEqual([
      { kind: 'incomplete', path: join(all.source, 'file'), message: expect.stringContaining('read and stored again') },
    ]);
    expect(second.summary).toMatchObject({ filesChanged: 1, dataBlobs: 1 });
    await expectSound({ ...all, repository: fresh });
  });
});

describe('files that change while they are read', () => {
  const stat = (size: number, mtimeNs: number): Parameters<typeof compareReads>[0] =>
    ({ size: BigInt(size), mtimeNs: BigInt(mtimeNs) }) as Parameters<typeof compareReads>[0];

  test('are told apart: untouched, grown, mixed', () => {
    expect(compareReads(stat(10, 1), stat(10, 1), 10)).toBe('stable');
    expect(compareReads(stat(10, 1), stat(12, 2), 12)).toBe('grew');
    expect(compareReads(stat(10, 1), stat(12, 2), 10)).toBe('grew');
    expect(compareReads(stat(10, 1), stat(10, 2), 10)).toBe('mixed');
    expect(compareReads(stat(10, 1), stat(8, 2), 8)).toBe('mixed');
    expect(compareReads(stat(10, 1), stat(12, 2), 9)).toBe('mixed');
  });

  test('a large one that grows is whole, one that changes in place is reported, and both are saved', async () => {
    const all = await lab();
    const grows = join(all.source, 'grows');
    const changes = join(all.source, 'changes');
    writeFileSync(grows, randomBytes(34_000_000));
    writeFileSync(changes, randomBytes(34_000_000));
    let isChanged = false;
    await using session = await startArchive(all.repository, {
      // Both are opened before the first byte is read.
      onProgress: ({ bytesDone }) => {
        if (isChanged || bytesDone === 0) return;
        isChanged = true;
        appendFileSync(grows, 'more');
        const fd = openSync(changes, 'r+');
        writeSync(fd, 'in place', 0);
        closeSync(fd);
      },
    });
    await session.addPath({ source: all.source, target: '/source' });
    const result = await session.commit(commitOptions);
    expect(result.problems).toEqual([{ path: changes, message: expect.stringContaining('mixture') }]);
    expect(result.notices).toEqual([{ kind: 'grew', path: grows, message: expect.any(String) }]);
    const size = async (path: string): Promise<number> =>
      (await findNode(all.repository, { treeId: result.snapshot.tree, path })).size;
    expect(await size('/source/grows')).toBeGreaterThanOrEqual(34_000_000);
    expect(await size('/source/changes')).toBe(34_000_000);
    await expectSound(all);
  });

  test('one that is another, or another size, than when it was looked at is saved as what it is now', async () => {
    const all = await lab();
    const path = (name: string): string => join(all.source, name);
    writeFileSync(path('before'), 'before');
    writeFileSync(path('replaced'), 'replaced');
    const seen = lstatSync(path('before'), { bigint: true });
    writeFileSync(path('grown'), 'one line\n');
    const seenShort = lstatSync(path('grown'), { bigint: true });
    appendFileSync(path('grown'), 'two lines\n');
    const save = fileSaver(all.repository);
    for (const [file, stat, content] of [
      [path('replaced'), seen, 'replaced'],
      [path('grown'), seenShort, 'one line\ntwo lines\n'],
      // Its size is 0, and it is no less a file.
      ['/proc/version', lstatSync('/proc/version', { bigint: true }), readFileSync('/proc/version', 'utf8')],
      [path('before'), seen, 'before'],
    ] as const) {
      const { json, outcome } = save({
        path: Buffer.from(file),
        name: Buffer.from('x'),
        stat,
        pageChunkBytes: 0,
        live: null,
      });
      const now = statSync(file, { bigint: true });
      expect(outcome).toBe('stable');
      expect(JSON.parse(json)).toMatchObject({
        inode: Number(now.ino),
        mtime: new TimeFormatter().format(now.mtimeNs),
        size: content.length,
        content: [createHash('sha256').update(content).digest('hex')],
      });
    }
  });

  test('a small one is read again until it keeps still', async () => {
    const all = await lab();
    const path = Buffer.from(join(all.source, 'file'));
    writeFileSync(path, noise(3_000_000, 'before'));
    await all.repository.loadIndex();
    const run = new ArchiveRun({ repository: all.repository, signal: AbortSignal.any([]), workers: 1, dryRun: true });
    onTestFinished(() => run.close({ keepsStored: false }));
    const counts = noCounts();
    const reading = readLargeFile(run, { path, name: Buffer.from('file'), counts });
    // In place, once the reading has begun and before it can have ended.
    const fd = openSync(path, 'r+');
    writeSync(fd, 'in place', 100);
    utimesSync(path, 5, 5);
    closeSync(fd);
    const { node, outcome } = await reading;
    expect(outcome).toBe('stable');
    expect(node.size).toBe(3_000_000);
    expect(node.mtime).toContain('1970-01-01T');
  });

  test('files and folders that vanish or may not be read are problems, and the rest is saved', async () => {
    const all = await lab();
    writeFileSync(join(all.source, 'stays'), 'stays');
    writeFileSync(join(all.source, 'secret'), 'secret', { mode: 0 });
    mkdirSync(join(all.source, 'folder'));
    for (let i = 0; i < 600; i++) writeFileSync(join(all.source, `f${i}`), 'x');
    await using session = await startArchive(all.repository, {
      workers: 1,
      onProgress: () => rmSync(join(all.source, 'folder'), { recursive: true, force: true }),
    });
    await session.addPath({ source: all.source, target: '/source' });
    const { snapshot, problems } = await session.commit(commitOptions);
    const listed = await Array.fromAsync(listTree(all.repository, { treeId: snapshot.tree, recursive: true }));
    const paths = listed.map(({ path }) => path);
    expect(paths).toContain('/source/stays');
    // The folder was listed with its parent, and removed when that was told.
    expect(paths).not.toContain('/source/folder');
    const unread = [join(all.source, 'folder'), ...(isRoot ? [] : [join(all.source, 'secret')])];
    expect(problems.map(({ path }) => path).sort()).toEqual(unread);
    expect(paths.includes('/source/secret')).toBe(isRoot);
    await expectSound(all);
  });
});

describe('holes', () => {
  test('of a huge file cost nothing, and restic makes the same of it', async () => {
    const all = await lab();
    const file = join(all.source, 'sparse');
    const fd = openSync(file, 'w');
    writeSync(fd, noise(700_000, 'start'), 0, 700_000, 0);
    writeSync(fd, noise(10_000, 'middle'), 0, 10_000, 50_000_000);
    ftruncateSync(fd, 130_000_000);
    closeSync(fd);
    const ours = await backupPaths(all.repository, { paths: ['source'], cwd: all.folder.path, hostname: 'host' });
    expect(ours.summary.totalBytesProcessed).toBe(130_000_000);
    const read = Buffer.concat(
      await Array.fromAsync(readFileContent(all.repository, { treeId: ours.tree, path: '/source/sparse' })),
    );
    expect(read.equals(readFileSync(file))).toBe(true);
    if (noRestic === null) {
      await all.folder.restic(['backup', '--force', 'source'], { cwd: all.folder.path });
      const [theirs] = JSON.parse(await all.folder.restic(['snapshots', '--json', 'latest'])) as { tree: string }[];
      expect(ours.tree).toBe(theirs?.tree);
    }
    // 60 GB of nothing: only a program that skips it is done within the test.
    truncateSync(file, 60_000_000_000);
    const startedMs = performance.now();
    const huge = await backupPaths(all.repository, { paths: ['source'], cwd: all.folder.path, hostname: 'host' });
    expect(huge.summary.totalBytesProcessed).toBe(60_000_000_000);
    expect(performance.now() - startedMs).toBeLessThan(60_000);
    await expectSound(all);
  });
});

describe('a run that ends early', () => {
  test('leaves what it stored to the next one', async () => {
    const all = await lab();
    for (let i = 0; i < 10; i++) writeFileSync(join(all.source, `file-${i}`), randomBytes(4_000_000));
    const controller = new AbortController();
    const options = { paths: [all.source], hostname: 'host', packSizeBytes: 4_000_000 };
    const first = backupPaths(all.repository, {
      ...options,
      signal: controller.signal,
      onProgress: () => {
        if (packBytes(all) > 9_000_000) controller.abort();
      },
    });
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' });
    const storedBytes = packBytes(all);
    expect(storedBytes).toBeGreaterThan(9_000_000);
    expect(readdirSync(join(all.folder.repo, 'index')).length).toBeGreaterThan(0);
    expect(await all.repository.listSnapshots()).toEqual([]);
    await using fresh = await reopen(all);
    const second = await backupPaths(fresh, options);
    // Every whole pack was kept; what had not left the threads is stored anew.
    expect(second.summary.dataAdded).toBeLessThan(40_000_000 - storedBytes + 2_000_000);
    expect(packBytes(all)).toBeLessThan(40_000_000 + 2_000_000);
    await expectSound({ ...all, repository: fresh });
  });

  test('does not leave an index when its lock is lost, and later runs do not count on its packs', async () => {
    const all = await lab();
    await all.repository.loadIndex();
    const run = new ArchiveRun({ repository: all.repository, signal: AbortSignal.any([]), packSizeBytes: 1_000_000 });
    await run.storeData(new Uint8Array(noise(2_000_000, 'lost')), noCounts());
    await vi.waitFor(() => expect(packBytes(all)).toBeGreaterThan(1_000_000), { timeout: 20_000 });
    await run.close({ keepsStored: false });
    expect(readdirSync(join(all.folder.repo, 'index'))).toEqual([]);
    await all.repository.loadIndex();
    expect(all.repository.index.size).toBe(0);
  });

  test('a session does not rely on packs of another one that are in no index file yet', async () => {
    const all = await lab();
    const data = noise(3_000_000, 'shared');
    await using first = await startArchive(all.repository, { packSizeBytes: 500_000 });
    await first.addBytes({ target: '/data', data });
    // Every chunk but the last is a pack of its own, whichever thread and open pack it goes to.
    await vi.waitFor(() => expect(packBytes(all)).toBeGreaterThan(2_000_000), { timeout: 20_000 });
    await using second = await startArchive(all.repository, { packSizeBytes: 500_000 });
    await second.addBytes({ target: '/data', data });
    const { snapshot } = await second.commit(commitOptions);
    await first.abort();
    await using fresh = await reopen(all);
    await fresh.loadIndex();
    const read = await Array.fromAsync(readFileContent(fresh, { treeId: snapshot.tree, path: '/data' }));
    expect(Buffer.concat(read).equals(data)).toBe(true);
    await expectSound({ ...all, repository: fresh });
  });

  test('several sessions of one process make their snapshots at the same time', async () => {
    const all = await lab();
    for (let i = 0; i < 50; i++) writeFileSync(join(all.source, `f${i}`), noise(40_000, String(i % 40)));
    const results = await Promise.all(
      ['a', 'b', 'c'].map((host) => backupPaths(all.repository, { paths: [all.source], hostname: host, workers: 1 })),
    );
    expect(new Set(results.map(({ tree }) => tree)).size).toBe(1);
    expect(await all.repository.listSnapshots()).toHaveLength(3);
    await expectSound(all);
  });
});
