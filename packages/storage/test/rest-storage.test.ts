import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import {
  describeStorageContract,
  quickTemporaryFolder,
  rcloneAvailable,
  resticAvailable,
  runRestic,
  startRcloneServer,
  type RcloneServer,
} from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openStorage, type OpenStorageOptions } from '../src/index.ts';

const quick = { attempts: 3, firstDelayMs: 1, maxDelayMs: 10 };
const name = 'ab'.repeat(32);
const user = 'ana';
const password = 'ge:h@im/1';
const withPassword: OpenStorageOptions = {
  environment: { RESTIC_REST_USERNAME: user, RESTIC_REST_PASSWORD: password },
  retry: quick,
};

const rclone = await rcloneAvailable();

describe.skipIf(!rclone)(`rclone serve restic${rclone ? '' : ' [skipped: rclone is not installed]'}`, () => {
  let folder: string;
  let peer: RcloneServer;
  let count = 0;
  beforeAll(async () => {
    folder = await mkdtemp(join(quickTemporaryFolder(), 'varve-rest-'));
    peer = await startRcloneServer({ folder, user, password });
  });
  afterAll(async () => {
    await peer[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  describeStorageContract('a REST server', async () => ({
    storage: openStorage(`rest:${peer.url}${++count}/`, withPassword),
    dispose: async () => {},
  }));

  test('the password may be in the location, and is never shown', async () => {
    const url = new URL(`${peer.url}shown/`);
    url.username = user;
    url.password = password;
    await using storage = disposable(openStorage(`rest:${url.href}`, { environment: {}, retry: quick }));
    await storage.create();
    await storage.save({ type: 'config', name: '' }, Buffer.from('x'));
    expect(storage.location).toContain(`${user}@`);
    expect(storage.location).not.toMatch(/geheim|ge%3Ah|ge:h/);
  });

  test('a wrong password is denied, and says where the right one belongs', async () => {
    const environment = { RESTIC_REST_USERNAME: user, RESTIC_REST_PASSWORD: 'wrong' };
    await using storage = disposable(openStorage(`rest:${peer.url}x/`, { environment, retry: quick }));
    const failure = storage.save({ type: 'index', name }, Buffer.from('x'));
    await expect(failure).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('RESTIC_REST_PASSWORD'),
    });
    await expect(failure).rejects.not.toThrow(/wrong/);
  });

  test('an append-only server takes new files, and says that it deletes none', async () => {
    const place = join(folder, 'append-only');
    await using strict = await startRcloneServer({ folder: place, appendOnly: true });
    await using storage = disposable(openStorage(`rest:${strict.url}`, { environment: {}, retry: quick }));
    await storage.create();
    await storage.save({ type: 'snapshot', name }, Buffer.from('x'));
    await expect(storage.remove({ type: 'snapshot', name })).rejects.toMatchObject({
      code: 'STORAGE_DENIED',
      hint: expect.stringContaining('append-only'),
    });
    expect(await Array.fromAsync(storage.list('snapshot'))).toEqual([{ name, sizeBytes: 1 }]);
    await storage.save({ type: 'lock', name }, Buffer.from('x'));
    await storage.remove({ type: 'lock', name });
  });

  test('a server that goes away is unreachable, within the attempts', async () => {
    const brief = await startRcloneServer({ folder: join(folder, 'brief') });
    await using storage = disposable(openStorage(`rest:${brief.url}`, { environment: {}, retry: quick }));
    await storage.create();
    await brief.server.kill();
    await expect(storage.stat({ type: 'config', name: '' })).rejects.toMatchObject({
      code: 'STORAGE_UNREACHABLE',
      hint: expect.stringContaining('Nothing listens'),
    });
  });

  test('restic initialises a repository there whose files we list', async (context) => {
    if (!(await resticAvailable())) return context.skip('restic is not installed');
    const url = new URL(`${peer.url}restic/`);
    url.username = user;
    url.password = password;
    await runRestic({ repo: `rest:${url.href}`, password: 'p' }, ['init']);
    await using storage = disposable(openStorage(`rest:${peer.url}restic`, withPassword));
    expect(await Array.fromAsync(storage.list('key'))).toHaveLength(1);
    expect((await storage.stat({ type: 'config', name: '' })).sizeBytes).toBeGreaterThan(32);
  });
});

describe('a REST server that misbehaves', () => {
  /** Answers each request with the next status, the last one for ever. */
  async function startServer(
    statuses: number[],
    body = '',
  ): Promise<AsyncDisposable & { url: string; count(): number }> {
    let requests = 0;
    const server = createServer((request, response) => {
      const status = statuses[Math.min(requests++, statuses.length - 1)] ?? 500;
      request.resume().on('end', () => response.writeHead(status).end(body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    return {
      url: `http://127.0.0.1:${port}/`,
      count: () => requests,
      [Symbol.asyncDispose]: async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }

  test.each([429, 503, 500])('and answers %i is asked again', async (status) => {
    await using server = await startServer([status, status, 200], 'content');
    await using storage = disposable(openStorage(`rest:${server.url}`, { environment: {}, retry: quick }));
    expect(Buffer.from(await storage.load({ type: 'index', name })).toString()).toBe('content');
    expect(server.count()).toBe(3);
  });

  test.each([
    [507, 'STORAGE_FULL'],
    [403, 'STORAGE_DENIED'],
    [404, 'STORAGE_FILE_NOT_FOUND'],
    [301, 'STORAGE_LOCATION_INVALID'],
    [400, 'STORAGE_LOCATION_INVALID'],
  ])('and answers %i is not', async (status, code) => {
    await using server = await startServer([status]);
    await using storage = disposable(openStorage(`rest:${server.url}`, { environment: {}, retry: quick }));
    await expect(storage.load({ type: 'index', name })).rejects.toMatchObject({ code });
    expect(server.count()).toBe(1);
  });

  test('and lists something that is not a list is named', async () => {
    await using server = await startServer([200], '<html>');
    await using storage = disposable(openStorage(`rest:${server.url}`, { environment: {}, retry: quick }));
    await expect(Array.fromAsync(storage.list('index'))).rejects.toMatchObject({ code: 'STORAGE_LOCATION_INVALID' });
  });

  test('and never answers is given up by the watchdog', async () => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = address !== null && typeof address === 'object' ? address.port : 0;
    const options = { environment: {}, retry: { ...quick, attempts: 2 }, stallMs: 100 };
    await using storage = disposable(openStorage(`rest:http://127.0.0.1:${port}/`, options));
    await expect(storage.load({ type: 'index', name })).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('a location after rest:', () => {
  test('has to be an http or https address', () => {
    for (const location of ['rest:', 'rest:ftp://host/', 'rest:host/path', 'rest:http://host/?a=1']) {
      expect(() => openStorage(location)).toThrow(expect.objectContaining({ code: 'STORAGE_LOCATION_INVALID' }));
    }
  });

  test('takes restic’s options, and refuses what there is not', () => {
    expect(openStorage('rest:http://host/', { settings: { 'rest.connections': '9' } }).connections).toBe(9);
    for (const settings of [{ 'rest.connection': '9' }, { 'rest.connections': '0' }, { 'rest.connections': 'x' }]) {
      expect(() => openStorage('rest:http://host/', { settings })).toThrow(
        expect.objectContaining({ code: 'USAGE_INVALID' }),
      );
    }
  });
});

function disposable<T extends { close(): Promise<void> }>(storage: T): T & AsyncDisposable {
  return Object.assign(storage, { [Symbol.asyncDispose]: () => storage.close() });
}
