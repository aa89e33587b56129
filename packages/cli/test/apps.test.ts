import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  appOverviewSchema,
  appSnapshotSchema,
  jobSchema,
  prunePreviewSchema,
  restorePlanSchema,
  retentionPreviewSchema,
  snapshotFolderSchema,
} from '@varve/contract';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { jsonError, launcher, makeLab, type Lab, type Outcome, type RunningCommand } from './launcher.ts';

// Many programs one after the other, on machines that may be busy.
vi.setConfig({ testTimeout: 300_000 });

let lab: Lab;
let files: string;

beforeAll(async () => {
  lab = await makeLab();
  files = lab.path('files');
  await mkdir(files);
  await writeFile(join(files, 'invoice.txt'), 'paid\n');
});

afterAll(() => lab[Symbol.asyncDispose]());

async function ok(...args: string[]): Promise<Outcome> {
  const outcome = await lab.run(args);
  expect(outcome).toMatchObject({ exitCode: 0 });
  return outcome;
}

async function okJson(...args: string[]): Promise<unknown> {
  const { stdout, stderr } = await ok(...args, '--json');
  expect(stderr).toBe('');
  expect(stdout.trim().split('\n')).toHaveLength(1);
  return JSON.parse(stdout);
}

describe('an installation without apps', () => {
  test('says so, and what to do next', async () => {
    expect((await ok('app', 'list')).stdout).toContain('varve app discover');
    expect((await ok('jobs')).stdout).toBe('No jobs yet.\n');
    expect((await ok('alerts')).stdout).toBe('No open alerts.\n');
    expect(await okJson('app', 'list')).toEqual([]);
  });

  test('shows its settings and changes only what options name', async () => {
    expect((await ok('settings', 'show')).stdout).toMatch(
      /every 7 days; all data is read within 28 days[^]*E-mail: +off/,
    );
    const changed = await okJson('settings', 'maintenance', '--prune', 'off', '--read-data-days', '0');
    expect(changed).toEqual({ prune: false, check: true, checkEveryDays: 7, readDataDays: 0 });
    expect((await ok('settings', 'maintenance')).stdout).toContain('no data is read');
    expect((await lab.run(['settings', 'maintenance', '--check-every-days', '91'])).exitCode).toBe(2);
  });

  test('turns e-mail on with what options name, and never shows the password', async () => {
    await writeFile(lab.path('smtp.pass'), 'tinker-bell\n');
    const args = [
      '--host',
      'smtp.example.com',
      '--user',
      'varve',
      '--from',
      'v@example.com',
      '--to',
      'ana@example.com',
    ];
    const { stdout } = await ok('settings', 'email', ...args, '--password-file', lab.path('smtp.pass'));
    expect(stdout).toContain('smtp.example.com:587, starttls, as varve, with a password');
    expect(stdout).not.toContain('tinker-bell');
    const invalid = await lab.run(['settings', 'email', '--to', 'nobody']);
    expect(invalid).toMatchObject({ exitCode: 2 });
    expect(invalid.stderr).toContain('email');
    expect((await ok('settings', 'email', '--off')).stdout).toMatch(/E-mail: +off/);
    expect(await okJson('settings', 'show')).toMatchObject({ email: { host: 'smtp.example.com', enabled: false } });
  });

  test('keeps its data to its owner', async () => {
    expect((await stat(lab.path('data'))).mode & 0o777).toBe(0o700);
  });

  test('tells of a Docker that does not answer without failing', async () => {
    const outcome = await ok('app', 'discover');
    expect(outcome.stderr).toContain('[DOCKER_UNREACHABLE]');
    expect(await okJson('app', 'discover')).toMatchObject({ apps: [], dockerProblem: { code: 'DOCKER_UNREACHABLE' } });
  });

  test('has a doctor', async () => {
    const outcome = await lab.run(['doctor', '--json']);
    expect([0, 1]).toContain(outcome.exitCode);
    expect(JSON.parse(outcome.stdout)).toContainEqual(
      expect.objectContaining({ state: expect.stringMatching(/ok|warning|failed/) }),
    );
    expect((await lab.run(['doctor'])).stdout).toMatch(/^(ok|warning|FAILED) +\S/m);
  });

  test.each([
    [['app', 'show', 'ghost'], 4, 'APP_NOT_FOUND'],
    [['app', 'remove', 'ghost', '--yes'], 4, 'APP_NOT_FOUND'],
    [['snapshot', 'ghost'], 4, 'APP_NOT_FOUND'],
    [['snapshots', 'ghost'], 4, 'APP_NOT_FOUND'],
    [['restore', 'ghost', '--yes'], 4, 'APP_NOT_FOUND'],
    [['forget', 'ghost', '--yes'], 4, 'APP_NOT_FOUND'],
    [['prune', '--yes'], 10, 'REPOSITORY_NOT_FOUND'],
    [['check'], 10, 'REPOSITORY_NOT_FOUND'],
    [['jobs', 'ghost'], 4, 'JOB_NOT_FOUND'],
    [['recovery-kit'], 10, 'REPOSITORY_NOT_FOUND'],
    [['app', 'add', 'shop'], 7, 'DOCKER_UNREACHABLE'],
  ])('%s ends with exit code %i', async (args, exitCode, code) => {
    const outcome = await lab.run([...args, '--json']);
    expect(jsonError(outcome)).toMatchObject({ code });
    expect(outcome.exitCode).toBe(exitCode);
  });

  test('cannot be where a file is', async () => {
    await writeFile(lab.path('a-file'), '');
    const outcome = await lab.run(['app', 'list', '--data', lab.path('a-file')]);
    expect(outcome.stderr).toContain('[CATALOGUE_UNUSABLE]');
    expect(outcome.exitCode).toBe(1);
  });
});

