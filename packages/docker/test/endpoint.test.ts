import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSocketServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAppError, type AppError } from '@varve/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectDocker, endpointUrl, resolveEndpoint } from '../src/index.ts';
import { engineError } from '../src/engine-errors.ts';

let home: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'varve-docker-'));
});

afterEach(async () => {
  await rm(home, { recursive: true, force: true });
});

async function errorOf(promise: Promise<unknown>): Promise<AppError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!isAppError(error)) throw new Error(`expected an AppError, got ${String(error)}`);
  return error;
}

async function listening(server: Server, path?: string): Promise<void> {
  await new Promise<void>((resolve) => (path ? server.listen(path, resolve) : server.listen(0, '127.0.0.1', resolve)));
}

async function writeContext(name: string, host: string): Promise<void> {
  const id = createHash('sha256').update(name).digest('hex');
  const folder = join(home, '.docker', 'contexts', 'meta', id);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'meta.json'), JSON.stringify({ Name: name, Endpoints: { docker: { Host: host } } }));
}

describe('the endpoint', () => {
  test('is the default socket when nothing is set', async () => {
    expect(endpointUrl(await resolveEndpoint({ env: {}, homeDir: home }))).toBe('unix:///var/run/docker.sock');
  });

  test('is DOCKER_HOST before the current context', async () => {
    await writeContext('desktop', 'unix:///home/me/desktop.sock');
    await writeFile(join(home, '.docker', 'config.json'), JSON.stringify({ currentContext: 'desktop' }));
    const env = { DOCKER_HOST: 'tcp://[::1]:2375' };
    expect(await resolveEndpoint({ env, homeDir: home })).toMatchObject({ kind: 'tcp', host: '::1', port: 2375 });
    expect(endpointUrl(await resolveEndpoint({ env: {}, homeDir: home }))).toBe('unix:///home/me/desktop.sock');
  });

  test('is the context that DOCKER_CONTEXT names', async () => {
    await writeContext('other', 'unix:///other.sock');
    const found = await resolveEndpoint({ env: { DOCKER_CONTEXT: 'other' }, homeDir: home });
    expect(found).toMatchObject({ kind: 'unix', socketPath: '/other.sock', source: 'the Docker context "other"' });
  });

  test('of a context that does not exist is an error that names it', async () => {
    const error = await errorOf(resolveEndpoint({ env: { DOCKER_CONTEXT: 'gone' }, homeDir: home }));
    expect(error).toMatchObject({ code: 'DOCKER_UNREACHABLE', message: expect.stringContaining('"gone"') as string });
  });

  test('over ssh is refused with the way around', async () => {
    const error = await errorOf(resolveEndpoint({ host: 'ssh://root@server', env: {}, homeDir: home }));
    expect(error.code).toBe('DOCKER_UNREACHABLE');
    expect(error.hint).toContain('ssh -L');
  });

  test('with TLS needs its certificates', async () => {
    const env = { DOCKER_HOST: 'tcp://server:2376', DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: home };
    expect((await errorOf(resolveEndpoint({ env, homeDir: home }))).message).toContain(home);
    for (const name of ['ca', 'cert', 'key']) await writeFile(join(home, `${name}.pem`), name);
    expect(await resolveEndpoint({ env, homeDir: home })).toMatchObject({
      tls: { ca: 'ca', cert: 'cert', key: 'key' },
    });
  });
});

describe('an engine that does not answer', () => {
  test('because there is no socket: says how to start it', async () => {
    const error = await errorOf(connectDocker({ host: `unix://${home}/none.sock`, env: {} }));
    expect(error.code).toBe('DOCKER_UNREACHABLE');
    expect(error.message).toContain(`${home}/none.sock`);
    expect(error.hint).toContain('systemctl start docker');
  });

  test('because a dead one left its socket: says that it is not running', async () => {
    const path = join(home, 'dead.sock');
    // A bound socket that nobody listens on is what a killed engine leaves.
    await writeFile(path, '');
    const error = await errorOf(connectDocker({ host: `unix://${path}`, env: {} }));
    expect(error.code).toBe('DOCKER_UNREACHABLE');
    expect(error.message).toMatch(/connection refused|not a socket/);
  });

  test('because of permissions: names the group', () => {
    const denied = Object.assign(new Error('connect EACCES'), { code: 'EACCES' });
    const endpoint = { kind: 'unix', socketPath: '/var/run/docker.sock', source: 'the default socket' } as const;
    const error = engineError(denied, { endpoint, action: 'list the containers' });
    expect(error).toMatchObject({
      code: 'DOCKER_UNREACHABLE',
      hint: expect.stringContaining('usermod -aG docker') as string,
    });
  });

  test('because it hangs: gives up after 5 s', async () => {
    const server = createSocketServer();
    const path = join(home, 'hung.sock');
    await listening(server, path);
    try {
      const startedAt = performance.now();
      const error = await errorOf(connectDocker({ host: `unix://${path}`, env: {} }));
      expect(error.message).toContain('no answer in time');
      expect(performance.now() - startedAt).toBeLessThan(8000);
    } finally {
      server.close();
    }
  });

  test('because the caller cancels: is cancelled, not unreachable', async () => {
    const server = createSocketServer();
    const path = join(home, 'hung.sock');
    await listening(server, path);
    try {
      const error = await errorOf(connectDocker({ host: path, env: {}, signal: AbortSignal.timeout(50) }));
      expect(error.code).toBe('CANCELLED');
    } finally {
      server.close();
    }
  });

  test('because something else listens there: is unreachable too', async () => {
    for (const answer of ['{"hello":"world"}', '<html></html>']) {
      const server = createServer((_, response) => response.end(answer));
      await listening(server);
      try {
        const port = (server.address() as AddressInfo).port;
        const error = await errorOf(connectDocker({ host: `tcp://127.0.0.1:${port}`, env: {} }));
        expect(error.code).toBe('DOCKER_UNREACHABLE');
      } finally {
        server.close();
      }
    }
  });

  test('at a TCP address does not fall back to DOCKER_HOST', async () => {
    const error = await errorOf(
      connectDocker({ host: 'tcp://127.0.0.1:1', env: { DOCKER_HOST: 'unix:///var/run/docker.sock' } }),
    );
    expect(error.message).toContain('tcp://127.0.0.1:1');
  });
});
