// WAL blocks in a repository: written in pieces, read back by name, and what a crash between the two halves of a replacement leaves.

import { randomBytes } from 'node:crypto';
import { silentLogger } from '@varve/base';
import type { WalBlock } from '@varve/contract';
import { checkRepository, restoreTree } from '@varve/repository';
import { expectResticCheck, resticAvailable } from '@varve/testing';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { collectBytes } from '../src/components/collect-bytes.ts';
import { commitBlock, type CommitBlock } from '../src/wal-archive/commit-block.ts';
import { WalArchive, type StoredBlock } from '../src/wal-archive/wal-archive.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';

const owner = { appId: 'shop', component: 'db' };
const segmentBytes = 1024 * 1024;
const first = '000000010000000000000003';
const second = '000000010000000000000004';

function blockOf(segments: Record<string, number>, change: Partial<WalBlock> = {}): WalBlock {
  const bytes = Object.values(segments).reduce((sum, one) => sum + one, 0);
  const end = `0/${(3 * segmentBytes + bytes).toString(16).toUpperCase()}`;
  return {
    format: 'varve-wal-block',
    formatVersion: 1,
    varveVersion: '0.0.0',
    ...owner,
    systemId: '7000000000000000001',
    serverVersion: '17.2',
    segmentBytes,
    timeline: 1,
    startLsn: '0/300000',
    endLsn: end,
    replayableLsn: end,
    sealed: false,
    startedAt: '2026-11-20T10:00:00.000Z',
    updatedAt: '2026-11-20T10:00:10.000Z',
    gap: null,
    segments: Object.entries(segments).map(([name, size]) => ({
      name,
      bytes: size,
      commits: 0,
      firstCommitAt: null,
      lastCommitAt: null,
      latestAt: null,
    })),
    restorePoints: [],
    parameterChanges: [],
    restarts: [],
    tablespacesCreated: [],
    histories: [],
    ...change,
  };
}

function commit(
  fixture: RunFixture,
  changes: Pick<CommitBlock, 'block' | 'previous' | 'appended'> & Partial<CommitBlock>,
): Promise<StoredBlock> {
  return commitBlock(fixture.repository, {
    histories: new Map(),
    hostName: 'host',
    programVersion: 'varve test',
    lockOwner: {},
    logger: silentLogger,
    ...changes,
  });
}

async function* bytesOf(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}

async function read(archive: WalArchive, name: string): Promise<Buffer> {
  const segment = archive.segments('7000000000000000001').get(name);
  if (!segment) throw new Error(`no segment ${name}`);
  return collectBytes(archive.read(segment));
}

test('a block grows by what is new, and the version that it replaces goes', async () => {
  await using fixture = await runFixture();
  const data = randomBytes(segmentBytes + 5000);
  const part = (from: number, to: number) => bytesOf(data.subarray(from, to));
  const one = await commit(fixture, {
    block: blockOf({ [first]: 300_000 }),
    previous: null,
    appended: [{ name: first, source: part(0, 300_000) }],
  });
  const two = await commit(fixture, {
    block: blockOf({ [first]: segmentBytes, [second]: 4000 }),
    previous: one,
    appended: [
      { name: first, source: part(300_000, segmentBytes) },
      { name: second, source: part(segmentBytes, segmentBytes + 4000) },
    ],
  });
  expect(two.snapshot.summary?.dataAdded).toBeLessThan(segmentBytes - 300_000 + 4000 + 20_000);
  const three = await commit(fixture, {
    block: blockOf({ [first]: segmentBytes, [second]: 5000 }, { histories: [1] }),
    previous: two,
    appended: [{ name: second, source: part(segmentBytes + 4000, segmentBytes + 5000) }],
    histories: new Map([[1, Buffer.from('history')]]),
  });
  expect(await fixture.snapshotCount()).toBe(1);
  const archive = await WalArchive.open(fixture.repository, owner);
  expect(archive.blocks.map(({ snapshot }) => snapshot.id)).toEqual([three.snapshot.id]);
  expect(await read(archive, first)).toEqual(data.subarray(0, segmentBytes));
  expect(await read(archive, second)).toEqual(data.subarray(segmentBytes));
  expect(await archive.history('7000000000000000001', 1)).toEqual(Buffer.from('history'));
  expect(await archive.history('7000000000000000001', 2)).toBeUndefined();
  const target = await mkdtemp(join(fixture.folder, 'wal-'));
  await restoreTree(fixture.repository, { treeId: three.snapshot.tree, path: '/wal', target });
  expect(await readFile(join(target, first))).toEqual(data.subarray(0, segmentBytes));
  expect(await readFile(join(target, `${second}.partial`))).toEqual(data.subarray(segmentBytes));
  await rm(target, { recursive: true });
  expect((await checkRepository(fixture.repository, { readData: true })).errors).toEqual([]);
  if ((await resticAvailable()) !== undefined) await expectResticCheck(fixture, { readData: true });
});

test('a crash before the old version is removed leaves two, and the longer one counts', async () => {
  await using fixture = await runFixture();
  const data = randomBytes(2000);
  const one = await commit(fixture, {
    block: blockOf({ [first]: 1000 }),
    previous: null,
    appended: [{ name: first, source: bytesOf(data.subarray(0, 1000)) }],
  });
  const two = await commit(fixture, {
    block: blockOf({ [first]: 2000 }),
    previous: null,
    appended: [{ name: first, source: bytesOf(data) }],
  });
  expect(await fixture.snapshotCount()).toBe(2);
  const archive = await WalArchive.open(fixture.repository, owner);
  expect(archive.blocks.map(({ snapshot }) => snapshot.id)).toEqual([two.snapshot.id]);
  expect(one.snapshot.id).not.toBe(two.snapshot.id);
  expect(await read(archive, first)).toEqual(data);
});

test('a source that ends early stores nothing', async () => {
  await using fixture = await runFixture();
  const run = commit(fixture, {
    block: blockOf({ [first]: 1000 }),
    previous: null,
    appended: [{ name: first, source: bytesOf(Buffer.alloc(999)) }],
  });
  await expect(run).rejects.toMatchObject({ code: 'ARCHIVE_PRODUCER_FAILED' });
  expect(await fixture.snapshotCount()).toBe(0);
});
