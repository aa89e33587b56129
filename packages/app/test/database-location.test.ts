// The ways to a database in a container, each with a real server and nothing else open: which one is taken, that it leads to
// the right server, and that a container that was made again is found.

import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAppError } from '@varve/base';
import type { DatabaseComponent } from '@varve/contract';
import { appLabel, connectDocker, type DockerEngine } from '@varve/docker';
import type { PgConnection } from '@varve/postgres';
import { dockerLab, freePort, suiteName } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { relayCommand } from '../src/components/database/container-relay.ts';
import { databaseAccess, type DatabaseAccess } from '../src/components/database/database-access.ts';
import { databaseLocation, openDatabase, probeDatabase } from '../src/components/database/database-location.ts';

const lab = await dockerLab();
const never = new AbortController().signal;
const noSecrets = { get: () => Promise.resolve(undefined) };

interface DatabaseContainer extends AsyncDisposable {
  readonly id: string;
  readonly address: string;
  access(): Promise<DatabaseAccess>;
}

interface ContainerOptions {
  /** Of the project, to make one again. */
  readonly project?: string;
  readonly password?: string;
  readonly port?: number;
  readonly run?: readonly string[];
  readonly settings?: readonly string[];
}

let docker: DockerEngine;

/** A server in a container of its own project, ready. */
async function startContainer(options: ContainerOptions = {}): Promise<DatabaseContainer> {
  const project = options.project ?? `ways-${randomBytes(4).toString('hex')}`;
  const port = options.port ?? 5432;
  const settings = [...(options.settings ?? []), `port=${port}`].flatMap((setting) => ['-c', setting]);
  const environment = ['-e', `POSTGRES_PASSWORD=${options.password ?? 'secret'}`];
  const labels = ['--label', `${appLabel}=${project}`, '--name', project];
  const id = await lab.docker(
    'run',
    '-d',
    ...labels,
    ...environment,
    // In memory: making a cluster is slow where many fsyncs are.
    '--tmpfs',
    '/var/lib/postgresql/data',
    ...(options.run ?? []),
    lab.image,
    'postgres',
    ...settings,
  );
  // The first start makes the cluster without any server, so an answer is the real one.
  await vi.waitFor(() => lab.docker('exec', id, 'pg_isready', '-q', '-p', String(port)), 60_000);
  const container = await docker.inspectContainer(id);
  const component = {
    kind: 'database',
    name: 'db',
    engine: 'postgresql',
    method: 'dump',
    source: { type: 'container', service: container.service, user: 'postgres', port },
    excludes: [],
  } satisfies DatabaseComponent;
  return {
    id,
    address: container.networks[0]?.ipAddress ?? '',
    access: async () =>
      databaseAccess({
        component,
        secrets: noSecrets,
        project: { docker, project: await docker.inspectProject(project) },
        signal: never,
      }),
    [Symbol.asyncDispose]: async () => void (await lab.docker('rm', '-f', '-v', id)),
  };
}

async function valueOf(connection: PgConnection, sql: string): Promise<string | null | undefined> {
  return (await connection.query(sql)).at(-1)?.rows[0]?.[0];
}

