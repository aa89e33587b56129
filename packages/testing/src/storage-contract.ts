// The suite that every storage and every wrapper of one has to pass: packages/storage/src/contract.ts as tests.

import { createHash, randomBytes } from 'node:crypto';
import { isAppError, type ErrorCode } from '@varve/base';
import type { FileHandle, FileType, Storage } from '@varve/storage';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

/** A storage that is empty and not created, and what ends it. */
export interface StorageUnderTest {
  readonly storage: Storage;
  dispose(): Promise<void>;
}

const namedTypes: readonly FileType[] = ['key', 'lock', 'snapshot', 'index', 'pack'];

/** Declares the suite. `factory` makes a new, empty place for each test. */
export function describeStorageContract(name: string, factory: () => Promise<StorageUnderTest>): void {
  describe(`${name} keeps the storage contract`, () => {
    let subject: StorageUnderTest;
    beforeEach(async () => {
      subject = await factory();
    });
    afterEach(async () => {
      await subject.storage.close();
      await subject.dispose();
    });
    describeFiles(() => subject.storage);
    describeRanges(() => subject.storage);
    describeListing(() => subject.storage);
    describeCancellation(() => subject.storage);
  });
}

/** A handle whose name is the hash of the data, as in a repository. */
function handleFor(type: FileType, data: Uint8Array): FileHandle {
  return { type, name: type === 'config' ? '' : createHash('sha256').update(data).digest('hex') };
}

async function expectCode(promise: Promise<unknown>, code: ErrorCode): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(isAppError(error) ? error.code : error).toBe(code);
}

async function namesOf(storage: Storage, type: FileType): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of storage.list(type)) names.push(name);
  return names.sort();
}

