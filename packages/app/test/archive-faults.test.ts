// What may go wrong on the way through an archive folder, with files that a real server archived and without any connection to it:
// half-written files, the same file again, another one under its name, missing ones, a promotion, a kill before files were removed.

import { copyFile, mkdir, open, readdir, readFile, rename, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, silentLogger, systemClock } from '@varve/base';
import type { WalBlock } from '@varve/contract';
import { checkRepository, type Repository } from '@varve/repository';
import { findPostgresBinaries } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { archivedBackupWal } from '../src/wal-archive/archived-backup-wal.ts';
import { ArchiveWay } from '../src/wal-capture/archive-way.ts';
import { CaptureStatus } from '../src/wal-capture/capture-status.ts';
import { DatabaseCapture } from '../src/wal-capture/database-capture.ts';
import { makeArchiveStock, type ArchiveStock } from './archive-stock.ts';
import { readArchive, shop } from './capture-fixture.ts';
import { runFixture } from './run-fixture.ts';

const binaries = await findPostgresBinaries();
const binDir = binaries.find(({ origin }) => origin === 'npm')?.binDir ?? binaries[0]?.binDir ?? '';

let stock: ArchiveStock;
/** Of the first history, in order. */
let names: string[] = [];
beforeAll(async () => {
  if (binDir === '') return;
  stock = await makeArchiveStock(binDir);
  names = (await readdir(stock.first)).sort();
});
afterAll(() => stock?.[Symbol.asyncDispose]());

interface Lab extends AsyncDisposable {
  readonly folder: string;
  readonly repository: Repository;
  readonly status: CaptureStatus;
  /** Puts files of the stock into the folder, as the command does: whole or not at all. */
  put(from: string, files: readonly string[]): Promise<void>;
  start(options?: { readonly gapGraceMs?: number; readonly retryDelaysMs?: readonly number[] }): DatabaseCapture;
  /** Waits until the folder has these files only. */
  expectFolder(files: readonly string[]): Promise<void>;
  blocks(): Promise<WalBlock[]>;
  /** Names of all segments that are whole in the repository, in the order of the log. */
  stored(): Promise<string[]>;
}

async function startLab(): Promise<Lab> {
  const fixture = await runFixture();
  const folder = join(fixture.folder, 'archive');
  await mkdir(folder);
  const status = new CaptureStatus({
    ...shop,
    slot: null,
    archive: { directory: folder },
    clock: systemClock,
    onChange: () => {},
  });
  const captures: DatabaseCapture[] = [];
  return {
    folder,
    repository: fixture.repository,
    status,
    async put(from, files) {
      for (const name of files) {
        await copyFile(join(from, name), join(folder, `.${name}.part`));
        await rename(join(folder, `.${name}.part`), join(folder, name));
      }
    },
    start({ gapGraceMs = 60_000, retryDelaysMs = [100] } = {}) {
      const repository = async () => fixture.repository;
      const way = new ArchiveWay({
        owner: shop,
        archive: { directory: folder },
        place: async () => folder,
        connect: async () => {
          throw new AppError('DATABASE_UNREACHABLE', 'There is no server.', { retry: true });
        },
        repository,
        status,
        clock: systemClock,
        gapGraceMs,
        pollMs: 50,
      });
      const capture = new DatabaseCapture({
        owner: shop,
        way,
        folder: join(fixture.folder, 'spool'),
        status,
        repository,
        broughtBackAt: async () => undefined,
        commitMs: () => 100,
        hostName: 'host',
        version: '0.0.0',
        lockOwner: {},
        clock: systemClock,
        logger: silentLogger,
        retryDelaysMs,
      });
      captures.push(capture);
      return capture;
    },
    async expectFolder(files) {
      await expect.poll(async () => (await readdir(folder)).sort(), { timeout: 20_000 }).toEqual([...files].sort());
    },
    blocks: async () => (await readArchive(fixture.repository)).archive.blocks.map(({ block }) => block),
    stored: async () => {
      const { archive } = await readArchive(fixture.repository);
      const { systemId = '' } = archive.blocks[0]?.block ?? {};
      const segments = [...archive.segments(systemId).values()].filter(({ isComplete }) => isComplete);
      return segments.map(({ name }) => name).sort();
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(captures.map((capture) => capture[Symbol.asyncDispose]()));
      const { errors } = await checkRepository(fixture.repository, { readData: true });
      await fixture[Symbol.asyncDispose]();
      expect(errors).toEqual([]);
    },
  };
}

