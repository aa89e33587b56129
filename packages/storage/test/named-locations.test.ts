import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describeStorageContract, type StorageUnderTest } from '@varve/testing';
import { describe, expect, test } from 'vitest';
import { openStorage, validateStorage, type FileType, type Storage } from '../src/index.ts';

// Real places that a developer names, such as a bucket of Google's: CONTRIBUTING.md.
const locations = (process.env['VARVE_TEST_LOCATIONS'] ?? '').split(/\s+/).filter((location) => location !== '');
const fileTypes: readonly FileType[] = ['config', 'key', 'lock', 'snapshot', 'index', 'pack'];

const name = 'ab'.repeat(32);

function disposable(storage: Storage): Storage & AsyncDisposable {
  return Object.assign(storage, { [Symbol.asyncDispose]: () => storage.close() });
}

/** A place of its own below `location`, which holds nothing else and is emptied at the end. */
function placeBelow(location: string): StorageUnderTest {
  const place = `${location.replace(/\/+$/, '')}/varve-test-${randomUUID()}`;
  return { storage: openStorage(place, { environment: process.env }), dispose: () => empty(place) };
}

async function empty(place: string): Promise<void> {
  const storage = openStorage(place, { environment: process.env });
  try {
    for (const type of fileTypes) {
      for (const { name } of await Array.fromAsync(storage.list(type))) await storage.remove({ type, name });
    }
  } finally {
    await storage.close();
  }
}

async function countOf(storage: Storage): Promise<number> {
  let count = 0;
  for (const type of fileTypes) count += (await Array.fromAsync(storage.list(type))).length;
  return count;
}

test('a place below a location is emptied, and nothing beside it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'varve-named-'));
  try {
    await using beside = disposable(openStorage(folder));
    await using storage = disposable(openStorage(join(folder, 'x')));
    const { storage: own, dispose } = placeBelow(`${folder}/`);
    for (const place of [beside, storage, own]) {
      await place.create();
      for (const type of fileTypes) await place.save({ type, name: type === 'config' ? '' : name }, Buffer.from('x'));
    }
    await own.close();
    await dispose();
    await using again = disposable(openStorage(own.location));
    expect([await countOf(beside), await countOf(storage), await countOf(again)]).toEqual([6, 6, 0]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe.each(locations)('%s, which a developer names', { timeout: 600_000 }, (location) => {
  describeStorageContract(location, async () => placeBelow(location));

  test('passes every check of “Test this storage”, and is as empty as before', async () => {
    const { storage, dispose } = placeBelow(location);
    try {
      const checks = await validateStorage(storage);
      expect(checks.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
      expect(await countOf(storage)).toBe(0);
    } finally {
      await storage.close();
      await dispose();
    }
  });
});

if (locations.length === 0) {
  test('a location that a developer names keeps the storage contract', (context) =>
    context.skip('VARVE_TEST_LOCATIONS names none'));
}