describe('an app', () => {
  test('is added, snapshotted, ruined and restored', async () => {
    const added = await ok(
      'app',
      'add',
      'files',
      '--folder',
      files,
      '--schedule',
      '30 2 * * *',
      '--time-zone',
      'Europe/Madrid',
      '--keep-daily',
      '14',
    );
    expect(added.stdout).toContain('files is protected');
    expect((await lab.run(['app', 'add', 'files', '--folder', files])).stderr).toContain('[APP_EXISTS]');
    expect((await ok('app', 'list')).stdout).toMatch(/^files +0 .*Not protected yet/m);

    const snapshot = await ok('snapshot', 'files', '--name', 'first', '--description', 'before');
    expect(snapshot.stdout).toMatch(/^Snapshot [0-9a-f]{8} saved\.$/m);
    const job = jobSchema.parse(await okJson('snapshot', 'files', '--kind', 'pre-deploy'));
    expect(job).toMatchObject({ state: 'succeeded', type: 'snapshot', requestedBy: 'cli' });

    const snapshots = appSnapshotSchema.array().parse(await okJson('snapshots', 'files'));
    expect(snapshots.map(({ kind, name }) => [kind, name])).toEqual([
      ['pre-deploy', null],
      ['manual', 'first'],
    ]);
    const first = snapshots[1]?.id ?? '';
    expect((await ok('snapshots', 'files')).stdout).toMatch(
      new RegExp(`^${first.slice(0, 8)} .* manual .* first$`, 'm'),
    );
    const overview = appOverviewSchema.array().parse(await okJson('app', 'list'));
    expect(overview[0]?.protection).toMatchObject({ level: 'protected', snapshotCount: 2 });

    await writeFile(join(files, 'invoice.txt'), 'ruined\n');
    await writeFile(join(files, 'new.txt'), 'new\n');
    const plan = restorePlanSchema.parse(
      await okJson('restore', 'files', '--dry-run', '--snapshot', first.slice(0, 10)),
    );
    expect(plan.steps.map(({ type }) => type)).toContain('restore-volume');
    expect((await ok('restore', 'files', '--dry-run')).stdout).toMatch(/^ {3}1\. Take a safety snapshot/m);
    expect(await readFile(join(files, 'invoice.txt'), 'utf8')).toBe('ruined\n');

    const restored = await ok('restore', 'files', '--snapshot', first, '--yes');
    expect(restored.stdout).toContain(`files is back at snapshot ${first.slice(0, 8)}.`);
    expect(await readFile(join(files, 'invoice.txt'), 'utf8')).toBe('paid\n');
    const kinds = appSnapshotSchema
      .array()
      .parse(await okJson('snapshots', 'files'))
      .map(({ kind }) => kind);
    expect(kinds).toContain('pre-restore');
  });

  test('shows its policy and changes only what options name', async () => {
    expect((await ok('app', 'policy', 'files')).stdout).toContain('30 2 * * * (Europe/Madrid)');
    const changed = await okJson('app', 'policy', 'files', '--no-schedule', '--keep-last', '3');
    expect(changed).toMatchObject({
      schedule: { enabled: false, cron: '30 2 * * *', timeZone: 'Europe/Madrid' },
      retention: { keepLast: 3, keepDaily: 14, keepWeekly: 4 },
    });
    expect((await ok('app', 'show', 'files')).stdout).toMatch(/^Schedule: +off$/m);
    expect((await lab.run(['app', 'policy', 'files', '--time-zone', 'Mars/Phobos'])).exitCode).toBe(2);
  });

  test('with a database tells how it is saved, and changes only what options name', async () => {
    const url = ['--database', 'postgresql://nobody@127.0.0.1:1/postgres'];
    await ok('app', 'add', 'shop', ...url, '--database-method', 'both', '--max-rate', '20000');
    expect((await ok('app', 'database', 'shop')).stdout).toMatch(/by base backup and dump, at most 20000 kB\/s$/m);
    const [changed] = (await okJson('app', 'database', 'shop', '--max-rate', '0')) as Record<string, unknown>[];
    expect(changed).toMatchObject({ name: 'db', method: 'both' });
    expect(changed).not.toHaveProperty('maxRateKBps');
    expect((await ok('app', 'database', 'shop', 'db', '--database-method', 'dump')).stdout).toMatch(/by dump$/m);
    // Files alone could not be put back: where the data folder is was never said.
    const refused = await lab.run(['app', 'database', 'shop', '--database-method', 'base', '--json']);
    expect(jsonError(refused)).toMatchObject({ code: 'APP_INVALID', hint: expect.stringContaining('both') });
    const none = await lab.run(['app', 'database', 'shop', 'other', '--database-method', 'dump', '--json']);
    expect(jsonError(none)).toMatchObject({ code: 'APP_INVALID', hint: 'It has: db.' });
    expect((await lab.run(['app', 'database', 'files'])).stderr).toContain('[USAGE_INVALID]');
    await ok('app', 'remove', 'shop', '--yes');
  });

  test('forgets what its policy does not keep, after a preview', async () => {
    await ok(
      'app',
      'policy',
      'files',
      '--keep-last',
      '1',
      '--keep-daily',
      '0',
      '--keep-weekly',
      '0',
      '--keep-monthly',
      '0',
      '--window-days',
      '14',
    );
    expect((await ok('app', 'policy', 'files')).stdout).toMatch(
      /^Any second: +of the last 14 days, stored every 10 s/m,
    );
    const preview = retentionPreviewSchema.parse(await okJson('forget', 'files', '--dry-run'));
    expect(preview.keep).toHaveLength(1);
    expect(preview.remove.length).toBeGreaterThan(1);
    expect((await ok('forget', 'files', '--dry-run')).stdout).toMatch(/would be removed, 1 snapshot kept\.$/m);
    expect((await ok('forget', 'files', '--yes')).stdout).toMatch(/^Removed \d snapshots\.$/m);
    expect(await okJson('snapshots', 'files')).toHaveLength(1);
    expect((await ok('forget', 'files', '--yes')).stdout).toContain('Nothing to remove');
  });

  test('shows the timeline of an app without a captured database, and refuses a point', async () => {
    expect((await ok('timeline', 'files')).stdout).toContain('No database of this app is captured');
    expect(await okJson('timeline', 'files')).toMatchObject({ appId: 'files', databases: [], snapshots: [{}] });
    expect((await lab.run(['timeline', 'files', '--database', 'db'])).exitCode).toBe(2);
    expect((await lab.run(['timeline', 'files', '--at', '2026-11-23 04:05:06'])).exitCode).toBe(4);
    expect((await lab.run(['point', 'files', 'before'])).exitCode).toBe(2);
    expect((await lab.run(['point', 'files', 'x'.repeat(64)])).stderr).toContain('at most 63 bytes');
  });

  test('gives the space of what was forgotten back, after a preview', async () => {
    const preview = prunePreviewSchema.parse(await okJson('prune', '--dry-run'));
    expect(preview).toMatchObject({ snapshots: 1 });
    expect(preview.freedBytes).toBeGreaterThan(0);
    expect((await ok('prune', '--dry-run')).stdout).toMatch(/^Used: +.* by 1 snapshot; stays$[^]* would be freed\.$/m);
    expect((await lab.run(['prune', '--json'])).exitCode).toBe(2);
    const job = jobSchema.parse(await okJson('prune', '--yes'));
    expect(job).toMatchObject({ type: 'prune', state: 'succeeded', appId: null, result: { type: 'prune' } });
    expect((await ok('prune', '--yes')).stdout).toContain('Nothing to free');
    expect(await okJson('snapshots', 'files')).toHaveLength(1);
  });

  test('is looked into, and files and folders are taken out', async () => {
    // The snapshot that is left was taken before the restore.
    expect((await ok('ls', 'files')).stdout).toMatch(/^ +- +\d{4}-.* volumes\/$/m);
    const folder = snapshotFolderSchema.parse(await okJson('ls', 'files', 'latest', '/volumes/files'));
    expect(folder.entries.map(({ name, bytes }) => [name, bytes])).toContainEqual(['invoice.txt', 7]);
    expect((await lab.run(['ls', 'files', 'latest', '/nothing'])).stderr).toContain('[PATH_NOT_FOUND]');

    const path = '/volumes/files/invoice.txt';
    expect((await ok('download', 'files', 'latest', path)).stdout).toBe('ruined\n');
    const taken = lab.path('taken.txt');
    expect((await ok('download', 'files', 'latest', path, '-o', taken)).stdout).toContain('7 B');
    expect(await readFile(taken, 'utf8')).toBe('ruined\n');
    const archive = lab.path('taken.tar');
    expect(await okJson('download', 'files', 'latest', '/volumes/files', '-o', archive)).toMatchObject({
      file: archive,
    });
    expect(spawnSync('tar', ['-xOf', archive, 'invoice.txt']).stdout.toString()).toBe('ruined\n');
    expect((await lab.run(['download', 'files', 'latest', path, '--json'])).exitCode).toBe(2);
    const missing = await lab.run(['download', 'files', 'latest', '/nothing', '-o', lab.path('not-made')]);
    expect(missing.stderr).toContain('[PATH_NOT_FOUND]');
    expect(await readdir(lab.folder)).not.toContain('not-made');
  });

  test('has its repository checked', async () => {
    expect((await ok('check')).stdout).toMatch(/^The repository is sound: 1 snapshot, \d+ packs?\.$/m);
    expect((await ok('check', '--read-data')).stdout).toMatch(/of data read\.$/m);
    const job = jobSchema.parse(await okJson('check'));
    expect(job).toMatchObject({ state: 'succeeded', result: { type: 'check', scope: { data: 'none' }, errors: 0 } });
  });

  test('leaves jobs behind that can be looked at', async () => {
    const jobs = jobSchema.array().parse(await okJson('jobs', '--app', 'files'));
    expect(jobs.map(({ type }) => type)).toEqual(expect.arrayContaining(['snapshot', 'restore', 'forget']));
    expect((await ok('jobs', jobs[0]?.id ?? '')).stdout).toMatch(/^State: +succeeded$/m);
    expect(jobSchema.array().parse(await okJson('jobs', '--limit', '1'))).toHaveLength(1);
  });

  test('has a recovery kit with which the repository opens', async () => {
    const kit = (await okJson('recovery-kit')) as { location: string; password: string };
    const outcome = await lab.run(['repo', 'snapshots', '--repo', kit.location, '--json'], {
      env: { VARVE_PASSWORD: kit.password },
    });
    expect(JSON.parse(outcome.stdout)).toHaveLength(1);
    expect((await ok('recovery-kit')).stdout).toContain(kit.password);
    await ok('recovery-kit', '--confirm');
  });

  test('is restored at a terminal only after its id was typed', async (context) => {
    if (spawnSync('script', ['--version']).status !== 0) context.skip('script (util-linux) is not installed');
    await writeFile(join(files, 'invoice.txt'), 'paid\n');
    await ok('snapshot', 'files', '--name', 'paid');
    await writeFile(join(files, 'invoice.txt'), 'ruined\n');
    for (const [answer, status, content] of [
      ['yes', 130, 'ruined\n'],
      ['files', 0, 'paid\n'],
    ] as const) {
      const child = spawn('script', ['-qec', `'${launcher}' restore files`, '/dev/null'], {
        env: {
          ...process.env,
          HOME: lab.folder,
          VARVE_DATA: lab.path('data'),
          DOCKER_HOST: `unix://${lab.path('no-docker.sock')}`,
        },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      let screen = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        screen += chunk;
        if (screen.endsWith('Type its id (files) to go on: ')) child.stdin.write(`${answer}\r`);
      });
      const [exitCode] = (await once(child, 'close')) as [number];
      expect(screen).toContain('Take a safety snapshot');
      expect({ exitCode, screen }).toMatchObject({ exitCode: status });
      expect(await readFile(join(files, 'invoice.txt'), 'utf8')).toBe(content);
    }
  });

  test('keeps its snapshots in the repository when it is removed', async () => {
    const kit = (await okJson('recovery-kit')) as { location: string; password: string };
    expect((await lab.run(['app', 'remove', 'files'])).exitCode).toBe(2);
    expect((await ok('app', 'remove', 'files', '--yes')).stdout).toContain('no longer protected');
    expect(await okJson('app', 'list')).toEqual([]);
    const outcome = await lab.run(['repo', 'snapshots', '--repo', kit.location, '--json'], {
      env: { VARVE_PASSWORD: kit.password },
    });
    expect((JSON.parse(outcome.stdout) as unknown[]).length).toBeGreaterThan(0);
  });
});

