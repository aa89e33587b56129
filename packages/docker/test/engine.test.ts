// Discovery, control, archives, volumes and helpers against a real engine and a real Compose app.

import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { dockerLab, findComposeCommand, startBusinessApp, suiteName, type BusinessApp } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectDocker, detectPostgres, helperSource, startOrder, stopOrder, type DockerEngine } from '../src/index.ts';
import { labContainer, runProgram } from './lab-container.ts';

const lab = await dockerLab();
const compose = await findComposeCommand();
const run = 'test-run';

describe.skipIf(!lab.available)(suiteName('an engine', lab), () => {
  let engine: DockerEngine;

  beforeAll(async () => {
    engine = await connectDocker({ host: lab.host });
  });

  afterAll(() => lab[Symbol.asyncDispose]());

  async function unused(): Promise<string> {
    return `varve-test-${Math.random().toString(36).slice(2)}`;
  }

  async function listTar(tar: AsyncIterable<Uint8Array>): Promise<string> {
    return runProgram('tar', ['-tv', '--numeric-owner'], Buffer.concat(await Array.fromAsync(tar))).toString();
  }

  async function* makeTar(folder: string): AsyncGenerator<Uint8Array> {
    yield runProgram('tar', ['-C', folder, '-c', '.']);
  }

  test('tells its version', () => {
    expect(engine.version()).toMatchObject({ os: 'linux', apiVersion: expect.stringMatching(/^1\.\d+$/) as string });
  });

  describe('discovery', () => {
    test('groups stand-alone containers by label and leaves out what is excluded, a helper or unlabelled', async () => {
      const app = await unused();
      await using first = await labContainer(lab, {
        parameters: ['--label', `varve.app=${app}`, '-e', 'TOKEN=hunter2', '-p', '127.0.0.1:0:5432'],
      });
      await using stopped = await labContainer(lab, { verb: 'create', parameters: ['--label', `varve.app=${app}`] });
      await using excluded = await labContainer(lab, {
        verb: 'create',
        parameters: ['--label', `varve.app=${app}`, '--label', 'varve.exclude=true'],
      });
      await using helper = await labContainer(lab, {
        verb: 'create',
        parameters: ['--label', `varve.app=${app}`, '--label', 'varve.helper=x'],
      });
      await using unlabelled = await labContainer(lab, { verb: 'create' });
      const project = await engine.inspectProject(app);
      expect(project).toMatchObject({ kind: 'labelled', configFiles: [] });
      expect(project.containers.map((one) => one.id).sort()).toEqual([first.id, stopped.id].sort());
      const seen = (await engine.listProjects()).flatMap((one) => one.containers.map((container) => container.id));
      for (const hidden of [excluded, helper, unlabelled]) expect(seen).not.toContain(hidden.id);
      const found = project.containers.find((one) => one.id === first.id);
      expect(found).toMatchObject({
        name: first.name,
        service: first.name,
        state: 'running',
        health: 'none',
        imageDigest: undefined,
      });
      expect(found?.ports).toMatchObject([
        { containerPort: 5432, protocol: 'tcp', hostIp: '127.0.0.1', hostPort: expect.any(Number) as number },
      ]);
      expect(found?.environment.get('TOKEN')).toBe('hunter2');
      expect(inspect(project, { depth: 9 }) + JSON.stringify(project)).not.toContain('hunter2');
    });

    test('of a name that nobody carries says what there is', async () => {
      await expect(engine.inspectProject('no-such-app')).rejects.toMatchObject({ code: 'DOCKER_NOT_FOUND' });
      await expect(engine.inspectContainer('no-such-container')).rejects.toMatchObject({ code: 'DOCKER_NOT_FOUND' });
    });
  });

  describe('waiting for health', () => {
    const healthcheck = (command: string) => [
      '--health-cmd',
      command,
      '--health-interval',
      '500ms',
      '--health-retries',
      '2',
    ];

    test('ends when the healthcheck is content', async () => {
      await using good = await labContainer(lab, {
        parameters: healthcheck('test -e /tmp/up'),
        command: ['sh', '-c', 'sleep 1; touch /tmp/up; sleep 1000'],
      });
      await engine.waitHealthy([good.id], { timeoutMs: 20_000 });
      expect((await engine.inspectContainer(good.id)).health).toBe('healthy');
    });

    test('fails in time with the last lines of the log when it is not', async () => {
      await using bad = await labContainer(lab, {
        parameters: healthcheck('false'),
        command: ['sh', '-c', 'echo cannot open the ledger; sleep 1000'],
      });
      const failing = engine.waitHealthy([bad.id], { timeoutMs: 3000 });
      await expect(failing).rejects.toMatchObject({
        code: 'DOCKER_UNHEALTHY',
        message: expect.stringContaining('cannot open the ledger') as string,
      });
      await expect(failing).rejects.toThrow(bad.name);
    });

    test('fails at once for a container that ended badly, and counts one that ended well', async () => {
      await using broken = await labContainer(lab, { command: ['sh', '-c', 'echo boom >&2; exit 7'] });
      await using done = await labContainer(lab, { command: ['true'] });
      const startedAt = performance.now();
      await expect(engine.waitHealthy([broken.id], { timeoutMs: 30_000 })).rejects.toThrow(/exit code 7[\s\S]*boom/);
      await engine.waitHealthy([done.id], { timeoutMs: 10_000 });
      expect(performance.now() - startedAt).toBeLessThan(10_000);
    });

    test('is not fooled by a container that restarts again and again', async () => {
      await using looping = await labContainer(lab, {
        parameters: ['--restart', 'always'],
        command: ['sh', '-c', 'sleep 0.5; exit 1'],
      });
      await expect(engine.waitHealthy([looping.id], { timeoutMs: 8000 })).rejects.toMatchObject({
        code: 'DOCKER_UNHEALTHY',
      });
    });

    test('takes a container without healthcheck when it has run steadily, and can be cancelled', async () => {
      await using plain = await labContainer(lab);
      await engine.waitHealthy([plain.id], { timeoutMs: 10_000, steadyMs: 500 });
      const signal = AbortSignal.timeout(200);
      await expect(
        engine.waitHealthy([plain.id], { timeoutMs: 10_000, steadyMs: 60_000, signal }),
      ).rejects.toMatchObject({ code: 'CANCELLED' });
    });
  });

  describe('control', () => {
    test('stops, starts, pauses and unpauses, each twice without complaint', async () => {
      await using container = await labContainer(lab);
      const state = async (): Promise<string> => (await engine.inspectContainer(container.id)).state;
      for (const _ of [1, 2]) await engine.pause(container.id);
      expect(await state()).toBe('paused');
      for (const _ of [1, 2]) await engine.unpause(container.id);
      expect(await state()).toBe('running');
      for (const _ of [1, 2]) await engine.stop(container.id, { timeoutS: 1 });
      expect(await state()).toBe('exited');
      for (const _ of [1, 2]) await engine.start(container.id);
      expect(await state()).toBe('running');
      await expect(engine.stop('no-such-container')).rejects.toMatchObject({ code: 'DOCKER_NOT_FOUND' });
    });

    test('reads the last lines of both streams', async () => {
      await using container = await labContainer(lab, { command: ['sh', '-c', 'seq 1 5; sleep 0.5; echo oops >&2'] });
      await expect.poll(() => engine.logTail(container.id, { lines: 2 })).toBe('5\noops\n');
    });
  });

  describe('archives', () => {
    test('come out of a stopped container with owners and modes', async () => {
      await using container = await labContainer(lab, {
        command: [
          'sh',
          '-c',
          'mkdir -m 750 /data && echo hello > /data/a && chown 1234:1235 /data/a && chmod 640 /data/a && ln -s a /data/link',
        ],
      });
      await engine.waitHealthy([container.id], { timeoutMs: 10_000 });
      const list = await listTar(engine.readArchive(container.id, '/data'));
      expect(list).toMatch(/^drwxr-x--- 0\/0 .* data\/$/m);
      expect(list).toMatch(/^-rw-r----- 1234\/1235 .* data\/a$/m);
      expect(list).toMatch(/^lrwxrwxrwx 0\/0 .* data\/link -> a$/m);
      await expect(Array.fromAsync(engine.readArchive(container.id, '/none'))).rejects.toMatchObject({
        code: 'DOCKER_NOT_FOUND',
      });
    });

    test('go into and come out of a volume through a helper that never runs and is removed', async () => {
      const name = await unused();
      await engine.ensureVolume({ name });
      const folder = await mkdtemp(join(tmpdir(), 'varve-docker-'));
      try {
        await writeFile(join(folder, 'ledger.txt'), 'forty-two\n', { mode: 0o640 });
        await mkdir(join(folder, 'private'), { mode: 0o700 });
        if (process.getuid?.() === 0) runProgram('chown', ['-R', '1234:1235', folder]);
        const options = {
          image: lab.image,
          mounts: [{ type: 'volume', source: name, target: '/varve/volume' } as const],
          run,
        };
        const list = await engine.withHelperContainer(options, async (id) => {
          expect((await engine.inspectContainer(id)).state).toBe('created');
          await engine.writeArchive(id, '/varve/volume', makeTar(folder));
          return listTar(engine.readArchive(id, '/varve/volume'));
        });
        const owner = (await stat(join(folder, 'ledger.txt'))).uid;
        expect(list).toMatch(new RegExp(`^-rw-r----- ${owner}/\\d+ .* volume/ledger.txt$`, 'm'));
        expect(list).toMatch(/^drwx------ .* volume\/private\/$/m);
        expect(await lab.docker('ps', '-aq', '--filter', `label=varve.helper=${run}`)).toBe('');
      } finally {
        await lab.docker('volume', 'rm', name);
        await rm(folder, { recursive: true });
      }
    });

    test('stop in the middle when cancelled, and report the error of their source', async () => {
      await using container = await labContainer(lab, {
        command: ['sh', '-c', 'head -c 40000000 /dev/zero > /big; sleep 1000'],
      });
      await expect
        .poll(async () =>
          (await engine.execCollect(container.id, { command: ['stat', '-c', '%s', '/big'] })).stdout.toString(),
        )
        .toBe('40000000\n');
      const controller = new AbortController();
      const reading = (async () => {
        for await (const _ of engine.readArchive(container.id, '/big', { signal: controller.signal }))
          controller.abort();
      })();
      await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' });
      // oxlint-disable-next-line require-yield -- a source that fails before its first byte is what is tested
      const broken = async function* (): AsyncGenerator<Uint8Array> {
        throw new Error('no more tape');
      };
      await expect(engine.writeArchive(container.id, '/tmp', broken())).rejects.toMatchObject({
        code: 'DOCKER_REQUEST_FAILED',
        cause: { message: 'no more tape' },
      });
    });
  });

  describe('helpers', () => {
    test('are removed when their work fails', async () => {
      const options = { image: lab.image, mounts: [], run };
      await expect(engine.withHelperContainer(options, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
      expect(await lab.docker('ps', '-aq', '--filter', `label=varve.helper=${run}`)).toBe('');
    });

    test('left by a run that was killed are removed, those of a living run stay', async () => {
      await using left = await labContainer(lab, { verb: 'create', parameters: ['--label', 'varve.helper=dead-run'] });
      await using alive = await labContainer(lab, {
        verb: 'create',
        parameters: ['--label', 'varve.helper=living-run'],
      });
      expect(await engine.removeLeftoverHelpers({ keepRuns: ['living-run', run] })).toBeGreaterThanOrEqual(1);
      await expect(engine.inspectContainer(left.id)).rejects.toMatchObject({ code: 'DOCKER_NOT_FOUND' });
      expect((await engine.inspectContainer(alive.id)).state).toBe('created');
    });

    test('need an image that is on the host', async () => {
      const failing = engine.withHelperContainer({ image: 'varve-lab/none:1', mounts: [], run }, () =>
        Promise.resolve(),
      );
      await expect(failing).rejects.toMatchObject({
        code: 'DOCKER_NOT_FOUND',
        hint: expect.stringContaining('docker pull varve-lab/none:1') as string,
      });
    });
  });

  describe('volumes', () => {
    test('are made again with driver options and labels after they vanished', async () => {
      const name = await unused();
      expect(await engine.volumeExists(name)).toBe(false);
      expect(await engine.volumeHostPath(name)).toBeUndefined();
      const spec = {
        name,
        labels: { 'com.example.keep': 'yes' },
        options: { type: 'tmpfs', device: 'tmpfs', o: 'size=1m' },
      };
      try {
        expect(await engine.ensureVolume(spec)).toBe(true);
        expect(await engine.ensureVolume(spec)).toBe(false);
        expect(await engine.inspectVolume(name)).toMatchObject({
          name,
          driver: 'local',
          labels: spec.labels,
          options: spec.options,
        });
        // Mounted only while in use: the empty folder below it must not be taken for the data.
        expect(await engine.volumeHostPath(name)).toBeUndefined();
        await using user = await labContainer(lab, { parameters: ['-v', `${name}:/data`] });
        await engine.execCollect(user.id, { command: ['touch', '/data/here'] });
        const path = await engine.volumeHostPath(name);
        if (path !== undefined) expect(await readdir(path)).toEqual(['here']);
      } finally {
        await lab.docker('volume', 'rm', '-f', name);
      }
    });

    test('are emptied, hidden and read-only things too, and stay', async () => {
      const name = await unused();
      await engine.ensureVolume({ name });
      try {
        const mounts = [{ type: 'volume', source: name, target: '/v' } as const];
        const filled = await engine.runHelper({
          image: lab.image,
          mounts,
          run,
          command: ['sh', '-c', 'mkdir -p /v/a/.b && touch /v/.hidden /v/a/.b/c && chmod 500 /v/a'],
        });
        expect(filled).toEqual({ exitCode: 0, output: '' });
        await engine.emptyVolume(name, { image: lab.image, run });
        const { output } = await engine.runHelper({ image: lab.image, mounts, run, command: ['find', '/v'] });
        expect(output).toBe('/v\n');
      } finally {
        await lab.docker('volume', 'rm', '-f', name);
      }
    });

    test('cannot be emptied with an image that has no programs: the error says so', async () => {
      const name = await unused();
      runProgram('sh', ['-c', `tar -c --files-from /dev/null | docker --host ${lab.host} import - ${name}:1`]);
      await engine.ensureVolume({ name });
      try {
        const failing = engine.emptyVolume(name, { image: `${name}:1`, run });
        await expect(failing).rejects.toMatchObject({
          code: 'DOCKER_COMMAND_FAILED',
          message: expect.stringContaining('has no find') as string,
        });
        expect(await lab.docker('ps', '-aq', '--filter', `label=varve.helper=${run}`)).toBe('');
      } finally {
        await lab.docker('volume', 'rm', '-f', name);
        await lab.docker('rmi', `${name}:1`);
      }
    });
  });

  const noCompose = compose === undefined ? ' [skipped: Compose is not installed]' : '';
  describe.skipIf(compose === undefined)(`a Compose app${noCompose}`, () => {
    let app: BusinessApp;

    beforeAll(async () => {
      app = await startBusinessApp(lab);
    });

    afterAll(() => app?.[Symbol.asyncDispose]());

    test('is discovered with services, files, mounts, networks and dependencies', async () => {
      const project = await engine.inspectProject(app.project);
      expect(project).toMatchObject({ kind: 'compose', workingDir: app.folder, configFiles: [app.composeFile] });
      const [db, web] = project.containers;
      expect(project.containers.map((one) => one.service)).toEqual(['db', 'web']);
      expect(db).toMatchObject({ state: 'running', health: 'healthy', hasHealthcheck: true, image: lab.image });
      expect(web?.dependsOn).toEqual([{ service: 'db', condition: 'service_healthy' }]);
      expect(web?.networks).toMatchObject([
        { name: `${app.project}_default`, ipAddress: expect.stringMatching(/^\d+\./) as string },
      ]);
      expect([...(web?.mounts ?? [])].sort((a, b) => a.destination.localeCompare(b.destination))).toMatchObject([
        { type: 'bind', source: app.checkout, destination: '/srv/app', readWrite: true },
        { type: 'volume', name: `${app.project}_files`, destination: '/var/lib/app/files', driver: 'local' },
      ]);
    });

    test('has one PostgreSQL, with the password that opens it', async () => {
      const found = (await engine.inspectProject(app.project)).containers.flatMap((one) => detectPostgres(one) ?? []);
      expect(found).toMatchObject([
        { service: 'db', user: 'shop', database: 'shop', dataMount: { name: `${app.project}_db-data` } },
      ]);
      const [postgres] = found;
      if (!postgres?.password) throw new Error('no password found');
      const command = [
        'psql',
        '-h',
        '127.0.0.1',
        '-U',
        postgres.user,
        '-d',
        postgres.database,
        '-Atc',
        'SELECT count(*) FROM orders',
      ];
      const result = await engine.execCollect(postgres.containerId, {
        command,
        env: { PGPASSWORD: postgres.password },
      });
      expect(result).toMatchObject({ exitCode: 0, stderr: '' });
      expect(result.stdout.toString()).toBe('1000\n');
    });

    test('streams a dump whose restore has every row', async () => {
      const db = await app.containerId('db');
      const dump = await Array.fromAsync(
        engine.execOutput(db, { command: ['pg_dump', '-U', 'shop', '-Fc', '-Z0', 'shop'] }),
      );
      await app.sql('CREATE DATABASE copy');
      async function* input(): AsyncGenerator<Uint8Array> {
        yield* dump;
      }
      const result = await engine.execCollect(db, {
        command: ['pg_restore', '-U', 'shop', '-d', 'copy', '--exit-on-error'],
        stdin: input(),
      });
      expect(result).toMatchObject({ exitCode: 0, stderr: '' });
      const count = await engine.execCollect(db, {
        command: ['psql', '-U', 'shop', '-d', 'copy', '-Atc', 'SELECT count(*) FROM orders'],
      });
      expect(count.stdout.toString()).toBe('1000\n');
      await app.sql('DROP DATABASE copy');
    });

    test('gives the raw inspection for the snapshot', async () => {
      const id = await app.containerId('web');
      expect(await engine.inspectRaw(id)).toMatchObject({ Id: id, Config: { Image: lab.image } });
    });

    test('has volumes that are read where the engine keeps them, when this process may', async () => {
      const web = (await engine.inspectProject(app.project)).containers.find((one) => one.service === 'web');
      for (const mount of web?.mounts ?? []) {
        const path = await engine.volumeHostPath(mount);
        if (path === undefined) continue;
        const probe = mount.type === 'bind' ? 'settings.ini' : 'documents/invoice-1.txt';
        const inside = await engine.execCollect(web?.id ?? '', { command: ['cat', `${mount.destination}/${probe}`] });
        expect(await readFile(join(path, probe), 'utf8')).toBe(inside.stdout.toString());
        expect(helperSource(mount).source).toBe(mount.type === 'bind' ? app.checkout : `${app.project}_files`);
      }
    });

    test('stops dependents first, starts dependencies first, and is healthy again', async () => {
      const { containers } = await engine.inspectProject(app.project);
      const stopping = stopOrder(containers);
      expect(stopping).toMatchObject({ cycles: [], order: [{ service: 'web' }, { service: 'db' }] });
      for (const container of stopping.order) await engine.stop(container.id, { timeoutS: 20 });
      const stopped = (await engine.inspectProject(app.project)).containers;
      expect(stopped.map((one) => one.state)).toEqual(['exited', 'exited']);
      // 0: the database shut down by itself and was not killed.
      expect(stopped.find((one) => one.service === 'db')?.exitCode).toBe(0);
      for (const container of startOrder(containers).order) await engine.start(container.id);
      await engine.waitHealthy(
        containers.map((one) => one.id),
        { timeoutMs: 60_000 },
      );
      expect(await app.sql('SELECT count(*) FROM orders')).toBe('1000');
    });

    test('whose containers were removed comes back from its files, started or not', async () => {
      await app.compose('rm', '-s', '-f', 'web');
      expect((await engine.inspectProject(app.project)).containers.map((one) => one.service)).toEqual(['db']);
      const options = { workingDir: app.folder, configFiles: [app.composeFile], project: app.project };
      const before = await app.containerId('db');
      await engine.composeUp({ ...options, noStart: true });
      const states = (await engine.inspectProject(app.project)).containers.map((one) => [one.service, one.state]);
      expect(states).toEqual([
        ['db', 'running'],
        ['web', 'created'],
      ]);
      await engine.composeUp(options);
      const { containers } = await engine.inspectProject(app.project);
      expect(containers.map((one) => one.state)).toEqual(['running', 'running']);
      expect(await app.containerId('db')).toBe(before);
    });

    test('whose file is broken does not come back: the error holds what Compose said', async () => {
      const broken = join(app.folder, 'broken.yaml');
      await writeFile(broken, 'services: { web: { image: [] } }\n');
      const failing = engine.composeUp({ workingDir: app.folder, configFiles: [broken], project: app.project });
      await expect(failing).rejects.toMatchObject({
        code: 'DOCKER_COMMAND_FAILED',
        message: expect.stringContaining('image') as string,
      });
    });
  });
});
