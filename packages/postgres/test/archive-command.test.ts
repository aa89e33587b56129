// The archive_command as a server runs it: by the shells and programs of the images that there are.

import { execFile } from 'node:child_process';
import { access, chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { archiveCommand, archiveSettings, isArchiveDirectory } from '../src/index.ts';

const name = '000000010000000000000007';

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

const shells = await Promise.all(
  [
    { title: 'dash', shell: ['/bin/dash'] },
    { title: 'bash as sh', shell: ['/bin/bash', '--norc', '--posix'] },
    { title: 'BusyBox', shell: ['/bin/busybox', 'sh'] },
  ].map(async ({ title, shell }) => {
    const isPresent = await isThere(shell[0] ?? '');
    return { title, shell, isPresent, suite: isPresent ? title : `${title} (skipped: ${shell[0]} is not there)` };
  }),
);

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-command-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Ends with the exit code, as PostgreSQL would see it: `%p` and `%f` replaced, in the data folder. */
function run(options: { shell: readonly string[]; directory: string; cwd: string; path: string }): Promise<number> {
  const { shell, directory, cwd, path } = options;
  const [program = '', ...parameters] = shell;
  const command = archiveCommand(directory).replaceAll('%p', `pg_wal/${name}`).replaceAll('%f', name);
  return new Promise((resolve) => {
    execFile(program, [...parameters, '-c', command], { cwd, env: { PATH: path } }, (error) => {
      resolve(error === null ? 0 : Number(error.code));
    });
  });
}

describe.each(shells)('archive_command under $suite', ({ title, shell, isPresent }) => {
  const label = title.replaceAll(' ', '-');

  async function place(scenario: string) {
    const cwd = join(folder, label, scenario, 'data');
    const directory = join(folder, label, scenario, 'the archive');
    await mkdir(join(cwd, 'pg_wal'), { recursive: true });
    await mkdir(directory);
    await writeFile(join(cwd, 'pg_wal', name), Buffer.alloc(1 << 20, 7));
    let path = '/usr/bin:/bin';
    if (shell.includes('sh')) {
      // Its own programs and nothing else.
      const programs = join(folder, label, 'bin');
      await mkdir(programs, { recursive: true });
      await new Promise((resolve) => execFile('/bin/busybox', ['--install', '-s', programs], resolve));
      path = programs;
    }
    return { shell, cwd, directory, path };
  }

  test.skipIf(!isPresent)('gives a file its name when it is whole, and succeeds again for the same one', async () => {
    const where = await place('copy');
    expect(await run(where)).toBe(0);
    expect(await readdir(where.directory)).toEqual([name]);
    expect((await readFile(join(where.directory, name))).equals(Buffer.alloc(1 << 20, 7))).toBe(true);
    expect(await run(where)).toBe(0);
    expect(await readdir(where.directory)).toEqual([name]);
  });

  test.skipIf(!isPresent)('fails for another file under the same name, and leaves it as it is', async () => {
    const where = await place('other');
    await writeFile(join(where.directory, name), 'something else');
    expect(await run(where)).toBe(1);
    expect(await readFile(join(where.directory, name), 'utf8')).toBe('something else');
  });

  test.skipIf(!isPresent)('takes over what a broken-off copy left under the other name', async () => {
    const where = await place('left');
    await writeFile(join(where.directory, `.${name}.part`), Buffer.alloc(3 << 20, 1));
    expect(await run(where)).toBe(0);
    expect(await readdir(where.directory)).toEqual([name]);
    expect(await readFile(join(where.directory, name))).toHaveLength(1 << 20);
  });

  test.skipIf(!isPresent)('fails when the folder or the file is not there', async () => {
    const where = await place('missing');
    await rm(where.directory, { recursive: true });
    expect(await run(where)).toBeGreaterThan(0);
    await mkdir(where.directory);
    await rm(join(where.cwd, 'pg_wal', name));
    expect(await run(where)).toBeGreaterThan(0);
    expect(await readdir(where.directory)).toEqual([]);
  });

  test.skipIf(!isPresent || process.getuid?.() !== 0)('fails when it may not write there', async () => {
    const where = await place('denied');
    await chmod(folder, 0o755);
    const { shell: wanted, path } = where;
    const command = archiveCommand(where.directory).replaceAll('%p', `pg_wal/${name}`).replaceAll('%f', name);
    const [program = '', ...parameters] = wanted;
    const code = await new Promise((resolve) => {
      const options = { cwd: where.cwd, env: { PATH: path }, uid: 65_534, gid: 65_534 };
      execFile(program, [...parameters, '-c', command], options, (error) => resolve(error === null ? 0 : error.code));
    });
    expect(code).toBe(1);
    expect(await readdir(where.directory)).toEqual([]);
  });
});

test('a folder that cannot stand in a command is none', () => {
  for (const path of [
    'relative',
    '/with"quote',
    "/with'quote",
    '/with$dollar',
    '/with%percent',
    '/with\\slash',
    '/a\nb',
  ])
    expect(isArchiveDirectory(path), path).toBe(false);
  expect(isArchiveDirectory('/wal archive/db-1')).toBe(true);
  expect(archiveSettings('/wal/').map((line) => line.split(' = ')[0])).toEqual([
    'archive_mode',
    'archive_command',
    'archive_timeout',
  ]);
  expect(archiveCommand('/wal/')).toContain('d="/wal";');
});
