import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@varve/base';
import { describeStorageContract, FaultyStorage, quickTemporaryFolder, type FaultKind } from '@varve/testing';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  GuardedStorage,
  LimitedStorage,
  openStorage,
  RetryingStorage,
  ThrottledStorage,
  type FileHandle,
  type FileInfo,
  type FileType,
  type LoadOptions,
  type Storage,
  type StorageCallOptions,
} from '../src/index.ts';

const quick = { attempts: 4, firstDelayMs: 1, maxDelayMs: 4 };
const handle: FileHandle = { type: 'pack', name: 'ab'.repeat(32) };

const wrappers: Readonly<Record<string, (inner: Storage) => Storage>> = {
  'a local folder with retries': (inner) => new RetryingStorage(inner, quick),
  'a local folder with two connections': (inner) => new LimitedStorage(inner, 2),
  'a local folder with one connection': (inner) => new LimitedStorage(inner, 1),
  'a local folder with limits on the rate': (inner) =>
    new ThrottledStorage(inner, { uploadBytesPerSecond: 500e6, downloadBytesPerSecond: 500e6 }),
  'a local folder with a watchdog': (inner) => new GuardedStorage(inner, 10_000),
  'a local folder with all wrappers': (inner) =>
    new RetryingStorage(
      new LimitedStorage(new GuardedStorage(new ThrottledStorage(inner, { uploadBytesPerSecond: 500e6 }), 10_000), 3),
      quick,
    ),
};

for (const [name, wrap] of Object.entries(wrappers)) {
  describeStorageContract(name, async () => {
    const folder = await mkdtemp(join(quickTemporaryFolder(), 'varve-storage-'));
    return { storage: wrap(openStorage(folder)), dispose: () => rm(folder, { recursive: true }) };
  });
}

/** A local storage with some calls replaced. */
function replacing(inner: Storage, calls: Partial<Storage>): Storage {
  const bound = {
    create: inner.create.bind(inner),
    save: inner.save.bind(inner),
    load: inner.load.bind(inner),
    stat: inner.stat.bind(inner),
    list: inner.list.bind(inner),
    remove: inner.remove.bind(inner),
    close: inner.close.bind(inner),
  };
  return { location: inner.location, connections: inner.connections, ...bound, ...calls };
}

/** Fails the first call, as its kind says, with an error that may pass. */
function failingOnce(inner: Storage, kind: FaultKind): Storage {
  const faulty = new FaultyStorage(inner, { failingCall: 1, kind, staysDown: false });
  const mayPass = (error: unknown): never => {
    throw error instanceof AppError && error.code === 'STORAGE_UNREACHABLE'
      ? new AppError(error.code, error.message, { retry: true })
      : error;
  };
  return replacing(inner, {
    save: (...call) => faulty.save(...call).catch(mayPass),
    remove: (...call) => faulty.remove(...call).catch(mayPass),
  });
}

