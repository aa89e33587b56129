// The commands that look into a repository, with restic as the oracle: the same repository, the same JSON.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  linkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import { createRepository } from '@varve/repository';
import { openStorage } from '@varve/storage';
import { resticAvailable, runRestic, type ResticRepository } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { makeLab, type Lab } from './launcher.ts';
import { runInProcess, type CapturedRun } from './run-in-process.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let lab: Lab;
let oracle: ResticRepository | undefined;
/** restic before 0.17 left out what later versions print. */
let isOld = false;
const password = 'correct horse';

/** Snapshots that share folders, with names, links and files of odd kinds; made by restic where it is there. */
beforeAll(async () => {
  lab = await makeLab();
  const source = lab.path('source');
  makeTree(source);
  oracle = { repo: lab.path('repo'), password };
  const version = await resticAvailable();
  isOld = version !== undefined && /^0\.(?:[0-9]|1[0-6])\./.test(version);
  const backup = async (...args: string[]): Promise<void> => {
    if (oracle && version !== undefined) await runRestic(oracle, ['backup', ...args], { cwd: lab.folder });
    else expect(await varve('backup', ...args)).toMatchObject({ exitCode: 0 });
  };
  // With a key that costs little to open: it is opened for each command.
  const storage = openStorage(lab.path('repo'));
  const keyDerivation = { N: 1024, r: 8, p: 1 };
  await using repository = await createRepository({ storage, password: new Secret(password), keyDerivation });
  expect(repository.version).toBe(2);
  await backup('--host', 'one', '--time', '2026-01-01 10:00:00', 'source');
  changeTree(source);
  await backup('--host', 'one', '--tag', 'changed,second', '--time', '2026-01-02 10:00:00', 'source');
  await backup('--host', 'two', '--time', '2026-01-03 10:00:00', 'source/folder');
  if (version === undefined) oracle = undefined;
});

afterAll(() => lab[Symbol.asyncDispose]());

function makeTree(source: string): void {
  const at = (...names: string[]): string => join(source, ...names);
  mkdirSync(at('folder/deep/deeper'), { recursive: true });
  mkdirSync(at('same/inner'), { recursive: true });
  for (let i = 0; i < 30; i++) writeFileSync(at('folder', `file-${i}.txt`), `content ${i}`);
  for (const name of ['emoji😀', 'new\nline', 'q"uote\\', '<&>', 'esc\x1b[31m']) writeFileSync(at('same', name), name);
  writeFileSync(Buffer.from(`${source}/same/bad\xff\xe2\x82name`, 'latin1'), 'not UTF-8');
  writeFileSync(at('same/inner/Upper.TXT'), 'upper');
  writeFileSync(at('plain'), 'hello\n');
  writeFileSync(at('empty'), '');
  writeFileSync(at('big'), Buffer.alloc(3_000_000, 'varve repository '));
  writeFileSync(at('sparse'), '');
  truncateSync(at('sparse'), 2_500_000);
  linkSync(at('plain'), at('folder/other name'));
  symlinkSync('plain', at('link'));
  // As far as this user and this system allow.
  const odd = 'mkfifo fifo; mknod device c 1 3; setfattr -n user.varve -v x plain';
  spawnSync('sh', ['-c', odd], { cwd: source });
  chmodSync(at('big'), 0o4750);
}

function changeTree(source: string): void {
  const at = (...names: string[]): string => join(source, ...names);
  writeFileSync(at('plain'), 'changed\n');
  writeFileSync(at('folder/new'), 'new');
  rmSync(at('folder/file-3.txt'));
  chmodSync(at('folder/file-4.txt'), 0o600);
  rmSync(at('link'));
  mkdirSync(at('link'));
  writeFileSync(at('link/inside'), 'x');
  mkdirSync(at('added/below'), { recursive: true });
  writeFileSync(at('added/below/file'), 'added');
  rmSync(at('folder/deep'), { recursive: true });
}

function varve(...args: string[]): Promise<CapturedRun> {
  const { folder } = lab;
  const env = { VARVE_REPOSITORY: lab.path('repo'), VARVE_PASSWORD: password, TZ: process.env['TZ'] };
  return runInProcess(['repo', ...args], { cwd: folder, env });
}

async function ok(...args: string[]): Promise<string> {
  const { exitCode, stdout, stderr } = await varve(...args);
  expect(stderr.replaceAll(/^(?:stats|restore|check): .*\n/gm, '')).toBe('');
  expect(exitCode).toBe(0);
  return stdout.toString();
}

async function restic(...args: string[]): Promise<string> {
  if (!oracle) throw new Error('restic is not there');
  return (await runRestic(oracle, args)).stdout;
}

