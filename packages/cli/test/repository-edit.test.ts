import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { resticAvailable, runRestic } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { jsonError, makeLab, type Lab, type Outcome } from './launcher.ts';

// Many programs one after the other, on machines that may be busy.
vi.setConfig({ testTimeout: 300_000 });

const restic = await resticAvailable();
let lab: Lab;
let source: string;
let repo: string[];
let target: string[];
let from: string[];

beforeAll(async () => {
  lab = await makeLab();
  source = lab.path('source');
  await mkdir(join(source, 'logs'), { recursive: true });
  await writeFile(join(source, 'a.txt'), 'alpha\n');
  await writeFile(join(source, 'logs', 'b.LOG'), 'beta\n');
  await writeFile(lab.path('other-password'), 'another one\n', { mode: 0o600 });
  target = ['--repo', lab.path('target'), '--password-file', lab.path('other-password')];
  from = ['--from-repo', lab.path('repo'), '--from-password-file', lab.path('password')];
  repo = await lab.makeRepository('repo');
  await ok(['repo', 'backup', ...repo, '--host', 'alpha', '--time', '2026-01-02 03:04:05', source]);
  await ok(['repo', 'backup', ...repo, '--host', 'beta', '--tag', 'keep', join(source, 'logs')]);
}, 300_000);

afterAll(() => lab[Symbol.asyncDispose]());

async function ok(args: readonly string[], options?: Parameters<Lab['run']>[1]): Promise<Outcome> {
  const outcome = await lab.run(args, options);
  expect(outcome.stderr.replaceAll(/^(?!error).*\n/gm, '')).toBe('');
  expect(outcome.exitCode).toBe(0);
  return outcome;
}

interface Line {
  readonly message_type: string;
  readonly [field: string]: unknown;
}

