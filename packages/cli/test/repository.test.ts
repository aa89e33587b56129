import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, lstat, mkdir, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { resticAvailable } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { jsonError, launcher, makeLab, type Lab, type Outcome } from './launcher.ts';

// Many programs one after the other, on machines that may be busy.
vi.setConfig({ testTimeout: 300_000 });

let lab: Lab;
let source: string;
let repo: string[];

beforeAll(async () => {
  lab = await makeLab();
  source = lab.path('source');
  await mkdir(join(source, 'sub', 'deep'), { recursive: true });
  await writeFile(join(source, 'a.txt'), 'alpha\n');
  await writeFile(join(source, 'sub', 'b.log'), 'beta\n');
  await writeFile(join(source, 'sub', 'deep', 'big.bin'), Buffer.alloc(3_000_000, 'varve'));
  await chmod(join(source, 'a.txt'), 0o640);
  await symlink('a.txt', join(source, 'link'));
  repo = ['--repo', lab.path('repo'), '--password-file', lab.path('password')];
  const made = await lab.run(['repo', 'init', ...repo]);
  expect(made).toMatchObject({ exitCode: 0 });
});

afterAll(() => lab[Symbol.asyncDispose]());

async function ok(args: readonly string[], options?: Parameters<Lab['run']>[1]): Promise<Outcome> {
  const outcome = await lab.run(args, options);
  expect(outcome.stderr.replaceAll(/^(?!error).*\n/gm, '')).toBe('');
  expect(outcome.exitCode).toBe(0);
  return outcome;
}