/** Each line of JSON, without what only newer versions of restic print. */
function lines(text: string): unknown[] {
  return text
    .trim()
    .split('\n')
    .map((line) => without(JSON.parse(line)));
}

function records(text: string): Record<string, unknown>[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

function without(value: unknown): unknown {
  if (!isOld) return value;
  if (Array.isArray(value)) return value.map(without);
  if (typeof value !== 'object' || value === null) return value;
  const newer = new Set(['inode', 'message_type', 'program_version', 'summary']);
  const kept = Object.entries(value).filter(([key]) => !newer.has(key));
  return Object.fromEntries(kept.map(([key, part]) => [key, without(part)]));
}

async function ids(): Promise<string[]> {
  const list = JSON.parse(await ok('snapshots', '--json')) as { short_id: string }[];
  return list.map((snapshot) => snapshot.short_id);
}

describe('with restic as the oracle', () => {
  test.beforeEach((context) => {
    context.skip(oracle === undefined, 'restic is not installed');
  });

  test.each([
    ['names', ['file-1*', 'plain']],
    ['everything', ['*']],
    ['capital and small letters alike', ['-i', 'UPPER.txt']],
    ['paths from the root', ['/source/folder/*.txt', '/source/same']],
    ['a time', ['--oldest', '2020-01-01', '--newest', '2099-01-01', 'file-2?.txt']],
    ['one host', ['--host', 'two', 'new']],
    ['nothing', ['no such name']],
  ])('find looks for %s', async (_, args) => {
    // restic before 0.17 searches snapshots in no order.
    const sorted = (text: string): unknown[] =>
      (lines(text)[0] as { snapshot: string }[]).toSorted((a, b) => (a.snapshot < b.snapshot ? -1 : 1));
    const ours = await ok('find', '--json', ...args);
    const theirs = await restic('find', '--json', ...args);
    if (isOld) expect(sorted(ours)).toEqual(sorted(theirs));
    else expect(lines(ours)).toEqual(lines(theirs));
  });

  test('find tells where blobs, trees and packs are used', async () => {
    const [, second = ''] = await ids();
    const tree = JSON.parse(await ok('cat', 'tree', `${second}:/source/folder`)) as {
      nodes: { name: string; content: string[] | null }[];
    };
    const blob = tree.nodes.find(({ name }) => name === 'file-7.txt')?.content?.[0] ?? '';
    const root = JSON.parse(await ok('cat', 'tree', second)) as { nodes: { subtree: string }[] };
    const key = (hit: unknown): string => JSON.stringify(hit);
    const sorted = (text: string): unknown[] =>
      (lines(text)[0] as object[]).toSorted((a, b) => (key(a) < key(b) ? -1 : 1));
    for (const args of [
      ['--blob', blob],
      ['--blob', blob.slice(0, 8)],
      ['--tree', root.nodes[0]?.subtree ?? ''],
    ]) {
      const ours = sorted(await ok('find', '--json', ...args));
      expect(ours).toEqual(sorted(await restic('find', '--json', ...args)));
      expect(ours.length).toBeGreaterThan(0);
    }
    const packs = (await ok('list', 'packs')).trim().split('\n');
    const found = await Promise.all(packs.map((pack) => ok('find', '--pack', pack.slice(0, 12))));
    expect(found.some((text) => text.includes(blob) && text.includes('/source/folder/file-7.txt'))).toBe(true);
  });

  test.each([
    ['two snapshots', [], ''],
    ['with metadata', ['--metadata'], ''],
    ['a folder of them', [], ':/source/folder'],
  ])('diff compares %s', async (_, options, path) => {
    const [first = '', second = ''] = await ids();
    // restic before 0.16 knows no folders here.
    if (path !== '' && isOld) {
      const text = await ok('diff', `${first}${path}`, `${second}${path}`);
      expect(text).toContain('-    /file-3.txt\n+    /new\n');
      return;
    }
    const args = [...options, '--json', `${first}${path}`, `${second}${path}`];
    expect(lines(await ok('diff', ...args))).toEqual(lines(await restic('diff', ...args)));
    const back = [...options, '--json', `${second}${path}`, `${first}${path}`];
    expect(lines(await ok('diff', ...back))).toEqual(lines(await restic('diff', ...back)));
  });

  test.each(['restore-size', 'files-by-contents', 'blobs-per-file', 'raw-data'])(
    'stats counts in the mode %s',
    async (mode) => {
      for (const selection of [[], ['latest'], ['--host', 'one'], ['--tag', 'changed']]) {
        const args = ['stats', '--json', '--mode', mode, ...selection];
        const ours = JSON.parse(await ok(...args)) as Record<string, unknown>;
        const theirs = JSON.parse(await restic(...args)) as Record<string, unknown>;
        const shared = { total_file_count: 0, ...ours };
        if (isOld) expect(shared).toMatchObject({ total_file_count: 0, ...theirs });
        else expect(ours).toEqual(theirs);
      }
    },
  );

  test('ls lists everything, and folders', async () => {
    const [, second = ''] = await ids();
    for (const args of [[], ['/source/folder'], ['--recursive', '/source/added', '/source/same']]) {
      expect(lines(await ok('ls', '--json', second, ...args))).toEqual(
        lines(await restic('ls', '--json', second, ...args)),
      );
    }
  });

  test('cat and list print what is stored', async () => {
    const [first = ''] = await ids();
    for (const type of ['packs', 'index', 'snapshots', 'keys', 'blobs']) {
      const sorted = (text: string): string[] => text.trim().split('\n').toSorted();
      expect(sorted(await ok('list', type))).toEqual(sorted(await restic('list', type)));
    }
    const key = (await ok('list', 'keys')).trim();
    const index = (await ok('list', 'index')).split('\n')[0] ?? '';
    for (const args of [['config'], ['snapshot', first], ['key', key], ['index', index]]) {
      expect(JSON.parse(await ok('cat', ...args))).toEqual(JSON.parse(await restic('cat', ...args)));
    }
    // restic shows r with the bits cleared that Poly1305 does not use.
    type Master = { encrypt: string; mac: { k: string } };
    const ours = JSON.parse(await ok('cat', 'masterkey')) as Master;
    const theirs = JSON.parse(await restic('cat', 'masterkey')) as Master;
    expect([ours.encrypt, ours.mac.k]).toEqual([theirs.encrypt, theirs.mac.k]);
    expect((await ok('cat', 'key', key.slice(0, 6))).length).toBeGreaterThan(100);
  });

  test('snapshots come in groups', async () => {
    const args = ['snapshots', '--json', '--group-by', 'host,tags'];
    const byKey = (text: string): unknown[] =>
      (lines(text)[0] as object[]).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    expect(byKey(await ok(...args))).toEqual(byKey(await restic(...args)));
    expect(lines(await ok('snapshots', '--json', '--latest', '1'))).toEqual(
      lines(await restic('snapshots', '--json', '--latest', '1')),
    );
    expect(await ok('snapshots', '-c', '-g', 'host')).toMatch(
      /^snapshots for \(host \[one\]\):\nID +Time +Host +Tags$/m,
    );
  });
});

describe('dump', () => {
  test('writes a file to standard output and into a file', async () => {
    const [first = ''] = await ids();
    const { stdout } = await varve('dump', first, '/source/big');
    expect(stdout.equals(readFileSync(lab.path('source/big')))).toBe(true);
    writeFileSync(lab.path('dumped'), 'old');
    expect(await ok('dump', '-t', lab.path('dumped'), `${first}:/source`, 'plain')).toBe('');
    expect(readFileSync(lab.path('dumped'), 'utf8')).toBe('hello\n');
  });

  test('leaves a target as it was when the path is not there', async () => {
    writeFileSync(lab.path('kept'), 'old');
    const outcome = await varve('dump', '-t', lab.path('kept'), 'latest', '/no/such');
    expect(outcome).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('PATH_NOT_FOUND') as string });
    expect(readFileSync(lab.path('kept'), 'utf8')).toBe('old');
    expect(await varve('dump', '-t', lab.path('no/folder'), 'latest', '/source/folder/new')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('RESTORE_FAILED') as string,
    });
  });

  test('makes a tar of a folder that tar unpacks, with the names of the snapshot', async () => {
    const [, second = ''] = await ids();
    await ok('dump', '-t', lab.path('folder.tar'), second, '/source/added');
    const names = execFileSync('tar', ['tf', lab.path('folder.tar')], { encoding: 'utf8' });
    expect(names).toBe('source/added/below/\nsource/added/below/file\n');
    await ok('dump', '-t', lab.path('sub.tar'), `${second}:/source/added`, '/');
    expect(execFileSync('tar', ['tf', lab.path('sub.tar')], { encoding: 'utf8' })).toBe('below/\nbelow/file\n');
  });

  test('makes a zip with the entries of the zip of restic', async (context) => {
    if (spawnSync('python3', ['-c', 'import zipfile']).status !== 0) context.skip('python3 is not installed');
    context.skip(oracle === undefined, 'restic is not installed');
    const script = `import json, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
print(json.dumps([[i.filename, i.external_attr >> 16, i.file_size, i.CRC, i.extra.hex()] for i in archive.infolist()]))`;
    const entries = (file: string): [string, number, number, number, string][] =>
      JSON.parse(execFileSync('python3', ['-c', script, file], { encoding: 'utf8' })) as never;
    const [first = ''] = await ids();
    await ok('dump', '-a', 'zip', '-t', lab.path('ours.zip'), first, '/');
    await restic('dump', '-a', 'zip', '--target', lab.path('theirs.zip'), first, '/').catch(() => {
      const output = execFileSync('restic', ['-r', lab.path('repo'), 'dump', '-a', 'zip', first, '/'], {
        env: { ...process.env, RESTIC_PASSWORD: password },
        maxBuffer: 64 * 1024 * 1024,
      });
      writeFileSync(lab.path('theirs.zip'), output);
    });
    expect(entries(lab.path('ours.zip'))).toEqual(entries(lab.path('theirs.zip')));
  });
});