function describeFiles(storage: () => Storage): void {
  test('a file of every type comes back as it was saved', async () => {
    await storage().create();
    for (const type of ['config', ...namedTypes] as const) {
      const data = randomBytes(1000);
      const handle = handleFor(type, data);
      await storage().save(handle, data);
      expect(Buffer.compare(await storage().load(handle), data)).toBe(0);
      expect(await storage().stat(handle)).toEqual({ name: handle.name, sizeBytes: 1000 });
    }
  });

  test('a file of several parts is their concatenation', async () => {
    await storage().create();
    const parts = [randomBytes(10), new Uint8Array(0), randomBytes(100_000), randomBytes(1)];
    const whole = Buffer.concat(parts);
    await storage().save(handleFor('pack', whole), parts);
    expect(Buffer.compare(await storage().load(handleFor('pack', whole)), whole)).toBe(0);
  });

  test('an empty file and one of 20 MiB are files like others', async () => {
    await storage().create();
    for (const data of [new Uint8Array(0), randomBytes(20 * 1024 * 1024)]) {
      await storage().save(handleFor('pack', data), data);
      expect((await storage().load(handleFor('pack', data))).length).toBe(data.length);
    }
  });

  test('saving under a name that is taken is refused and changes nothing', async () => {
    await storage().create();
    const first = randomBytes(100);
    for (const type of ['config', ...namedTypes] as const) {
      const handle = handleFor(type, first);
      await storage().save(handle, first);
      await expectCode(storage().save(handle, randomBytes(50)), 'STORAGE_FILE_EXISTS');
      expect(Buffer.compare(await storage().load(handle), first)).toBe(0);
    }
  });

  test('replacing the config changes it at once, or nothing where the storage cannot', async () => {
    await storage().create();
    const [first, second] = [randomBytes(100), randomBytes(70)];
    const handle = handleFor('config', first);
    await storage().save(handle, first);
    const isReplaced = (await storage().replace?.(handle, second)) ?? false;
    expect(Buffer.compare(await storage().load(handle), isReplaced ? second : first)).toBe(0);
    expect(await namesOf(storage(), 'config')).toEqual(['']);
  });

  test('of two that save the same name at once, one succeeds', async () => {
    await storage().create();
    const data = randomBytes(100_000);
    const handle = handleFor('pack', data);
    const results = await Promise.allSettled([1, 2, 3, 4].map(() => storage().save(handle, data)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect(Buffer.compare(await storage().load(handle), data)).toBe(0);
  });

  test('a file that is not there is not found', async () => {
    await storage().create();
    for (const type of ['config', ...namedTypes] as const) {
      const handle = handleFor(type, randomBytes(8));
      await expectCode(storage().load(handle), 'STORAGE_FILE_NOT_FOUND');
      await expectCode(storage().stat(handle), 'STORAGE_FILE_NOT_FOUND');
      await expectCode(storage().remove(handle), 'STORAGE_FILE_NOT_FOUND');
    }
  });

  test('a removed file is gone, and its name can be used again', async () => {
    await storage().create();
    const data = randomBytes(100);
    const handle = handleFor('lock', data);
    await storage().save(handle, data);
    await storage().remove(handle);
    await expectCode(storage().load(handle), 'STORAGE_FILE_NOT_FOUND');
    expect(await namesOf(storage(), 'lock')).toEqual([]);
    await storage().save(handle, data);
    expect(await namesOf(storage(), 'lock')).toEqual([handle.name]);
  });

  test('creating twice keeps what is there', async () => {
    await storage().create();
    const data = randomBytes(100);
    await storage().save(handleFor('snapshot', data), data);
    await storage().create();
    expect(await namesOf(storage(), 'snapshot')).toEqual([handleFor('snapshot', data).name]);
  });
}

function describeRanges(storage: () => Storage): void {
  test('a range is read from its offset, from the end, or to the end', async () => {
    await storage().create();
    const data = randomBytes(5000);
    const handle = handleFor('pack', data);
    await storage().save(handle, data);
    const ranges = [
      [{ offset: 0, length: 10 }, data.subarray(0, 10)],
      [{ offset: 4990, length: 10 }, data.subarray(4990)],
      [{ offset: 4990 }, data.subarray(4990)],
      [{ offset: -36 }, data.subarray(4964)],
      [{ offset: -36, length: 4 }, data.subarray(4964, 4968)],
      [{ length: 7 }, data.subarray(0, 7)],
      [{ offset: 100, length: 0 }, new Uint8Array(0)],
      [{ offset: 5000 }, new Uint8Array(0)],
    ] as const;
    for (const [range, expected] of ranges) {
      const found = Buffer.from(await storage().load(handle, range)).toString('hex');
      expect({ range, found }).toEqual({ range, found: Buffer.from(expected).toString('hex') });
    }
  });

  test('a range beyond the end means that the file is damaged', async () => {
    await storage().create();
    const data = randomBytes(100);
    const handle = handleFor('pack', data);
    await storage().save(handle, data);
    for (const range of [{ offset: 0, length: 101 }, { offset: 99, length: 2 }, { offset: 101 }, { offset: -101 }]) {
      await expectCode(storage().load(handle, range), 'STORAGE_DAMAGED');
    }
  });
}

function describeListing(storage: () => Storage): void {
  test('before anything is created every list is empty', async () => {
    for (const type of ['config', ...namedTypes] as const) expect(await namesOf(storage(), type)).toEqual([]);
  });

  test('a list has every file of its type with its size, and no other', async () => {
    await storage().create();
    const expected = new Map<string, number>();
    for (let size = 0; size < 50; size++) {
      const data = randomBytes(size + 8);
      await storage().save(handleFor('pack', data), data);
      expected.set(handleFor('pack', data).name, data.length);
    }
    const other = randomBytes(9);
    await storage().save(handleFor('snapshot', other), other);
    const found = new Map<string, number>();
    for await (const { name, sizeBytes } of storage().list('pack')) found.set(name, sizeBytes);
    expect(found).toEqual(expected);
    const names = await Array.fromAsync(storage().list('pack', { sizes: false }), ({ name }) => name);
    expect(new Set(names)).toEqual(new Set(expected.keys()));
    expect(await namesOf(storage(), 'snapshot')).toEqual([handleFor('snapshot', other).name]);
  });

  test('a list can be left early', async () => {
    await storage().create();
    for (let i = 0; i < 5; i++) {
      const data = randomBytes(8);
      await storage().save(handleFor('index', data), data);
    }
    for await (const { name } of storage().list('index')) {
      expect(name).toMatch(/^[0-9a-f]{64}$/);
      break;
    }
  });
}

function describeCancellation(storage: () => Storage): void {
  test('a call with an aborted signal is cancelled and changes nothing', async () => {
    await storage().create();
    const data = randomBytes(100);
    const handle = handleFor('pack', data);
    const signal = AbortSignal.abort();
    await expectCode(storage().save(handle, data, { signal }), 'CANCELLED');
    expect(await namesOf(storage(), 'pack')).toEqual([]);
    await storage().save(handle, data);
    await expectCode(storage().load(handle, { signal }), 'CANCELLED');
    await expectCode(storage().stat(handle, { signal }), 'CANCELLED');
    await expectCode(storage().remove(handle, { signal }), 'CANCELLED');
    await expectCode(storage().list('pack', { signal })[Symbol.asyncIterator]().next(), 'CANCELLED');
    expect(await namesOf(storage(), 'pack')).toEqual([handle.name]);
  });

  test('a save that is cancelled midway leaves the whole file or none', async () => {
    await storage().create();
    for (const delayMs of [0, 1, 2, 5]) {
      const data = randomBytes(8 * 1024 * 1024);
      const handle = handleFor('pack', data);
      const controller = new AbortController();
      const timer = setTimeout(() => controller.abort(), delayMs);
      const outcome = await storage()
        .save(handle, data, { signal: controller.signal })
        .then(
          () => 'saved' as const,
          (error: unknown) => error,
        );
      clearTimeout(timer);
      if (outcome === 'saved') {
        expect(Buffer.compare(await storage().load(handle), data)).toBe(0);
      } else {
        expect(isAppError(outcome, 'CANCELLED')).toBe(true);
        await expectCode(storage().stat(handle), 'STORAGE_FILE_NOT_FOUND');
      }
    }
  });
}