describe.skipIf(binDir === '')('an archive folder', { timeout: 60_000 }, () => {
  test('gives up whole segments only: neither the beginning of one nor one that is full of zeros behind', async () => {
    await using lab = await startLab();
    lab.start();
    await lab.put(stock.first, names.slice(0, 2));
    const [third = '', fourth = ''] = names.slice(2);
    const whole = await readFile(join(stock.first, third));
    await writeFile(join(lab.folder, third), whole.subarray(0, 600_000));
    await lab.expectFolder([third]);
    expect(await lab.stored()).toEqual(names.slice(0, 2));
    // As a command does that sets the size first.
    await truncate(join(lab.folder, third), 500_000);
    await truncate(join(lab.folder, third), whole.length);
    await lab.put(stock.first, [fourth]);
    await lab.expectFolder([third, fourth]);
    expect(await lab.stored()).toEqual(names.slice(0, 2));
    await writeFile(join(lab.folder, third), whole);
    await lab.expectFolder([]);
    expect(await lab.stored()).toEqual(names.slice(0, 4));
    expect((await lab.blocks()).map(({ gap }) => gap)).toEqual([null]);
  });

  test('tells a file that stays short, and leaves it to people', async () => {
    await using lab = await startLab();
    const [first = '', second = ''] = names;
    await lab.put(stock.first, [first]);
    const short = join(lab.folder, second);
    await writeFile(short, (await readFile(join(stock.first, second))).subarray(0, 300_000));
    await utimes(short, new Date(), new Date(Date.now() - 120_000));
    lab.start();
    await expect.poll(() => lab.status.describe().problem?.code).toBe('WAL_ARCHIVE_FAILED');
    expect(lab.status.describe()).toMatchObject({ state: 'stopped' });
    await lab.expectFolder([first, second]);
    await lab.put(stock.first, [second]);
    await lab.expectFolder([]);
    expect(await lab.stored()).toEqual([first, second]);
  });

  test('puts a damaged segment aside, and goes on behind it with a gap', async () => {
    await using lab = await startLab();
    const [, damaged = ''] = names;
    await lab.put(stock.first, names.slice(0, 3));
    await using file = await open(join(lab.folder, damaged), 'r+');
    await file.write(Buffer.alloc(8192, 0xff), 0, 8192, 16 * 8192);
    await file.close();
    await utimes(join(lab.folder, damaged), new Date(), new Date(Date.now() - 120_000));
    lab.start({ gapGraceMs: 300 });
    await lab.expectFolder([`${damaged}.damaged`]);
    expect(await lab.blocks()).toMatchObject([{ gap: null }, { gap: { reason: 'archive-missing' } }]);
  });

  test('takes a file again that was archived twice, and stores nothing twice', async () => {
    await using lab = await startLab();
    lab.start();
    await lab.put(stock.first, names.slice(0, 4));
    await lab.expectFolder([]);
    await lab.put(stock.first, names.slice(1, 3));
    await lab.expectFolder([]);
    await lab.put(stock.first, names.slice(4, 6));
    await lab.expectFolder([]);
    expect(await lab.stored()).toEqual(names.slice(0, 6));
    const blocks = await lab.blocks();
    expect(blocks).toHaveLength(1);
    expect(lab.status.describe()).toMatchObject({
      state: 'streaming',
      gap: null,
      problem: { code: 'DATABASE_UNREACHABLE' },
      completeAt: null,
    });
  });

  test('is cleaned up when the process was killed after it had stored and before it had removed', async () => {
    await using lab = await startLab();
    await lab.start()[Symbol.asyncDispose]();
    await lab.put(stock.first, names.slice(0, 3));
    const before = lab.start();
    await lab.expectFolder([]);
    await before[Symbol.asyncDispose]();
    // As they were, and what came while nobody looked.
    await lab.put(stock.first, names.slice(0, 5));
    lab.start();
    await lab.expectFolder([]);
    expect(await lab.stored()).toEqual(names.slice(0, 5));
    expect((await lab.blocks()).map(({ gap }) => gap)).toEqual([null]);
  });

  test('keeps another file under the name of what was captured, and the repository as it is', async () => {
    await using lab = await startLab();
    lab.start({ retryDelaysMs: [60_000] });
    const [first = '', second = '', third = ''] = names;
    await lab.put(stock.first, [first, second, third]);
    await lab.expectFolder([]);
    const before = await lab.blocks();
    const other = await readFile(join(stock.first, second));
    other[5 * 8192 + 4000] = (other[5 * 8192 + 4000] ?? 0) ^ 1;
    await writeFile(join(lab.folder, second), other);
    await expect.poll(() => lab.status.describe().problem?.code).toBe('WAL_DIVERGED');
    await lab.expectFolder([second]);
    expect(await lab.blocks()).toEqual(before);
  });

  test('goes on with the other history of a server that was set back', async () => {
    await using lab = await startLab();
    lab.start();
    await lab.put(stock.first, names);
    await lab.expectFolder([]);
    const others = (await readdir(stock.setBack)).sort();
    await lab.put(stock.setBack, others);
    await lab.expectFolder([]);
    const blocks = await lab.blocks();
    const newest = blocks.toSorted((a, b) => Date.parse(a.startedAt) - Date.parse(b.startedAt)).at(-1);
    expect(newest?.gap).toMatchObject({ reason: 'diverged' });
    expect(newest?.segments.map(({ name }) => name)).toEqual(others);
    // The other history's segments take the place of what had been there behind the set-back.
    const kept = names.filter((name) => name < (others[0] ?? ''));
    expect(await lab.stored()).toEqual([...kept, ...others]);
  });

  test('tells a segment that never comes, and goes on behind it', async () => {
    await using lab = await startLab();
    lab.start({ gapGraceMs: 500 });
    await lab.put(stock.first, names.slice(0, 2));
    await lab.expectFolder([]);
    const missing = names[2] ?? '';
    await lab.put(stock.first, names.slice(3, 5));
    await expect.poll(() => lab.status.describe().gap?.message).toContain(missing);
    await lab.expectFolder([]);
    const blocks = await lab.blocks();
    expect(blocks).toMatchObject([{ gap: null }, { gap: { reason: 'archive-missing', fromLsn: blocks[0]?.endLsn } }]);
    expect(await lab.stored()).toEqual([...names.slice(0, 2), ...names.slice(3, 5)]);
    // What comes too late is not what is waited for: it stays, for people to look at.
    await lab.put(stock.first, [missing, names[5] ?? '']);
    await lab.expectFolder([missing]);
  });

  test('waits for a segment that comes out of order', async () => {
    await using lab = await startLab();
    lab.start();
    const [first = '', second = '', third = ''] = names;
    await lab.put(stock.first, [first]);
    await lab.expectFolder([]);
    await lab.put(stock.first, [third]);
    await lab.put(stock.first, [second]);
    await lab.expectFolder([]);
    expect((await lab.blocks()).map(({ gap }) => gap)).toEqual([null]);
  });

  test('leads over a promotion to the next timeline, with its history', async () => {
    await using lab = await startLab();
    lab.start();
    await lab.put(stock.first, names);
    await lab.put(stock.promoted, (await readdir(stock.promoted)).sort());
    await lab.expectFolder([]);
    const blocks = await lab.blocks();
    expect(blocks).toMatchObject([
      { timeline: 1, sealed: true, gap: null, histories: [] },
      { timeline: 2, gap: null, histories: [2] },
    ]);
    expect(blocks[1]?.restarts.length).toBeGreaterThan(0);
    expect(lab.status.describe()).toMatchObject({ state: 'streaming', gap: null, timeline: 2 });
  });

  test('gives a base backup the log that the server has removed meanwhile', async () => {
    await using lab = await startLab();
    lab.start();
    await lab.put(stock.first, names.slice(0, 3));
    await lab.expectFolder([]);
    const systemId = (await lab.blocks())[0]?.systemId ?? '';
    const signal = AbortSignal.timeout(20_000);
    const ask = (wanted: readonly string[], waitMs: number) =>
      archivedBackupWal(lab.repository, {
        owner: shop,
        systemId,
        names: wanted,
        walFolder: join(lab.folder, 'pg_wal'),
        waitMs,
        signal,
      });
    const [first = '', , , fourth = '', never = ''] = names;
    // One is stored, one arrives while it is waited for.
    const asked = ask([first, fourth], 20_000);
    await lab.put(stock.first, [fourth]);
    const found = await asked;
    expect([...found.keys()]).toEqual([first, fourth]);
    for (const [name, read] of found) {
      const parts: Uint8Array[] = [];
      for await (const part of read()) parts.push(part);
      expect(Buffer.concat(parts).equals(await readFile(join(stock.first, name)))).toBe(true);
    }
    expect([...(await ask([first, never], 0)).keys()]).toEqual([first]);
  });

  test('is left alone where it holds files of another cluster', async () => {
    await using lab = await startLab();
    const [first = '', second = ''] = names;
    lab.start({ retryDelaysMs: [60_000] });
    await lab.put(stock.first, [first]);
    await lab.expectFolder([]);
    const foreign = await readFile(join(stock.first, second));
    foreign.writeBigUInt64LE(foreign.readBigUInt64LE(24) + 1n, 24);
    await writeFile(join(lab.folder, second), foreign);
    await expect.poll(() => lab.status.describe().problem?.code).toBe('WAL_DIVERGED');
    await lab.expectFolder([second]);
    expect(await lab.stored()).toEqual([first]);
    await rm(join(lab.folder, second));
  });
});