describe('restore', () => {
  test('lists what a dry run would do, and does it, with the numbers of restic', async () => {
    const target = lab.path('restored');
    const id = 'latest:/source';
    const args = ['restore', id, '--host', 'one', '--target', target, '--delete', '--json'];
    await ok(...args);
    writeFileSync(join(target, 'empty'), 'no longer');
    writeFileSync(join(target, 'extra'), 'extra');
    const dry = records(await ok(...args, '--dry-run', '-v'));
    expect(dry).toContainEqual({ message_type: 'verbose_status', action: 'updated', item: '/empty', size: 0 });
    expect(dry).toContainEqual({
      message_type: 'verbose_status',
      action: 'deleted',
      item: join(target, 'extra'),
      size: 0,
    });
    expect(JSON.stringify(dry)).not.toContain('unchanged');
    expect(await ok(...args.slice(0, -1), '--dry-run', '-vv')).toMatch(/^unchanged \/plain with size 8 B$/m);
    const {
      message_type: type,
      total_files: total,
      files_deleted: deleted,
      problems,
    } = records(await ok(...args)).at(-1) as Record<string, unknown>;
    expect({ type, deleted, problems }).toEqual({ type: 'summary', deleted: 1, problems: [] });
    expect(total).toBe((dry.at(-1) as { total_files: number }).total_files);
    expect(readFileSync(join(target, 'empty'), 'utf8')).toBe('');
  });

  test('takes patterns from files and without regard to case', async () => {
    writeFileSync(lab.path('patterns'), '# capital\n\nupper.*\n');
    await ok(
      'restore',
      'latest:/source',
      '--host',
      'one',
      '-t',
      lab.path('picked'),
      '--iinclude-file',
      'patterns',
      '--sparse',
    );
    expect(readFileSync(lab.path('picked/same/inner/Upper.TXT'), 'utf8')).toBe('upper');
    expect(readdirSync(lab.path('picked'))).toEqual(['same']);
  });

  test.each([
    [['--target', '/', '--delete']],
    [['--target', '/tmp/varve-never', '--dry-run', '--verify']],
    [['--target', '/tmp/varve-never', '--map-user', 'nonsense']],
    [['--target', '/tmp/varve-never', '--include-file', '/no/such/file']],
    [['--target', '/tmp/varve-never', '--exclude', '[a']],
  ])('%j is refused', async (args) => {
    const outcome = await varve('restore', 'latest', ...args);
    expect(outcome).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('USAGE_INVALID') as string });
  });
});

