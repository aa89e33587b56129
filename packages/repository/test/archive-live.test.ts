// Files of a running program: what may be taken over from the parent, what is left out, pages that are checked while they are
// read, files and folders that go meanwhile.

import { spawn } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { TokenBucket } from '@varve/base';
import {
  checkRepository,
  listTree,
  readFileContent,
  startArchive,
  type AddedItem,
  type AddPathOptions,
  type LiveFiles,
  type Repository,
  type Snapshot,
  type StartArchiveOptions,
} from '@varve/repository';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { resticMissing, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const commitOptions = { time: new Date(), hostname: 'host', paths: ['/x'], programVersion: 'varve' };
const pageBytes = 8192;
const second = 1_000_000_000n;

interface Lab {
  readonly folder: ScratchFolder;
  readonly repository: Repository;
  readonly source: string;
}

async function lab(): Promise<Lab> {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const source = join(folder.path, 'source');
  mkdirSync(source);
  return { folder, repository: await folder.createRepository(), source };
}

interface Saved {
  readonly item: AddedItem;
  readonly snapshot: Snapshot;
}

async function save(
  { repository, source }: Lab,
  path: Partial<AddPathOptions>,
  start: StartArchiveOptions = {},
): Promise<Saved> {
  await using session = await startArchive(repository, start);
  const item = await session.addPath({ source, target: '/data', ...path });
  const { snapshot } = await session.commit(commitOptions);
  return { item, snapshot };
}

async function contentOf({ repository }: Lab, { snapshot }: Saved, path: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of readFileContent(repository, { treeId: snapshot.tree, path })) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function namesIn({ repository }: Lab, { snapshot }: Saved): Promise<string[]> {
  const names: string[] = [];
  for await (const { path } of listTree(repository, { treeId: snapshot.tree, path: '/', recursive: true }))
    names.push(path);
  return names.sort();
}

async function expectSound({ folder, repository }: Lab): Promise<void> {
  expect((await checkRepository(repository, { readData: true })).errors).toEqual([]);
  if (resticMissing() === null) expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
}

/** Other bytes with the same size, inode and time of change: what a write within the same tick of the clock looks like. */
function changeInTheSameInstant(file: string, text: string): void {
  const { mtime, atime, size } = statSync(file);
  expect(text).toHaveLength(size);
  const fd = openSync(file, 'r+');
  writeSync(fd, text, 0);
  closeSync(fd);
  utimesSync(file, atime, mtime);
}

/** The page is right when its first byte is that of the file's name plus the page's number. */
const checkModule = `
export const pageBytes = ${pageBytes};
export function findBadPage(bytes, { name, position }, from) {
  for (let at = from; at + pageBytes <= bytes.length; at += pageBytes) {
    if (bytes[at] !== ((name.charCodeAt(0) + (position + at) / pageBytes) & 255)) return at;
  }
  return -1;
}
export const describePage = (page) => 'begins with ' + page[0];
`;

function rightPages(name: string, count: number): Buffer {
  const bytes = Buffer.alloc(count * pageBytes);
  for (let page = 0; page < count; page++) {
    bytes.fill(page % 251, page * pageBytes, (page + 1) * pageBytes);
    bytes[page * pageBytes] = (name.charCodeAt(0) + page) & 255;
  }
  return bytes;
}

class CountingBucket extends TokenBucket {
  taken = 0;

  override take(count: number): Promise<void> {
    this.taken += count;
    return Promise.resolve();
  }
}

describe('a folder that is read at a pace', () => {
  test('asks before it reads, for small files, large ones and pages alike', async () => {
    const all = await lab();
    const mebibyte = 1024 * 1024;
    mkdirSync(join(all.source, 'small'));
    for (let file = 0; file < 64; file++)
      writeFileSync(join(all.source, 'small', `${file}`), Buffer.alloc(mebibyte / 64, file));
    writeFileSync(join(all.source, 'large'), Buffer.alloc(5 * mebibyte, 'large'));
    writeFileSync(join(all.source, 'pages'), rightPages('pages', (2 * mebibyte) / pageBytes));
    const pace = new CountingBucket(1024 * mebibyte);
    const pages = { patterns: ['/pages'], chunkBytes: 2 * pageBytes };
    const first = await save(all, { pace, pages });
    expect(pace.taken).toBeGreaterThanOrEqual(8 * mebibyte);
    // A read at the end of a file asks for more than there is.
    expect(pace.taken).toBeLessThan(11 * mebibyte);
    pace.taken = 0;
    await save(all, { pace, pages }, { parent: first.snapshot });
    expect(pace.taken).toBe(0);
    await expectSound(all);
  });
});

describe('live files that did not change', () => {
  test('are taken over only from before the limit: a change in the same instant is not missed', async () => {
    const all = await lab();
    const file = join(all.source, 'rows');
    writeFileSync(file, 'before');
    const old = new Date(Date.now() - 3600_000);
    utimesSync(file, old, old);
    // The time of change of the inode cannot be set back; the comparison leaves it out here, the limit does not.
    const comparison = { ignoreCtime: true };
    const run = async (parent: Saved, live: LiveFiles | undefined): Promise<string> => {
      const saved = await save(all, { live }, { comparison, parent: parent.snapshot });
      return (await contentOf(all, saved, '/data/rows')).toString();
    };
    const first = await save(all, { live: { unchangedBeforeNs: null } });
    changeInTheSameInstant(file, 'after!');
    const { mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    // Without the rule the file looks as it did. This is what it is for.
    expect(await run(first, undefined)).toBe('before');
    expect(await run(first, { unchangedBeforeNs: null })).toBe('after!');
    expect(await run(first, { unchangedBeforeNs: mtimeNs })).toBe('after!');
    // mtime alone is not enough: it can be set.
    expect(await run(first, { unchangedBeforeNs: mtimeNs + 1n })).toBe('after!');
    expect(await run(first, { unchangedBeforeNs: ctimeNs })).toBe('after!');
    // From the limit on they are believed, which is why it has to be chosen right.
    expect(await run(first, { unchangedBeforeNs: ctimeNs + 1n })).toBe('before');
    await expectSound(all);
  });

  test('are not read again when they are older than the limit', async () => {
    const all = await lab();
    mkdirSync(join(all.source, 'base'));
    for (const name of ['1', '2', '3']) writeFileSync(join(all.source, 'base', name), rightPages(name, 4));
    const live = { unchangedBeforeNs: BigInt(Date.now()) * 1_000_000n + 3600n * second };
    const first = await save(all, { live });
    writeFileSync(join(all.source, 'base/2'), rightPages('2', 5));
    await using session = await startArchive(all.repository, { parent: first.snapshot });
    await session.addPath({ source: all.source, target: '/data', live });
    const { summary } = await session.commit(commitOptions);
    expect(summary).toMatchObject({ filesNew: 0, filesChanged: 1, filesUnmodified: 2 });
  });
});

describe('files that are beside a mark', () => {
  test('are left out when their number is the same, whatever the fork or segment', async () => {
    const all = await lab();
    const names = [
      '16',
      '16.1',
      '16_fsm',
      '16_vm.2',
      '16_init',
      '16_init.1',
      '160',
      '17',
      '17_fsm',
      '16x',
      'log_init',
      'log',
    ];
    for (const name of names) writeFileSync(join(all.source, name), name);
    const saved = await save(all, { live: { unchangedBeforeNs: null, onlySuffix: '_init' } });
    expect(await namesIn(all, saved)).toEqual(
      ['16_init', '16_init.1', '160', '16x', '17', '17_fsm', 'log', 'log_init']
        .map((name) => `/data/${name}`)
        .concat('/data')
        .sort(),
    );
  });
});

describe('pages that are checked while they are read', () => {
  const cases = [
    { what: 'a small file', pages: 40 },
    // From 32 MiB on all threads read it, in ranges of 4 MiB.
    { what: 'a large file', pages: 5000 },
  ];
  for (const { what, pages } of cases) {
    test(`of ${what} that are wrong are told with their place, and saved as they are`, async () => {
      const all = await lab();
      const module = join(all.folder.path, 'check.mjs');
      writeFileSync(module, checkModule);
      const bytes = rightPages('a', pages);
      const wrong = [3, pages - 1];
      for (const page of wrong) bytes[page * pageBytes]! ^= 255;
      // The last page is not whole, and not looked at.
      writeFileSync(join(all.source, 'a'), Buffer.concat([bytes, Buffer.alloc(100)]));
      writeFileSync(join(all.source, 'other'), 'no pages');
      const saved = await save(all, {
        pages: { patterns: ['/a'], chunkBytes: 2 * pageBytes },
        live: { unchangedBeforeNs: null, pageCheck: pathToFileURL(module).href },
      });
      expect(saved.item.problems).toEqual([]);
      expect(saved.item.notices.map(({ kind, path, page }) => ({ kind, path, ...page }))).toEqual(
        wrong.map((page) => ({
          kind: 'bad-page',
          path: join(all.source, 'a'),
          position: page * pageBytes,
          description: `begins with ${bytes[page * pageBytes]}`,
        })),
      );
      const stored = await contentOf(all, saved, '/data/a');
      expect(stored.equals(readFileSync(join(all.source, 'a')))).toBe(true);
      await expectSound(all);
    });
  }

  test('a page that is right when it is read again is saved right', async () => {
    const all = await lab();
    const file = join(all.source, 'a');
    // The first look at page 7 finds it wrong, as if it was read in the middle of a write.
    const module = join(all.folder.path, 'check.mjs');
    writeFileSync(
      module,
      `${checkModule.replace('export function findBadPage', 'function find')}
      let looked = false;
      export function findBadPage(bytes, part, from) {
        if (!looked && from === 0 && bytes.length > 7 * pageBytes) { looked = true; bytes[7 * pageBytes] ^= 255; }
        return find(bytes, part, from);
      }`,
    );
    writeFileSync(file, rightPages('a', 20));
    const saved = await save(all, {
      pages: { patterns: ['/a'], chunkBytes: pageBytes },
      live: { unchangedBeforeNs: null, pageCheck: pathToFileURL(module).href },
    });
    expect(saved.item.notices).toEqual([]);
    expect((await contentOf(all, saved, '/data/a')).equals(readFileSync(file))).toBe(true);
  });
});

describe('live files that change while they are read', () => {
  test('vanish, are cut off and grow without a problem, and what is left has its place', async () => {
    const all = await lab();
    const tables = join(all.source, 'tables');
    mkdirSync(tables);
    const large = 9000;
    for (let number = 0; number < 40; number++) writeFileSync(join(tables, `${number}`), rightPages('1', 200));
    for (const name of ['90', '91', '92']) writeFileSync(join(tables, name), rightPages('9', large));
    const doomed = Array.from({ length: 60 }, (_, number) => join(all.source, `database-${number}`));
    for (const path of doomed) {
      mkdirSync(path);
      writeFileSync(join(path, '1'), rightPages('1', 50));
    }
    const original = rightPages('9', large);
    let isUnderWay = false;
    const meanwhile = (): void => {
      if (isUnderWay) return;
      isUnderWay = true;
      for (let number = 0; number < 40; number += 2) rmSync(join(tables, `${number}`));
      rmSync(join(tables, '90'));
      truncateSync(join(tables, '91'), 1000 * pageBytes);
      writeFileSync(join(tables, '91'), original.subarray(0, 10 * pageBytes), { flag: 'a' });
      for (const path of doomed.slice(30)) rmSync(path, { recursive: true });
    };
    await using session = await startArchive(all.repository, { onItem: meanwhile });
    const pages = { patterns: ['/tables/*'], chunkBytes: 2 * pageBytes };
    const item = await session.addPath({
      source: all.source,
      target: '/data',
      pages,
      live: { unchangedBeforeNs: null },
    });
    const { snapshot } = await session.commit(commitOptions);
    expect(isUnderWay).toBe(true);
    expect(item.problems).toEqual([]);
    expect(item.notices).toEqual([]);
    const saved = { item, snapshot };
    const untouched = await contentOf(all, saved, '/data/tables/92');
    expect(untouched.equals(original)).toBe(true);
    // Every page of a file that was cut off is what it was at some moment, at its place, or zeros.
    const cut = await contentOf(all, saved, '/data/tables/91');
    expect(cut.length % pageBytes).toBe(0);
    for (let at = 0; at < cut.length; at += pageBytes) {
      const page = cut.subarray(at, at + pageBytes);
      const appended =
        at >= 1000 * pageBytes && at < 1010 * pageBytes ? original.subarray(at - 1000 * pageBytes) : undefined;
      const possible = [
        original.subarray(at, at + pageBytes),
        Buffer.alloc(pageBytes),
        appended?.subarray(0, pageBytes),
      ];
      expect(possible.some((bytes) => bytes?.equals(page))).toBe(true);
    }
    await expectSound(all);
  });

  test('are no problem while somebody writes to them all the time', async () => {
    const all = await lab();
    writeFileSync(join(all.source, '16384'), rightPages('1', 4500));
    writeFileSync(join(all.source, 'log'), 'x');
    const script = `const fs = require('fs'); const fd = fs.openSync(process.argv[1] + '/16384', 'r+'); const page = Buffer.alloc(${pageBytes});
      process.stdout.write('ready'); for (let n = 0; ; n++) { page.fill(n); fs.writeSync(fd, page, 0, ${pageBytes}, (n * 7 % 4500) * ${pageBytes}); fs.appendFileSync(process.argv[1] + '/log', 'y'); }`;
    const writer = spawn(process.execPath, ['-e', script, all.source], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      await new Promise((resolve) => writer.stdout.once('data', resolve));
      const pages = { patterns: ['/[0-9]*'], chunkBytes: 2 * pageBytes };
      const { item } = await save(all, { pages, live: { unchangedBeforeNs: null } });
      expect([item.problems, item.notices]).toEqual([[], []]);
    } finally {
      writer.kill('SIGKILL');
      await new Promise((resolve) => writer.once('close', resolve));
    }
  });
});

describe('open folders', () => {
  test('take other inputs beside what was read, but not in its place', async () => {
    const all = await lab();
    for (const path of ['global', 'empty', 'base/5']) mkdirSync(join(all.source, path), { recursive: true });
    writeFileSync(join(all.source, 'PG_VERSION'), '17\n');
    writeFileSync(join(all.source, 'global/1262'), 'shared');
    writeFileSync(join(all.source, 'base/5/112'), 'own');
    await using session = await startArchive(all.repository);
    await session.addPath({ source: all.source, target: '/data', openFolders: ['/', '/global', '/nowhere'] });
    await session.addBytes({ target: '/data/global/pg_control', data: Buffer.from('control') });
    await session.addBytes({ target: '/data/backup_label', data: Buffer.from('label') });
    session.addFolder({ source: join(all.source, 'empty'), target: '/data/pg_wal' });
    await session.addBytes({ target: '/data/pg_wal/0001', data: Buffer.from('wal') });
    await expect(session.addBytes({ target: '/data/PG_VERSION', data: Buffer.from('x') })).rejects.toMatchObject({
      code: 'USAGE_INVALID',
    });
  });

  test('are restored as if they had been one folder', async () => {
    const all = await lab();
    for (const path of ['global', 'base/5']) mkdirSync(join(all.source, path), { recursive: true });
    writeFileSync(join(all.source, 'global/1262'), 'shared');
    writeFileSync(join(all.source, 'base/5/112'), 'own');
    const owner = { uid: 1234, gid: 1235 };
    const add = async (parent?: Snapshot): Promise<Saved> => {
      await using session = await startArchive(all.repository, { parent });
      const item = await session.addPath({ source: all.source, target: '/data', openFolders: ['/', '/global'] });
      await session.addBytes({ target: '/data/global/pg_control', data: Buffer.from('control'), mode: 0o600, owner });
      const { snapshot, summary } = await session.commit(commitOptions);
      if (parent) expect(summary).toMatchObject({ filesNew: 1, filesUnmodified: 2 });
      return { item, snapshot };
    };
    const first = await add();
    const saved = await add(first.snapshot);
    expect(await namesIn(all, saved)).toEqual(
      ['', '/base', '/base/5', '/base/5/112', '/global', '/global/1262', '/global/pg_control'].map(
        (path) => `/data${path}`,
      ),
    );
    for await (const { path, node } of listTree(all.repository, {
      treeId: saved.snapshot.tree,
      path: '/data',
      recursive: true,
    })) {
      if (path.endsWith('pg_control')) expect(node).toMatchObject({ ...owner, mode: 0o600, size: 7 });
    }
    if (resticMissing() === null && process.getuid?.() === 0) {
      const target = join(all.folder.path, 'restored');
      await all.folder.restic(['restore', 'latest', '--target', target]);
      for (const path of ['base/5/112', 'global/1262'])
        expect(readFileSync(join(target, 'data', path), 'utf8')).toBe(readFileSync(join(all.source, path), 'utf8'));
      expect(statSync(join(target, 'data/global/pg_control'))).toMatchObject(owner);
    }
    await expectSound(all);
  });
});
