import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  findAzurite,
  quickTemporaryFolder,
  rcloneAvailable,
  startAzurite,
  startFaultProxy,
  startGcsServer,
  startRcloneServer,
  type Fault,
  type FaultProxy,
} from '@varve/testing';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { openStorage, type OpenStorageOptions, type Storage } from '../src/index.ts';

/** A real server, and how it is opened through the proxy. */
interface Peer extends AsyncDisposable {
  readonly target: string;
  open(proxyUrl: string, options: Omit<OpenStorageOptions, 'environment'>): Storage;
}

const retry = { attempts: 4, firstDelayMs: 5, maxDelayMs: 20 };
const azurite = findAzurite(import.meta.filename);
const rclone = await rcloneAvailable();
const restServer = 'a REST server';

describeFaults(restServer, rclone ? undefined : 'rclone is not installed', async () => {
  const folder = await mkdtemp(join(quickTemporaryFolder(), 'varve-faults-'));
  const server = await startRcloneServer({ folder });
  return {
    target: server.url,
    open: (url, options) => openStorage(`rest:${url}/`, { ...options, environment: {} }),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await rm(folder, { recursive: true });
    },
  };
});

describeFaults('Google Cloud Storage (a stand-in)', undefined, async () => {
  const server = await startGcsServer();
  return {
    target: server.endpoint,
    open: (url, options) =>
      openStorage('gs:faults:/', {
        ...options,
        environment: { STORAGE_EMULATOR_HOST: url, GOOGLE_ACCESS_TOKEN: server.token, GOOGLE_PROJECT_ID: 'p' },
      }),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});

describeFaults('Azure Blob Storage', azurite ? undefined : 'azurite is not installed', async () => {
  const server = await startAzurite(azurite ?? '');
  const [, target = ''] = /BlobEndpoint=(http:\/\/[^/;]+)/.exec(server.connectionString) ?? [];
  return {
    target,
    open: (url, options) => {
      const text = server.connectionString.replace(target, url);
      return openStorage('azure:faults:/', { ...options, environment: { AZURE_STORAGE_CONNECTION_STRING: text } });
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
});

function describeFaults(name: string, missing: string | undefined, start: () => Promise<Peer>): void {
  describe.skipIf(missing)(`${name} behind a line that misbehaves${missing ? ` [skipped: ${missing}]` : ''}`, () => {
    const data = randomBytes(3_000_000);
    let peer: Peer;
    let proxy: FaultProxy;
    beforeAll(async () => {
      peer = await start();
      proxy = await startFaultProxy(peer.target);
      await using storage = open();
      await storage.create();
    }, 90_000);
    afterEach(() => proxy.misbehave(undefined));
    afterAll(async () => {
      await proxy[Symbol.asyncDispose]();
      await peer[Symbol.asyncDispose]();
    });

    function open(options: Omit<OpenStorageOptions, 'environment'> = {}): Storage & AsyncDisposable {
      const storage = peer.open(proxy.url, { retry, ...options });
      return Object.assign(storage, { [Symbol.asyncDispose]: () => storage.close() });
    }

    function newHandle(): { type: 'pack'; name: string } {
      return { type: 'pack', name: createHash('sha256').update(randomBytes(8)).digest('hex') };
    }

    /** The first request of these methods that comes is treated so; later ones pass. */
    function once(methods: readonly string[], fault: Fault): () => number {
      let count = 0;
      proxy.misbehave(({ method }) => (methods.includes(method) && ++count === 1 ? fault : undefined));
      return () => count;
    }

    const writes = ['POST', 'PUT'];
    const reads = ['GET'];

    test('what is throttled waits as long as it is told to, and is then done', async () => {
      for (const status of [429, 503]) {
        await using storage = open();
        const handle = newHandle();
        once(writes, { kind: 'answer', status, headers: { 'retry-after': '1' }, body: 'slow down' });
        const before = proxy.requests.length;
        await storage.save(handle, data);
        const [first, second] = proxy.requests.slice(before).filter(({ method }) => writes.includes(method));
        expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(990);
        proxy.misbehave(undefined);
        expect(data.equals(await storage.load(handle))).toBe(true);
      }
    });

    test('a server that only throttles is given up, and the error may pass', async () => {
      await using storage = open();
      proxy.misbehave(() => ({ kind: 'answer', status: 503 }));
      const before = proxy.requests.length;
      await expect(storage.load(newHandle())).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE', retry: true });
      expect(proxy.requests.length - before).toBe(retry.attempts);
    });

    test('a save whose connection is cut in the middle is sent again, whole', async () => {
      await using storage = open();
      const handle = newHandle();
      const count = once(writes, { kind: 'cut-request', afterBytes: 1_000_000 });
      await storage.save(handle, data);
      expect(count()).toBe(2);
      expect(data.equals(await storage.load(handle))).toBe(true);
    });

    // The REST protocol has no checksum, and rclone does not compare the name with the content.
    if (name !== restServer) {
      test('a save that is damaged on the way is refused and sent again', async () => {
        await using storage = open();
        const handle = newHandle();
        const count = once(writes, { kind: 'damage-request', atByte: 1_000_000 });
        await storage.save(handle, data);
        expect(count()).toBe(2);
        expect(data.equals(await storage.load(handle))).toBe(true);
      });
    }

    test('a save whose answer is lost is ours, and not a name that is taken', async () => {
      await using storage = open();
      const handle = newHandle();
      once(writes, { kind: 'lose-answer' });
      await storage.save(handle, data);
      expect(data.equals(await storage.load(handle))).toBe(true);
      await expect(storage.save(handle, randomBytes(10))).rejects.toMatchObject({ code: 'STORAGE_FILE_EXISTS' });
    });

    test('a load or a list whose answer is cut in the middle begins anew', async () => {
      await using storage = open();
      const handle = newHandle();
      await storage.save(handle, data);
      once(reads, { kind: 'cut-answer', afterBytes: 1_000_000 });
      expect(data.equals(await storage.load(handle))).toBe(true);
      once(reads, { kind: 'cut-answer', afterBytes: 1_000_000 });
      expect(data.subarray(100).equals(await storage.load(handle, { offset: 100 }))).toBe(true);
      once(reads, { kind: 'cut-answer', afterBytes: 20 });
      const listed = await Array.fromAsync(storage.list('pack'), (info) => info.name);
      expect(listed).toContain(handle.name);
      expect(new Set(listed).size).toBe(listed.length);
    });

    test('a server that hangs is given up by the watchdog and asked again; a slow one is not', async () => {
      await using storage = open({ stallMs: 400 });
      const handle = newHandle();
      once(writes, { kind: 'hang' });
      await storage.save(handle, data);
      once(reads, { kind: 'hang' });
      expect(data.equals(await storage.load(handle))).toBe(true);
      const count = once(reads, { kind: 'slow-answer', stepBytes: 300_000, pauseMs: 20 });
      const startedAt = performance.now();
      expect(data.equals(await storage.load(handle))).toBe(true);
      expect([count(), performance.now() - startedAt > 500]).toEqual([1, true]);
    });
  });
}