describe('what people see', () => {
  test('names cannot steer the terminal', async () => {
    for (const args of [
      ['ls', '-l', 'latest', '--host', 'one'],
      ['find', '-l', 'esc*'],
      ['find', 'new*'],
    ]) {
      const text = await ok(...args);
      // The test is about control characters.
      // oxlint-disable-next-line no-control-regex
      expect(text).not.toMatch(/\x1b/);
    }
    expect(await ok('find', 'esc*')).toContain('/source/same/esc\\x1b[31m');
    expect(await ok('find', 'bad*')).toContain('/source/same/bad\\xff\\xe2\\x82name');
  });

  test('ls sorts, and writes for ncdu', async () => {
    const bySize = (await ok('ls', '-q', '--sort', 'size', '--reverse', 'latest', '--host', 'one')).split('\n');
    expect(bySize.slice(0, 2)).toEqual(['/source/big', '/source/sparse']);
    const ncdu = JSON.parse(await ok('ls', '--ncdu', 'latest', '--host', 'one', '/source/added')) as unknown[];
    expect(ncdu.slice(0, 2)).toEqual([1, 2]);
    expect(ncdu[3]).toMatchObject([
      { name: '/' },
      [{ name: 'source' }, [{ name: 'added' }, [{ name: 'below', nlink: 0 }]]],
    ]);
  });

  test.each([
    [['find', '--blob', '--tree', 'abcd'], 2],
    [['find', '--blob', 'xyz'], 2],
    [['find', '--pack', 'ffffffffffff'], 4],
    [['find', '--oldest', 'nonsense', 'x'], 2],
    [['find', '--oldest', '2026-02-01', '--newest', '2026-01-01', 'x'], 2],
    [['diff', 'latest'], 2],
    [['diff', 'latest', 'ffffffff'], 4],
    [['stats', '--mode', 'nonsense'], 2],
    [['cat', 'nonsense'], 2],
    [['cat', 'snapshot'], 2],
    [['cat', 'blob', 'ffff'], 4],
    [['cat', 'pack', 'ffffffff'], 4],
    [['list', 'nonsense'], 2],
    [['dump', '-a', 'rar', 'latest', '/'], 2],
    [['ls', 'latest', 'relative'], 2],
    [['ls', 'latest', '/no/such'], 4],
    [['ls', '--ncdu', '--sort', 'size', 'latest'], 2],
    [['ls', '--ncdu', '--json', 'latest'], 2],
    [['snapshots', '--group-by', 'nonsense'], 2],
  ])('%j is refused with exit code %i', async (args, exitCode) => {
    const outcome = await varve(...args);
    expect(outcome.stderr).toMatch(/^(?:error: |\{"error")/);
    expect(outcome.exitCode).toBe(exitCode);
  });

  test('a folder that cannot be read is named, and the result is partial', async () => {
    const copy = lab.path('damaged');
    cpSync(lab.path('repo'), copy, { recursive: true });
    const [, second = ''] = await ids();
    const root = JSON.parse(await ok('cat', 'tree', `${second}:/source`)) as {
      nodes: { name: string; subtree: string }[];
    };
    const lost = root.nodes.find(({ name }) => name === 'folder')?.subtree ?? '';
    const where = await ok('find', '--tree', lost, '--show-pack-id');
    const [, pack = '', offset = ''] = /belongs to pack ([0-9a-f]+)\n \.\.\. offset (\d+)/.exec(where) ?? [];
    const file = join(copy, 'data', pack.slice(0, 2), pack);
    const bytes = readFileSync(file);
    bytes[Number(offset) + 20] = 255 - (bytes[Number(offset) + 20] ?? 0);
    chmodSync(file, 0o600);
    writeFileSync(file, bytes);
    const outcome = await varve('find', '-s', second, '--repo', copy, '*');
    expect(outcome.stderr).toContain(`/source/folder of snapshot ${second} cannot be read`);
    expect(outcome.stdout.toString()).toContain('/source/same/inner/Upper.TXT');
    expect(outcome.exitCode).toBe(3);
    expect(await varve('stats', second, '--repo', copy)).toMatchObject({ exitCode: 6 });
    expect(await varve('find', '--repo', copy, '--pack', pack, '--json')).toMatchObject({ exitCode: 3 });
  });

  test('every command runs from the launcher and leaves no lock', async () => {
    const options = ['--repo', lab.path('repo'), '--password-file', lab.path('password')];
    for (const [args, expected] of [
      [['find', 'plain'], '/source/plain'],
      [['diff', 'latest', 'latest'], 'Files:'],
      [['stats', '--mode', 'raw-data'], 'Total Blob Count'],
      [['cat', 'config'], 'chunker_polynomial'],
      [['dump', 'latest', '/source/folder/new'], 'new'],
      [['ls', '--ncdu', 'latest'], '"name":"folder"'],
      [['snapshots', '-g', 'host'], 'snapshots for (host [two])'],
      [['list', 'locks'], ''],
    ] as const) {
      const outcome = await lab.run(['repo', ...args, ...options]);
      expect(outcome).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(expected) as string });
    }
    expect(await ok('list', 'locks')).toBe('');
    expect(await ok('check', '--read-data')).toContain('no errors were found');
  });

  test('a reader that goes away ends a dump quietly', async () => {
    const running = lab.start([
      'repo',
      'dump',
      'latest',
      '/',
      '--host',
      'one',
      '--repo',
      lab.path('repo'),
      '-p',
      lab.path('password'),
    ]);
    onTestFinished(() => {
      running.child.kill();
    });
    running.child.stdout?.once('data', () => running.child.stdout?.destroy());
    const { exitCode, stderr } = await running.outcome;
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(await ok('list', 'locks')).toBe('');
  });
});