let folder: string;
let local: Storage;
beforeEach(async () => {
  folder = await mkdtemp(join(quickTemporaryFolder(), 'varve-storage-'));
  local = openStorage(folder);
  await local.create();
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

describe('retries', () => {
  test.each(['before', 'after'] as const)(
    'a save and a removal whose first try fails %s it happened succeed',
    async (kind) => {
      const data = randomBytes(1000);
      await new RetryingStorage(failingOnce(local, kind), quick).save(handle, data);
      expect(Buffer.compare(await local.load(handle), data)).toBe(0);
      await new RetryingStorage(failingOnce(local, kind), quick).remove(handle);
      await expect(local.stat(handle)).rejects.toMatchObject({ code: 'STORAGE_FILE_NOT_FOUND' });
    },
  );

  test('another file that took the name meanwhile is not mistaken for ours', async () => {
    const storage = new RetryingStorage(
      replacing(local, {
        save: async (...call) => {
          await local.save(handle, Buffer.from('other')).catch(() => {});
          await local.save(...call).catch((error: unknown) => {
            if (saves++ === 0) throw new AppError('STORAGE_UNREACHABLE', 'gone', { retry: true });
            throw error;
          });
        },
      }),
      quick,
    );
    let saves = 0;
    await expect(storage.save(handle, Buffer.from('mine!'))).rejects.toMatchObject({ code: 'STORAGE_FILE_EXISTS' });
  });

  test('what cannot pass is not tried again, what can is given up after the last attempt', async () => {
    let calls = 0;
    const denied = replacing(local, {
      stat: () => {
        calls++;
        return Promise.reject(new AppError('STORAGE_DENIED', 'no'));
      },
      load: () => {
        calls++;
        return Promise.reject(new AppError('STORAGE_UNREACHABLE', 'down', { retry: true }));
      },
    });
    await expect(new RetryingStorage(denied, quick).stat(handle)).rejects.toMatchObject({ code: 'STORAGE_DENIED' });
    expect(calls).toBe(1);
    calls = 0;
    await expect(new RetryingStorage(denied, quick).load(handle)).rejects.toMatchObject({
      code: 'STORAGE_UNREACHABLE',
    });
    expect(calls).toBe(quick.attempts);
  });

  test('a list that breaks in the middle is finished, and names every file once', async () => {
    const names = Array.from({ length: 9 }, (_, index) => String(index).repeat(64));
    for (const name of names) await local.save({ type: 'index', name }, Buffer.from(name));
    let breaks = 3;
    async function* list(type: FileType, options?: StorageCallOptions): AsyncGenerator<FileInfo> {
      let count = 0;
      for await (const info of local.list(type, options)) {
        if (count++ === 4 && breaks-- > 0) throw new AppError('STORAGE_UNREACHABLE', 'down', { retry: true });
        yield info;
      }
    }
    const storage = new RetryingStorage(replacing(local, { list }), quick);
    const found = await Array.fromAsync(storage.list('index'), ({ name }) => name);
    expect(found.sort()).toEqual(names);
  });
});

describe('a limit on connections', () => {
  test('holds calls back, in order, and lets an aborted one go at once', async () => {
    const gates: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const slow = replacing(local, {
      load: async () => {
        most = Math.max(most, ++running);
        await new Promise<void>((resolve) => gates.push(resolve));
        running--;
        return Buffer.alloc(0);
      },
    });
    const storage = new LimitedStorage(slow, 2);
    const loads = [1, 2, 3].map(() => storage.load(handle));
    const controller = new AbortController();
    const aborted = storage.load(handle, { signal: controller.signal });
    controller.abort();
    await expect(aborted).rejects.toMatchObject({ code: 'CANCELLED' });
    for (let turn = 0; turn < 20; turn++) {
      gates.shift()?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(loads);
    expect(most).toBe(2);
  });

  test('of one lets a reader load what it is listing', async () => {
    const storage = new LimitedStorage(local, 1);
    for (const digit of ['1', '2', '3'])
      await storage.save({ type: 'index', name: digit.repeat(64) }, Buffer.from(digit));
    let loaded = 0;
    for await (const { name } of storage.list('index')) loaded += (await storage.load({ type: 'index', name })).length;
    expect(loaded).toBe(3);
  });
});

describe('a limit on the rate', () => {
  test('is kept over all transfers together', async () => {
    const storage = new ThrottledStorage(local, { uploadBytesPerSecond: 4e6 });
    const startedAt = performance.now();
    // 4 MB go at once out of the full bucket, 2 MB more take half a second.
    await Promise.all(
      ['1', '2', '3'].map((digit) => storage.save({ type: 'pack', name: digit.repeat(64) }, Buffer.alloc(2e6))),
    );
    const elapsedMs = performance.now() - startedAt;
    expect(elapsedMs).toBeGreaterThan(400);
  });
});

describe('a watchdog', () => {
  test('gives up a call that does not move, and not one that is slow', async () => {
    const waiting = (options: StorageCallOptions | undefined): Promise<never> =>
      new Promise((_, reject) => {
        options?.signal?.addEventListener('abort', () => reject(options.signal?.reason as Error), { once: true });
      });
    const stuck = replacing(local, { stat: (_, options) => waiting(options) });
    await expect(new GuardedStorage(stuck, 30).stat(handle)).rejects.toMatchObject({
      code: 'STORAGE_UNREACHABLE',
      retry: true,
    });
    const slow = replacing(local, {
      load: async (_handle: FileHandle, options?: LoadOptions) => {
        for (let step = 0; step < 8; step++) {
          await new Promise((resolve) => setTimeout(resolve, 25));
          options?.signal?.throwIfAborted();
          await options?.onTransfer?.(1);
        }
        return Buffer.from('done');
      },
    });
    expect(Buffer.from(await new GuardedStorage(slow, 150).load(handle)).toString()).toBe('done');
  });

  test('gives up a list whose next entry does not come', async () => {
    async function* list(): AsyncGenerator<FileInfo> {
      yield { name: handle.name, sizeBytes: 1 };
      await new Promise(() => {});
    }
    const storage = new GuardedStorage(replacing(local, { list }), 30);
    await expect(Array.fromAsync(storage.list('pack'))).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
  });
});