function lines({ stdout }: Outcome): Line[] {
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

interface ListedSnapshot {
  readonly id: string;
  readonly hostname: string;
  readonly original?: string;
  readonly tags?: string[];
}

async function snapshotsOf(repository: readonly string[]): Promise<ListedSnapshot[]> {
  return JSON.parse((await ok(['repo', 'snapshots', ...repository, '--json'])).stdout) as ListedSnapshot[];
}

/** restic's check of a repository in the lab, where restic is there. */
async function expectResticContent(name: string, password: string): Promise<void> {
  if (restic === undefined) return;
  const { stdout } = await runRestic({ repo: lab.path(name), password }, ['check', '--read-data']);
  expect(stdout).toContain('no errors were found');
}

describe('varve repo copy', () => {
  test('brings the snapshots of another repository, those that are not there yet', async () => {
    const made = await ok(['repo', 'init', ...target, ...from, '--copy-chunker-params']);
    expect(made.stdout).toContain('with the chunker parameters of the repository to copy from');

    const planned = await ok(['repo', 'copy', ...target, ...from, '--dry-run']);
    expect(planned.stdout).toMatch(/^2 snapshots to copy, 0 there already; would read [\d.]+ K?i?B of \d+ blobs$/m);
    expect(await snapshotsOf(target)).toEqual([]);

    // Where the source is and what opens it may come from the environment, also by restic's names.
    const env = { RESTIC_FROM_REPOSITORY: lab.path('repo'), VARVE_FROM_PASSWORD_FILE: lab.path('password') };
    const first = await ok(['repo', 'copy', ...target, '--host', 'beta'], { env });
    expect(first.stdout).toMatch(/^snapshot [0-9a-f]{8} of .*logs at .* by \S+@beta: saved as [0-9a-f]{8}$/m);

    const second = lines(await ok(['repo', 'copy', ...target, ...from, '--json']));
    expect(second.map(({ message_type: type }) => type)).toEqual(['copied', 'summary']);
    expect(second.at(-1)).toMatchObject({ dry_run: false, snapshots_copied: 1, snapshots_skipped: 1 });

    const originals = (await snapshotsOf(repo)).map(({ id }) => id);
    expect((await snapshotsOf(target)).map(({ original }) => original)).toEqual(originals);
    expect((await ok(['repo', 'copy', ...target, ...from])).stdout).toMatch(/^0 snapshots copied, 2 there already/);
    await ok(['repo', 'check', '--read-data', ...target]);
    await expectResticContent('target', 'another one');
  });

  test('refuses the same repository, a source that is not named, and a password that is wrong', async () => {
    const same = await lab.run(['repo', 'copy', ...repo, ...from, '--json']);
    expect([same.exitCode, jsonError(same).code]).toEqual([2, 'USAGE_INVALID']);
    const none = await lab.run(['repo', 'copy', ...repo, '--json']);
    expect(jsonError(none)).toMatchObject({ code: 'USAGE_INVALID', hint: expect.stringContaining('--from-repo') });
    const wrong = await lab.run(['repo', 'copy', ...repo, '--from-repo', lab.path('repo'), '--json'], {
      env: { RESTIC_FROM_PASSWORD: 'wrong' },
    });
    expect([wrong.exitCode, jsonError(wrong).code]).toEqual([12, 'REPOSITORY_PASSWORD_WRONG']);
    const missing = await lab.run(['repo', 'copy', ...repo, '--from-repo', lab.path('repo'), '--json']);
    expect(jsonError(missing)).toMatchObject({ hint: expect.stringContaining('--from-password-file') });
    const useless = await lab.run(['repo', 'init', '--repo', lab.path('no'), ...from, '--json']);
    expect(jsonError(useless)).toMatchObject({ hint: expect.stringContaining('--copy-chunker-params') });
  });
});

describe('varve repo key', () => {
  test('lists, adds, changes and removes passwords', async () => {
    const repository = ['--repo', lab.path('keys')];
    const first = [...repository, '--password-file', lab.path('password')];
    await ok(['repo', 'init', ...first]);
    const added = await ok(['repo', 'key', 'add', ...first, '--user', 'anna', '--host', 'laptop', '--json'], {
      env: { VARVE_NEW_PASSWORD: 'another one' },
    });
    const { id } = JSON.parse(added.stdout) as { id: string };
    const second = [...repository, '--password-file', lab.path('other-password')];
    const listed = JSON.parse((await ok(['repo', 'key', 'list', ...second, '--json'])).stdout) as Line[];
    expect(listed).toHaveLength(2);
    expect(listed.find((key) => key['id'] === id)).toMatchObject({
      current: true,
      userName: 'anna',
      hostName: 'laptop',
      created: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
    });
    expect((await ok(['repo', 'key', 'list', ...second])).stdout).toMatch(
      new RegExp(`^\\*${id.slice(0, 8)} +anna`, 'm'),
    );

    const inUse = await lab.run(['repo', 'key', 'remove', id, ...second, '--json']);
    expect(jsonError(inUse)).toMatchObject({ code: 'USAGE_INVALID', message: expect.stringContaining('opened with') });
    const unknown = await lab.run(['repo', 'key', 'remove', 'ffff', ...second, '--json']);
    expect([unknown.exitCode, jsonError(unknown).code]).toEqual([4, 'REPOSITORY_KEY_NOT_FOUND']);

    await writeFile(lab.path('new-password'), 'the third\n');
    const changed = await ok(['repo', 'key', 'passwd', ...second, '--new-password-file', lab.path('new-password')]);
    expect(changed.stdout).toMatch(/^saved new key as [0-9a-f]{64}$/m);
    const wrong = await lab.run(['repo', 'key', 'list', ...second, '--json']);
    expect(jsonError(wrong).code).toBe('REPOSITORY_PASSWORD_WRONG');
    const third = [...repository, '--password-file', lab.path('new-password')];
    const old = listed.find((key) => key['id'] !== id)?.['id'] as string;
    expect((await ok(['repo', 'key', 'remove', old.slice(0, 12), ...third])).stdout).toContain(`removed key ${old}`);
    expect(jsonError(await lab.run(['repo', 'snapshots', ...first, '--json'])).code).toBe('REPOSITORY_PASSWORD_WRONG');
    const nobody = await lab.run(['repo', 'key', 'add', ...third, '--json']);
    expect(jsonError(nobody)).toMatchObject({
      code: 'REPOSITORY_PASSWORD_MISSING',
      hint: expect.stringContaining('--new-password-file'),
    });
    await expectResticContent('keys', 'the third');
  });
});

describe('varve repo tag and rewrite', () => {
  test('change the snapshots that are named or match', async () => {
    const [alpha, beta] = await snapshotsOf(repo);
    const tagged = lines(
      await ok(['repo', 'tag', ...repo, '--add', 'new,other', '--remove', 'keep', '--host', 'beta', '--json']),
    );
    expect(tagged).toMatchObject([
      { message_type: 'changed', old_snapshot_id: beta?.id },
      { message_type: 'summary', changed_snapshots: 1 },
    ]);
    expect((await snapshotsOf(repo))[1]).toMatchObject({ original: beta?.id, tags: ['new', 'other'] });
    expect((await ok(['repo', 'tag', ...repo, '--set', '', alpha!.id])).stdout).toBe('no snapshots were modified\n');
    const both = await lab.run(['repo', 'tag', ...repo, '--set', 'a', '--add', 'b', '--json']);
    expect(jsonError(both).code).toBe('USAGE_INVALID');

    await writeFile(lab.path('patterns'), '# logs\n*.log\n');
    const options = ['--iexclude-file', lab.path('patterns')];
    const planned = await ok(['repo', 'rewrite', ...repo, ...options, '--dry-run', '--verbose']);
    expect(planned.stdout).toContain(`excluding ${join(source, 'logs/b.LOG')}`);
    expect(planned.stdout).toContain('would modify 2 snapshots');
    expect(await snapshotsOf(repo)).toHaveLength(2);
    const done = await ok(['repo', 'rewrite', ...repo, ...options, '--new-host', 'gamma', '--forget', 'latest']);
    expect(done.stdout).toMatch(/^snapshot [0-9a-f]{8}: saved as [0-9a-f]{8}, old version removed; 1 item left out$/m);
    const after = await snapshotsOf(repo);
    expect(after.map(({ hostname }) => hostname)).toEqual(['alpha', 'gamma']);
    const { stdout } = await ok(['repo', 'ls', 'latest', ...repo, '--quiet']);
    expect(stdout).not.toContain('b.LOG');
    const nothing = await lab.run(['repo', 'rewrite', ...repo, '--json']);
    expect(jsonError(nothing).code).toBe('USAGE_INVALID');
    const lost = await lab.run(['repo', 'rewrite', ...repo, '--new-host', 'x', 'fffffff', '--json']);
    expect([lost.exitCode, jsonError(lost).code]).toEqual([4, 'SNAPSHOT_NOT_FOUND']);
    await ok(['repo', 'check', '--read-data', ...repo]);
    await expectResticContent('repo', 'correct horse');
  });
});

describe('varve repo migrate', () => {
  test.skipIf(restic === undefined)('brings a repository of format 1 to format 2 (restic makes it)', async () => {
    const old = { repo: lab.path('old'), password: 'correct horse' };
    await runRestic(old, ['init', '--repository-version', '1']);
    await runRestic(old, ['backup', source]);
    const repository = ['--repo', old.repo, '--password-file', lab.path('password')];
    const refused = await lab.run(['repo', 'tag', '--add', 'x', ...repository, '--json']);
    expect(jsonError(refused)).toMatchObject({
      code: 'REPOSITORY_VERSION_UNSUPPORTED',
      hint: expect.stringContaining('varve repo migrate upgrade_repo_v2'),
    });
    expect((await ok(['repo', 'migrate', ...repository])).stdout).toContain('upgrade_repo_v2');
    const unknown = await lab.run(['repo', 'migrate', 'other', ...repository, '--json']);
    expect(jsonError(unknown).code).toBe('USAGE_INVALID');
    expect((await ok(['repo', 'migrate', 'upgrade_repo_v2', ...repository])).stdout).toBe(
      'migration upgrade_repo_v2: success\n',
    );
    await ok(['repo', 'backup', ...repository, source]);
    expect((await ok(['repo', 'migrate', 'upgrade_repo_v2', ...repository])).stdout).toContain('is not needed');
    expect((await ok(['repo', 'migrate', ...repository])).stdout).toBe('no migrations found\n');
    await expectResticContent('old', 'correct horse');
  });
});