function jsonLines(text: string): Record<string, unknown>[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('varve repo', () => {
  test('saves a folder, lists it, brings it back and checks itself', async () => {
    const backup = await ok([
      'repo',
      'backup',
      ...repo,
      '--tag',
      'one,two',
      '--host',
      'alpha',
      '--time',
      '2026-01-02 03:04:05',
      source,
    ]);
    expect(backup.stdout).toMatch(/Files: 3 new, 0 changed, 0 unmodified/);
    const id = /snapshot ([0-9a-f]{8}) saved/.exec(backup.stdout)?.[1] ?? '';

    const list = JSON.parse((await ok(['repo', 'snapshots', ...repo, '--json'])).stdout) as Record<string, unknown>[];
    expect(list).toMatchObject([{ short_id: id, hostname: 'alpha', tags: ['one', 'two'], paths: [source] }]);
    expect(new Date(String(list[0]?.['time'])).getTime()).toBe(new Date(2026, 0, 2, 3, 4, 5).getTime());

    const table = (await ok(['repo', 'snapshots', ...repo])).stdout;
    expect(table).toMatch(/^ID {2,}Time {2,}Age {2,}Host {2,}Tags {2,}Paths$/m);
    expect(table).toContain('2026-01-02 03:04:05');
    expect(table).toContain('one,two');

    const names = (await ok(['repo', 'ls', 'latest', ...repo, '--quiet'])).stdout.trim().split('\n');
    expect(names).toContain(join(source, 'sub', 'deep', 'big.bin'));
    const long = (await ok(['repo', 'ls', '-l', `${id}:${source}`, ...repo])).stdout;
    expect(long).toMatch(/^-rw-r----- +\d+ +\d+ +6 \d{4}-\d\d-\d\d \d\d:\d\d:\d\d .*a\.txt$/m);
    expect(long).toMatch(/link -> a\.txt$/m);
    const shallow = (await ok(['repo', 'ls', 'latest', source, ...repo, '--quiet'])).stdout;
    expect(shallow).not.toContain('big.bin');
    expect((await ok(['repo', 'ls', 'latest', source, '--recursive', ...repo, '--quiet'])).stdout).toContain('big.bin');

    await ok(['repo', 'restore', 'latest', '--target', lab.path('back'), '--verify', ...repo]);
    const back = join(lab.path('back'), source);
    expect(await readFile(join(back, 'a.txt'), 'utf8')).toBe('alpha\n');
    expect((await lstat(join(back, 'a.txt'))).mode & 0o777).toBe(0o640);
    expect(await readlink(join(back, 'link'))).toBe('a.txt');
    await ok(['repo', 'restore', `${id}:${source}/sub`, '-t', lab.path('sub'), ...repo]);
    expect((await readdir(lab.path('sub'))).toSorted()).toEqual(['b.log', 'deep']);

    expect((await ok(['repo', 'check', '--read-data', ...repo])).stdout).toContain('no errors were found');
    expect((await ok(['repo', 'unlock', ...repo])).stdout).toBe('no locks to remove\n');
  });

  test('leaves out what --exclude and --exclude-file name', async () => {
    await writeFile(lab.path('excludes'), '# logs\n\n*.log\n');
    await ok([
      'repo',
      'backup',
      ...repo,
      '--host',
      'excl',
      '--exclude',
      '*.bin',
      '--exclude-file',
      lab.path('excludes'),
      source,
    ]);
    const { stdout } = await ok(['repo', 'ls', 'latest', '--host', 'excl', ...repo, '--quiet']);
    expect(stdout).toContain('a.txt');
    expect(stdout).not.toMatch(/b\.log|big\.bin/);
  });

  test('saves standard input under a name', async () => {
    await ok(['repo', 'backup', ...repo, '--stdin', '--stdin-filename', 'dump.sql', '--tag', 'stdin'], {
      input: 'select 1;\n',
    });
    await ok(['repo', 'restore', 'latest', '--tag', 'stdin', '--target', lab.path('stdin'), ...repo]);
    expect(await readFile(lab.path('stdin', 'dump.sql'), 'utf8')).toBe('select 1;\n');
  });

  test('notices what did not change, unless forced', async () => {
    await ok(['repo', 'backup', ...repo, '--host', 'again', source]);
    expect((await ok(['repo', 'backup', ...repo, '--host', 'again', source])).stdout).toContain(
      'Files: 0 new, 0 changed, 3 unmodified',
    );
    expect((await ok(['repo', 'backup', ...repo, '--host', 'again', '--force', source])).stdout).toContain(
      'Files: 3 new',
    );
    const latest = JSON.parse(
      (await ok(['repo', 'snapshots', ...repo, '--host', 'again', '--latest', '2', '--json'])).stdout,
    ) as unknown[];
    expect(latest).toHaveLength(2);
  });

  test('restores over files as told, and dry runs write nothing', async () => {
    const target = lab.path('over');
    const id = `latest:${source}`;
    await ok(['repo', 'backup', ...repo, '--host', 'over', source]);
    const args = ['repo', 'restore', id, '--host', 'over', '--target', target, ...repo];
    await ok([...args, '--dry-run']);
    expect(await lstat(target).catch(() => null)).toBeNull();
    await ok(args);
    await writeFile(join(target, 'a.txt'), 'mine\n');
    await writeFile(join(target, 'extra'), 'mine\n');
    await ok([...args, '--overwrite', 'never']);
    expect(await readFile(join(target, 'a.txt'), 'utf8')).toBe('mine\n');
    await ok([...args, '--delete']);
    expect(await readFile(join(target, 'a.txt'), 'utf8')).toBe('alpha\n');
    expect(await readdir(target)).not.toContain('extra');
    await ok(['repo', 'restore', id, '--host', 'over', '--target', lab.path('only'), '--include', '*.log', ...repo]);
    expect(await readdir(join(lab.path('only'), 'sub'))).toEqual(['b.log']);
  });

  test('writes JSON that restic users know', async () => {
    const backup = jsonLines((await ok(['repo', 'backup', ...repo, '--host', 'json', source, '--json'])).stdout);
    expect(backup.at(-1)).toMatchObject({
      message_type: 'summary',
      files_new: 3,
      total_files_processed: 3,
      snapshot_id: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    const listing = jsonLines((await ok(['repo', 'ls', 'latest', '--host', 'json', ...repo, '--json'])).stdout);
    expect(listing[0]).toMatchObject({ struct_type: 'snapshot', hostname: 'json' });
    expect(listing).toContainEqual(
      expect.objectContaining({ struct_type: 'node', name: 'a.txt', type: 'file', size: 6, permissions: '-rw-r-----' }),
    );
    const restore = jsonLines(
      (await ok(['repo', 'restore', 'latest', '--target', lab.path('jsonback'), ...repo, '--json'])).stdout,
    );
    expect(restore.at(-1)).toMatchObject({ message_type: 'summary', problems: [] });
    expect(jsonLines((await ok(['repo', 'check', ...repo, '--json'])).stdout).at(-1)).toMatchObject({ num_errors: 0 });
    const init = await ok([
      'repo',
      'init',
      '--repo',
      lab.path('jsonrepo'),
      '--password-file',
      lab.path('password'),
      '--json',
    ]);
    expect(JSON.parse(init.stdout)).toMatchObject({ message_type: 'initialized', repository: lab.path('jsonrepo') });
  });

  test('is read by restic', async (context) => {
    if ((await resticAvailable()) === undefined) context.skip('restic is not installed');
    const run = (...args: string[]) =>
      spawnSync('restic', ['-r', lab.path('repo'), '--no-cache', ...args], {
        env: { ...process.env, RESTIC_PASSWORD: 'correct horse' },
        encoding: 'utf8',
      });
    await ok(['repo', 'backup', ...repo, '--host', 'restic', source]);
    expect(run('check', '--read-data')).toMatchObject({ status: 0 });
    const theirs = JSON.parse(run('snapshots', '--json').stdout) as { id: string }[];
    const ours = JSON.parse((await ok(['repo', 'snapshots', ...repo, '--json'])).stdout) as { id: string }[];
    expect(ours.map(({ id }) => id)).toEqual(theirs.map(({ id }) => id));
    // The same listing, modes included, as restic prints it.
    const nodes = (text: string): unknown[] =>
      jsonLines(text)
        .slice(1)
        .map(({ path, permissions, size, type, uid }) => ({ path, permissions, size, type, uid }));
    const mine = (await ok(['repo', 'ls', 'latest', ...repo, '--json'])).stdout;
    expect(nodes(mine)).toEqual(nodes(run('ls', 'latest', '--json').stdout));
  });
});

describe('the password', () => {
  test('is taken from every place that restic knows, ours first', async () => {
    const where = ['repo', 'snapshots', '--quiet'];
    const location = lab.path('repo');
    const passwordFile = lab.path('password');
    await writeFile(lab.path('location'), `${location}\n`);
    for (const env of [
      { VARVE_REPOSITORY: location, VARVE_PASSWORD: 'correct horse' },
      { VARVE_REPOSITORY: location, VARVE_PASSWORD_FILE: passwordFile },
      { RESTIC_REPOSITORY: location, RESTIC_PASSWORD: 'correct horse' },
      { RESTIC_REPOSITORY_FILE: lab.path('location'), RESTIC_PASSWORD_FILE: passwordFile },
      { RESTIC_REPOSITORY: location, RESTIC_PASSWORD_COMMAND: `cat '${passwordFile}'` },
      {
        VARVE_REPOSITORY: location,
        RESTIC_REPOSITORY: '/nowhere',
        VARVE_PASSWORD: 'correct horse',
        RESTIC_PASSWORD: 'wrong',
      },
    ]) {
      await ok(where, { env });
    }
    await ok([...where, '--repository-file', lab.path('location'), '--password-command', `cat ${passwordFile}`]);
  });

  test('is asked for at a terminal, unseen, and twice for a new repository', async (context) => {
    if (spawnSync('script', ['--version']).status !== 0) context.skip('script (util-linux) is not installed');
    const child = spawn('script', ['-qec', `'${launcher}' repo init --repo '${lab.path('asked')}'`, '/dev/null'], {
      env: { ...process.env, HOME: lab.folder, VARVE_DATA: lab.path('data') },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let screen = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      screen += chunk;
      if (screen.endsWith('Password for the new repository: ') || screen.endsWith('The same again: '))
        child.stdin.write('typed secret\r');
    });
    const [status] = (await once(child, 'close')) as [number];
    expect(screen).toContain('created repository');
    expect(status).toBe(0);
    expect(screen).not.toContain('typed secret');
    await ok(['repo', 'snapshots', '--repo', lab.path('asked')], { env: { VARVE_PASSWORD: 'typed secret' } });
  });

  test('is never in the process list', async () => {
    const slow = lab.start(['repo', 'backup', '--stdin', '--repo', lab.path('repo')], {
      env: { VARVE_PASSWORD: 'correct horse' },
    });
    slow.child.stdin?.write('begin');
    const seen: string[] = [];
    for (let count = 0; count < 10; count++) {
      seen.push(spawnSync('ps', ['axww', '-o', 'args'], { encoding: 'utf8' }).stdout);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    slow.child.stdin?.end();
    expect((await slow.outcome).exitCode).toBe(0);
    expect(seen.some((list) => list.includes(`--repo ${lab.path('repo')}`))).toBe(true);
    expect(seen.join('\n')).not.toContain('correct horse');
  });
});

describe('bad input', () => {
  test.each([
    ['a wrong password', ['snapshots'], { VARVE_PASSWORD: 'wrong' }, 12, 'REPOSITORY_PASSWORD_WRONG'],
    ['no password', ['snapshots'], {}, 12, 'REPOSITORY_PASSWORD_MISSING'],
    [
      'a password file that is not there',
      ['snapshots', '-p', '/does/not/exist'],
      {},
      12,
      'REPOSITORY_PASSWORD_MISSING',
    ],
    [
      'a password command that fails',
      ['snapshots', '--password-command', 'false secret-word'],
      {},
      12,
      'REPOSITORY_PASSWORD_MISSING',
    ],
    ['a snapshot that is not there', ['ls', 'ffffffff'], { VARVE_PASSWORD: 'correct horse' }, 4, 'SNAPSHOT_NOT_FOUND'],
    [
      'a path that is not in the snapshot',
      ['restore', 'latest:/no/such', '--target', '/tmp/varve-nothing'],
      { VARVE_PASSWORD: 'correct horse' },
      4,
      'PATH_NOT_FOUND',
    ],
    [
      'sources that are not there',
      ['backup', '/does/not/exist'],
      { VARVE_PASSWORD: 'correct horse' },
      4,
      'ARCHIVE_SOURCE_MISSING',
    ],
    ['a repository that is there already', ['init'], { VARVE_PASSWORD: 'correct horse' }, 2, 'REPOSITORY_EXISTS'],
  ] as const)('%s', async (_, args, env, exitCode, code) => {
    const given: Record<string, string> = { ...env, VARVE_REPOSITORY: lab.path('repo') };
    const outcome = await lab.run(['repo', ...args], { env: given });
    expect(outcome.stderr).toContain(`[${code}]`);
    expect(outcome.stderr).toMatch(/^error: .+\nhint: .+/s);
    expect(outcome.stderr).not.toContain('secret-word');
    expect(outcome.exitCode).toBe(exitCode);
    const json = await lab.run(['repo', ...args, '--json'], { env: given });
    expect(jsonError(json)).toMatchObject({ code, hint: expect.any(String) });
  });

  test('what is no repository is left as it is', async () => {
    await mkdir(lab.path('empty'));
    for (const command of [['snapshots'], ['backup', source], ['check'], ['unlock']]) {
      const outcome = await lab.run(['repo', ...command, '--repo', lab.path('empty')], {
        env: { VARVE_PASSWORD: 'x' },
      });
      expect(outcome.exitCode).toBe(10);
      expect(await readdir(lab.path('empty'))).toEqual([]);
    }
  });

  test('a place that cannot be written is said to be so', async () => {
    await writeFile(lab.path('a-file'), '');
    const outcome = await lab.run(['repo', 'init', '--repo', lab.path('a-file', 'repo')], {
      env: { VARVE_PASSWORD: 'x' },
    });
    expect(outcome.stderr).toMatch(/\[STORAGE_[A-Z_]+\]/);
    expect([2, 5]).toContain(outcome.exitCode);
  });

  test('a read-only place is restored from when told not to lock it', async (context) => {
    const disk = lab.path('disk');
    await mkdir(disk);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', disk]);
    if (mounted.status !== 0) return context.skip('mounting a small tmpfs needs root on Linux');
    try {
      const there = ['--repo', join(disk, 'repo'), '--password-file', lab.path('password')];
      await ok(['repo', 'init', ...there]);
      await ok(['repo', 'backup', ...there, join(source, 'a.txt')]);
      spawnSync('mount', ['-o', 'remount,ro', disk]);
      const restore = ['repo', 'restore', 'latest', ...there, '--target', lab.path('from-disk')];
      const refused = await lab.run(restore);
      expect(refused).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('add --no-lock') });
      await ok([...restore, '--no-lock']);
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  test('a pack that was changed is found by check and refused by restore, with exit code 6', async () => {
    const at = ['--repo', lab.path('broken'), '--password-file', lab.path('password')];
    await ok(['repo', 'init', ...at]);
    await ok(['repo', 'backup', ...at, source]);
    const packs = (await readdir(lab.path('broken', 'data'), { recursive: true, withFileTypes: true })).filter(
      (entry) => entry.isFile(),
    );
    for (const pack of packs) await damageMiddle(join(pack.parentPath, pack.name));
    const check = await lab.run(['repo', 'check', '--read-data', ...at]);
    expect(check.stdout).toMatch(/error: .* \[[A-Z_]+\]/);
    expect(check.exitCode).toBe(6);
    const restore = await lab.run(['repo', 'restore', 'latest', '--target', lab.path('broken-back'), ...at]);
    expect([3, 6]).toContain(restore.exitCode);
  });

  test('a repository that somebody has locked is not checked', async (context) => {
    if ((await resticAvailable()) === undefined) context.skip('restic is not installed');
    const env = { ...process.env, RESTIC_PASSWORD: 'correct horse' };
    const holder = spawn('restic', ['-r', lab.path('repo'), '--no-cache', 'backup', '--stdin'], {
      env,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    try {
      const locks = lab.path('repo', 'locks');
      while ((await readdir(locks)).length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      const outcome = await lab.run(['repo', 'check', ...repo]);
      expect(outcome.stderr).toContain('[REPOSITORY_LOCKED]');
      expect(outcome.stderr).toContain(String(holder.pid));
      expect(outcome.exitCode).toBe(11);
    } finally {
      holder.stdin.end('done');
      await once(holder, 'close');
    }
  });
});

async function damageMiddle(file: string): Promise<void> {
  const bytes = await readFile(file);
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8((bytes[middle] ?? 0) ^ 0xff, middle);
  await chmod(file, 0o600);
  await writeFile(file, bytes);
}

describe('interrupting', () => {
  test('a backup ends it with exit code 130, without a snapshot and without a lock', async () => {
    const at = ['--repo', lab.path('interrupted'), '--password-file', lab.path('password')];
    await ok(['repo', 'init', ...at]);
    const backup = lab.start(['repo', 'backup', ...at, '--stdin']);
    backup.child.stdin?.write(Buffer.alloc(5_000_000, 'x'));
    while ((await readdir(lab.path('interrupted', 'locks'))).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    backup.child.kill('SIGINT');
    const outcome = await backup.outcome;
    expect(outcome.exitCode).toBe(130);
    expect(outcome.stderr).not.toMatch(/^ {4}at /m);
    expect(await readdir(lab.path('interrupted', 'locks'))).toEqual([]);
    expect(await readdir(lab.path('interrupted', 'snapshots'))).toEqual([]);
    await ok(['repo', 'check', ...at]);
  });

  test('twice ends at once', async () => {
    const stuck = lab.start(['repo', 'backup', ...repo, '--stdin']);
    stuck.child.stdin?.write('x');
    while ((await readdir(lab.path('repo', 'locks'))).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
    stuck.child.kill('SIGINT');
    stuck.child.kill('SIGINT');
    expect((await stuck.outcome).exitCode).toBe(130);
    await ok(['repo', 'unlock', '--remove-all', ...repo]);
  });
});

describe('output', () => {
  test('into a pipe whose reader has gone is no error', async () => {
    for (let index = 0; index < 50; index++) await writeFile(join(source, `many-${index}`), String(index));
    await ok(['repo', 'backup', ...repo, '--host', 'pipe', source]);
    const result = spawnSync(
      'sh',
      [
        '-c',
        `'${launcher}' repo ls latest --json --repo '${lab.path('repo')}' -p '${lab.path('password')}' 2>stderr.txt | head -1 >/dev/null`,
      ],
      { cwd: lab.folder },
    );
    expect(result.status).toBe(0);
    expect(await readFile(lab.path('stderr.txt'), 'utf8')).toBe('');
  });

  test('shows control characters of file names instead of obeying them', async () => {
    const nasty = lab.path('nasty');
    await mkdir(nasty);
    await writeFile(join(nasty, 'red\u001b[31m\nname'), '');
    await ok(['repo', 'backup', ...repo, '--host', 'nasty', nasty]);
    const { stdout } = await ok(['repo', 'ls', 'latest', '--host', 'nasty', ...repo, '--quiet']);
    expect(stdout).toContain('red\\x1b[31m\\x0aname');
    await rm(nasty, { recursive: true });
  });

  test('of a file that grew too little to matter is still a snapshot', async () => {
    await appendFile(join(source, 'a.txt'), 'more\n');
    expect((await ok(['repo', 'backup', ...repo, '--host', 'again', source])).stdout).toMatch(/1 changed/);
  });
});