describe.skipIf(!lab.available)(suiteName('the way to a database in a container', lab), () => {
  beforeAll(async () => {
    docker = await connectDocker({ host: lab.host });
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  test('is the Docker network where that can be reached, also for replication under the rules of the official image', async () => {
    await using container = await startContainer();
    const access = await container.access();
    await using connection = await openDatabase(access, { replication: true, signal: never });
    expect(connection.server.address).toBe(`${container.address}:5432`);
    expect(
      await valueOf(
        connection,
        'select count(*) from pg_hba_file_rules where database = $${replication}$$ and auth_method = $$scram-sha-256$$ and address = $$all$$',
      ),
    ).toBe('0');
    expect((await connection.query('IDENTIFY_SYSTEM'))[0]?.rows).toHaveLength(1);
    const tried = await probeDatabase(access, { signal: never });
    expect(tried.map(({ kind, problem }) => [kind, problem])).toEqual([
      ['network', null],
      ['container', null],
      ['container', null],
      ['published-port', 'port 5432 is not published'],
      ['unix-socket', 'no mount of the container holds its socket'],
    ]);
  }, 120_000);

  test('is a port on the host when the container has no address of its own', async () => {
    const port = await freePort();
    await using container = await startContainer({ run: ['--network', 'host'], port });
    await using connection = await openDatabase(await container.access(), { signal: never });
    expect(connection.server.address).toBe(`127.0.0.1:${port}`);
  }, 120_000);

  test('is the socket in a mount when there is no network', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'varve-socket-'));
    try {
      await using container = await startContainer({
        run: ['--network', 'none', '-v', `${folder}:/var/run/postgresql`],
      });
      await using connection = await openDatabase(await container.access(), { replication: true, signal: never });
      expect(connection.server.address).toBe(join(folder, '.s.PGSQL.5432'));
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }, 120_000);

  test('is the container itself when nothing else is open, with cancelling, large data and no session left behind', async () => {
    await using container = await startContainer({ run: ['--network', 'none'] });
    const access = await container.access();
    const connection = await openDatabase(access, { replication: true, signal: never, applicationName: 'relayed' });
    expect(connection.server.address).toContain('port 5432 in container');
    let bytes = 0;
    for await (const chunk of connection.copyOut(
      'copy (select repeat(md5(i::text), 100) from generate_series(1, 20000) i) to stdout',
    )) {
      bytes += chunk.length;
    }
    expect(bytes).toBe(20_000 * 3201);
    const cancelled = connection.query('select pg_sleep(60)', { signal: AbortSignal.timeout(300) });
    await expect(cancelled).rejects.toThrow(expect.objectContaining({ code: 'CANCELLED' }));
    expect(await valueOf(connection, 'select 1')).toBe('1');
    const sessions = "select count(*) from pg_stat_activity where application_name = 'relayed'";
    const left = (): Promise<string> =>
      lab.docker('exec', container.id, 'psql', '-XAt', '-U', 'postgres', '-c', sessions);
    expect(await left()).toBe('1');
    await connection.close();
    await vi.waitFor(async () => expect(await left()).toBe('0'), 10_000);
    expect(await lab.docker('exec', container.id, 'sh', '-c', 'cat /proc/[0-9]*/comm; true')).not.toMatch(
      /^(bash|perl)$/m,
    );
  }, 120_000);

  test('reaches a server that listens on its socket alone', async () => {
    await using container = await startContainer({ run: ['--network', 'none'], settings: ['listen_addresses='] });
    await using connection = await openDatabase(await container.access(), { signal: never });
    expect(await valueOf(connection, 'select inet_server_addr()')).toBeNull();
  }, 120_000);

  test('never ends at another server, even when user and password fit there', async () => {
    await using right = await startContainer({ run: ['--network', 'none'] });
    await using wrong = await startContainer();
    const access = await right.access();
    const misled: DatabaseAccess = {
      ...access,
      container: access.container && {
        ...access.container,
        networks: [{ name: 'bridge', ipAddress: wrong.address, aliases: [] }],
      },
    };
    const [network, relay] = await probeDatabase(misled, { signal: never });
    expect(network?.problem).toContain('another server answers');
    expect(relay).toMatchObject({ kind: 'container', problem: null });
    await using connection = await openDatabase(misled, { signal: never });
    expect(connection.server.address).toContain('in container');
  }, 120_000);

  test('is found again after the container was made anew with another address and password', async () => {
    const project = `ways-${randomBytes(4).toString('hex')}`;
    await using first = await startContainer({ project, password: 'one' });
    const locate = databaseLocation(await first.access(), { signal: never });
    expect(await locate()).toMatchObject({ host: first.address });
    await lab.docker('rm', '-f', '-v', first.id);
    const gone = await locate().catch((error: unknown) => error);
    expect(isAppError(gone, 'DATABASE_UNREACHABLE') && gone.retry).toBe(true);
    // Takes the address that has become free.
    await using _ = await startContainer();
    await using second = await startContainer({ project, password: 'two' });
    const location = await locate();
    expect(location).toMatchObject({ host: second.address });
    expect(location.password?.reveal()).toBe('two');
  }, 120_000);

  test('goes through the container when the password is not that of its environment any more', async () => {
    await using container = await startContainer();
    await lab.docker('exec', container.id, 'psql', '-U', 'postgres', '-c', "alter role postgres password 'changed'");
    const tried = await probeDatabase(await container.access(), { signal: never });
    expect(tried[0]).toMatchObject({ kind: 'network', problem: expect.stringContaining('password') });
    // Of the ways through the container it is the socket that asks for no password in this image.
    expect(tried[1]).toMatchObject({ kind: 'container', problem: expect.stringContaining('password') });
    expect(tried[2]).toMatchObject({ kind: 'container', problem: null });
  }, 120_000);

  test('says what each way said when none works', async () => {
    await using container = await startContainer();
    await lab.docker('kill', container.id);
    const failure = await openDatabase(await container.access(), { signal: never }).catch((error: unknown) => error);
    expect(isAppError(failure, 'DATABASE_UNREACHABLE') && failure.message).toContain('is exited');
  }, 120_000);
});

describe('the relay of bytes in a container', () => {
  /** Runs it here with nothing but some programs on its path, as an image may have them. */
  async function relay(
    programs: readonly string[],
    target: 'server' | 'none',
  ): Promise<{ code: number; stderr: string; answer: string }> {
    const folder = await mkdtemp(join(tmpdir(), 'varve-relay-'));
    await mkdir(join(folder, 'bin'));
    for (const [name, path] of programs.map((path) => [path.split('/').at(-1) ?? '', path])) {
      await symlink(path ?? '', join(folder, 'bin', name ?? ''));
    }
    const server = createServer((socket) => {
      socket.on('data', (bytes) => socket.end(bytes.toString().toUpperCase()));
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const { port } = server.address() as AddressInfo;
    const [program = '', ...parameters] = relayCommand(target === 'none' ? await freePort() : port, 'port');
    const child = spawn(`/bin/${program}`, parameters, { env: { PATH: join(folder, 'bin') } });
    let answer = '';
    let stderr = '';
    child.stdout.on('data', (bytes: Buffer) => (answer += bytes.toString()));
    child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()));
    // Its input stays open: the end of the other side must end it.
    child.stdin.on('error', () => {});
    child.stdin.write('hello');
    const code = await new Promise<number>((resolve) => {
      child.once('close', (exitCode) => resolve(exitCode ?? -1));
    });
    child.stdin.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true, force: true });
    return { code, stderr, answer };
  }

  test.each([[['/bin/bash', '/bin/cat']], [['/usr/bin/perl']]])('works with %j', async (programs) => {
    expect(await relay(programs, 'server')).toEqual({ code: 0, stderr: '', answer: 'HELLO' });
    const refused = await relay(programs, 'none');
    expect(refused).toMatchObject({ code: 41, answer: '' });
    expect(refused.stderr).toMatch(/refused/);
  });

  test('says what an image lacks', async () => {
    expect(await relay([], 'server')).toMatchObject({
      code: 127,
      stderr: expect.stringContaining('no bash, socat, nc or perl'),
    });
  });
});