describe('a snapshot', () => {
  test('that is interrupted ends with exit code 130, without a snapshot, and the app is free again', async () => {
    const many = lab.path('many');
    await mkdir(many);
    for (let index = 0; index < 40; index++)
      await writeFile(join(many, String(index)), crypto.getRandomValues(new Uint8Array(65_536)));
    for (let index = 0; index < 20; index++)
      await writeFile(join(many, `big-${index}`), Buffer.alloc(20_000_000, `${index} varve `));
    await ok('app', 'add', 'many', '--folder', many);
    const snapshot = lab.start(['snapshot', 'many']);
    await snapshot.waitFor(/(volume many)/);
    snapshot.child.kill('SIGINT');
    const outcome = await snapshot.outcome;
    expect(outcome.stderr).toContain('cancelled');
    expect(outcome.exitCode).toBe(130);
    expect(await okJson('snapshots', 'many')).toEqual([]);
    expect(jobSchema.array().parse(await okJson('jobs', '--app', 'many'))[0]?.state).toBe('cancelled');
    await ok('snapshot', 'many', '--quiet');
  });

  test('that cannot be taken fails with the code of its reason', async () => {
    const gone = lab.path('gone');
    await mkdir(gone);
    await ok('app', 'add', 'gone', '--folder', gone);
    await rm(gone, { recursive: true });
    const outcome = await lab.run(['snapshot', 'gone']);
    expect(outcome.stderr).toMatch(/^error: .+ \[ARCHIVE_[A-Z_]+\]$/m);
    expect(outcome.exitCode).not.toBe(0);
    expect(await okJson('snapshots', 'gone')).toEqual([]);
  });
});

