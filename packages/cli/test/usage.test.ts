import { spawnSync } from 'node:child_process';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { jsonError, launcher, makeLab, type Lab } from './launcher.ts';

// Many programs one after the other, on machines that may be busy.
vi.setConfig({ testTimeout: 300_000 });

let lab: Lab;

beforeAll(async () => {
  lab = await makeLab();
});

afterAll(() => lab[Symbol.asyncDispose]());

const commands = [
  'server',
  'demo',
  'doctor',
  'app discover',
  'app add',
  'app list',
  'app show',
  'app database',
  'app policy',
  'app remove',
  'snapshot',
  'snapshots',
  'restore',
  'forget',
  'jobs',
  'alerts',
  'recovery-kit',
  'repo init',
  'repo backup',
  'repo snapshots',
  'repo ls',
  'repo restore',
  'repo check',
  'repo copy',
  'repo tag',
  'repo rewrite',
  'repo key list',
  'repo key add',
  'repo key remove',
  'repo key passwd',
  'repo migrate',
  'repo unlock',
];

describe('the launcher', () => {
  test('works through a symbolic link, from any folder, with an old Node first on the PATH', async () => {
    await mkdir(lab.path('bin'));
    await symlink(launcher, lab.path('bin', 'varve'));
    await writeFile(lab.path('bin', 'node'), '#!/bin/sh\necho old node; exit 9\n', { mode: 0o755 });
    const result = spawnSync('varve', ['--version'], {
      cwd: '/',
      env: { PATH: `${lab.path('bin')}:/usr/bin:/bin` },
      encoding: 'utf8',
    });
    expect(result).toMatchObject({ status: 0, stdout: '0.1.0\n', stderr: '' });
  });

  test('says what to do when the dependencies are not installed', async () => {
    await mkdir(lab.path('fresh'));
    spawnSync('cp', [launcher, lab.path('fresh', 'varve')]);
    const result = spawnSync(lab.path('fresh', 'varve'), ['--version'], { encoding: 'utf8' });
    expect(result.status).toBe(1);
    expect(result.stderr).toContain('hint: run npm ci first');
  });
});

describe('help', () => {
  test.each(commands)('of %s has a description, examples and the common options', async (command) => {
    const { exitCode, stdout, stderr } = await lab.run([...command.split(' '), '--help']);
    expect(exitCode).toBe(0);
    expect(stderr).toBe('');
    expect(stdout).toContain(`Usage: varve ${command}`);
    expect(stdout).toMatch(/Examples:\n {2}# .+\n {2}\S+.*varve|Examples:\n {2}# .+\n {2}varve/);
    for (const option of ['--json', '--data <dir>', '-q, --quiet', '-v, --verbose']) expect(stdout).toContain(option);
  });

  test('of the program lists every command', async () => {
    const { exitCode, stdout } = await lab.run(['--help']);
    expect(exitCode).toBe(0);
    for (const name of new Set(commands.map((command) => command.split(' ')[0])))
      expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
  });

  test('is shown, with exit code 2, for a group without a command', async () => {
    const { exitCode, stderr } = await lab.run(['repo']);
    expect(exitCode).toBe(2);
    expect(stderr).toContain('Usage: varve repo');
  });
});

describe('wrong usage ends with exit code 2 and says what is wrong', () => {
  test.each([
    ['an unknown command', ['snapshto'], "unknown command 'snapshto'", 'Did you mean snapshot'],
    ['an unknown command of a group', ['repo', 'backpu'], "unknown command 'backpu'", 'Did you mean backup'],
    ['an unknown option', ['app', 'list', '--jsno'], "unknown option '--jsno'", 'Did you mean --json'],
    ['a missing argument', ['snapshot'], "missing required argument 'app'", '--help'],
    ['too many arguments', ['snapshots', 'a', 'b'], 'too many arguments', '--help'],
    ['a missing value', ['repo', 'ls', '--repo'], 'argument missing', '--help'],
    [
      'a value that is no choice',
      ['snapshot', 'a', '--kind', 'weekly'],
      'Allowed choices are manual, pre-deploy',
      '--help',
    ],
    ['a number that is none', ['jobs', '--limit', '-3'], '--limit', '--help'],
    ['a number beyond its limit', ['jobs', '--limit', '501'], 'from 1 to 500', '--help'],
    [
      'a missing required option',
      ['repo', 'restore', 'latest'],
      "required option '-t, --target <dir>' not specified",
      '--help',
    ],
    ['no repository', ['repo', 'snapshots'], 'The repository was not named', '--repo'],
    ['nothing to back up', ['repo', 'backup', '-r', '/tmp/x'], 'Nothing to save', 'paths'],
    ['paths and standard input', ['repo', 'backup', '--stdin', '/etc', '-r', '/tmp/x'], 'not both', ''],
    ['a time that is none', ['repo', 'backup', '-r', '/x', '--time', 'noon', '/etc'], 'is not a time', '2026'],
    ['a storage that is not supported', ['repo', 'snapshots', '-r', 'b2:x/y'], 'b2', 'folder'],
    [
      'a database password on the command line',
      ['app', 'add', 'a', '--database', 'postgres://u:hunter2@h/d'],
      'process list',
      '--database-url-file',
    ],
    ['an app id that is none', ['app', 'add', 'Not An Id', '--folder', '/tmp'], 'lowercase', '--help'],
    ['an app of nothing', ['app', 'add', 'a', '--folder', '/does/not/exist'], '/does/not/exist', ''],
    ['a quote that is not closed', ['app', 'add', 'a', '--folder', '/tmp', '--stop-command', "sh -c 'x"], 'quote', ''],
    [
      'a cron expression that is none',
      ['app', 'add', 'a', '--folder', '/tmp', '--schedule', 'sometimes'],
      'sometimes',
      '',
    ],
    [
      'a policy that keeps nothing',
      ['app', 'add', 'a', '--folder', '/tmp', '--keep-daily', '0', '--keep-weekly', '0', '--keep-monthly', '0'],
      'keep at least one',
      '',
    ],
    ['an address that is none', ['server', '--listen', 'nowhere'], 'nowhere', '127.0.0.1:8470'],
    ['an address that others reach', ['server', '--listen', '0.0.0.0:0'], 'Other machines', '--allow-remote'],
    ['cancelling no job', ['jobs', '--cancel'], 'needs the id of a job', '--help'],
    ['a restore that nobody confirms', ['restore', 'a'], 'nobody to ask', '--dry-run'],
    ['a forget that nobody confirms', ['forget', 'a'], 'nobody to ask', '--yes'],
  ])('%s', async (_, args, message, hint) => {
    const env = { VARVE_PASSWORD: 'x' };
    const [text, json] = await Promise.all([lab.run(args, { env }), lab.run([...args, '--json'], { env })]);
    expect(text.stderr).toMatch(/^error: [^\n]+ \[[A-Z_]+\]\n/);
    expect(text.stderr.toLowerCase()).toContain(message.toLowerCase());
    if (hint !== '') expect(text.stderr).toContain(hint);
    expect(text.stderr).not.toContain('hunter2');
    expect(text.stderr).not.toMatch(/^ {4}at /m);
    expect(text.stdout).toBe('');
    expect(text.exitCode).toBe(2);

    expect(json.exitCode).toBe(2);
    expect(json.stdout).toBe('');
    expect(jsonError(json).code).toMatch(/^[A-Z_]+$/);
  });
});