interface Announcement {
  readonly url: string;
  readonly setupToken: string | null;
  readonly dataDirectory: string;
}

async function announced(server: RunningCommand): Promise<Announcement> {
  return JSON.parse(await server.waitFor(/^(\{"url".*\})$/m)) as Announcement;
}

describe('varve server', () => {
  test('says where it is and how to claim it, serves, and ends cleanly on SIGTERM', async () => {
    const server = lab.start(['server', '--listen', '127.0.0.1:0', '--json'], {
      env: { VARVE_DATA: lab.path('server-data') },
    });
    const first = await announced(server);
    expect(first).toMatchObject({
      setupToken: expect.stringMatching(/^[0-9A-Z-]{23}$/),
      dataDirectory: lab.path('server-data'),
    });
    expect((await fetch(`${first.url}/healthz`)).status).toBe(200);
    expect(await readdir(lab.path('server-data'))).toContain('setup-token');
    server.child.kill('SIGTERM');
    const outcome = await server.outcome;
    expect(outcome).toMatchObject({ exitCode: 0 });
  });

  test('on an address that is taken ends with exit code 2', async () => {
    const holder = lab.start(['server', '--listen', '127.0.0.1:0', '--json'], {
      env: { VARVE_DATA: lab.path('holder-data') },
    });
    const { url } = await announced(holder);
    const outcome = await lab.run(['server', '--listen', new URL(url).host], {
      env: { VARVE_DATA: lab.path('other-data') },
    });
    expect(outcome.stderr).toContain('[SERVER_ADDRESS_IN_USE]');
    expect(outcome.exitCode).toBe(2);
    holder.child.kill('SIGINT');
    expect((await holder.outcome).exitCode).toBe(0);
  });
});

describe('an empty machine', () => {
  test('gets apps and snapshots back from the repository and its password', async () => {
    const other = await makeLab();
    try {
      const location = other.path('elsewhere');
      const made = await other.run(['connect', '--create', location, '--json']);
      expect(JSON.parse(made.stdout)).toMatchObject({ repository: { location, state: 'ready' }, apps: 0 });
      const folder = other.path('letters');
      await mkdir(folder);
      await writeFile(join(folder, 'letter.txt'), 'dear all\n');
      expect(await other.run(['app', 'add', 'letters', '--folder', folder])).toMatchObject({ exitCode: 0 });
      expect(await other.run(['snapshot', 'letters'])).toMatchObject({ exitCode: 0 });
      const kit = JSON.parse((await other.run(['recovery-kit', '--json'])).stdout) as { password: string };
      const passwordFile = other.path('kit.pass');
      await writeFile(passwordFile, `${kit.password}\n`);

      const empty = ['--data', other.path('empty')];
      const connected = await other.run(['connect', location, '--password-file', passwordFile, ...empty]);
      expect(connected).toMatchObject({ exitCode: 0 });
      expect(connected.stdout).toContain('1 snapshot; 1 app came back');
      await rm(join(folder, 'letter.txt'));
      expect(await other.run(['restore', 'letters', '--yes', ...empty])).toMatchObject({ exitCode: 0 });
      expect(await readFile(join(folder, 'letter.txt'), 'utf8')).toBe('dear all\n');
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  test('is told when the password is wrong or stands in the location, and nothing is connected', async () => {
    const wrong = wrongPassword();
    await writeFile(wrong.passwordFile, 'not the password\n');
    const location = lab.path('theirs');
    await ok('connect', '--create', location, '--data', lab.path('their-data'));
    const refused = await lab.run(['connect', location, '--password-file', wrong.passwordFile, ...wrong.data]);
    expect(refused).toMatchObject({ exitCode: 12 });
    const inLocation = await lab.run(['connect', '--create', 'rest:http://ana:s3cret@127.0.0.1:9/x', ...wrong.data]);
    expect(inLocation).toMatchObject({ exitCode: 2 });
    expect(inLocation.stderr).toContain('RESTIC_REST_PASSWORD');
    expect(inLocation.stderr).not.toContain('s3cret');
  });
});

function wrongPassword(): { readonly passwordFile: string; readonly data: readonly string[] } {
  return { passwordFile: lab.path('wrong.pass'), data: ['--data', lab.path('other-data')] };
}
