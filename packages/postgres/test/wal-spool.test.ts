// The spool on its own: what is durable when, borders of segments, where it goes on after a crash, what it refuses, and what
// it does without room.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAppError } from '@varve/base';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseLsn, segmentNameAt, WalSpool, type Lsn, type WalSpoolOptions } from '../src/index.ts';
import type { SpoolBlock } from '../src/replication/spool/spool-space.ts';
import type { SpoolListener } from '../src/replication/spool/wal-spool.ts';
import { checkSegmentFile, measureSegmentFile } from '../src/wal/segment-file.ts';
import { madeWal, pageBytes, type MadeWal } from './wal-bytes.ts';

const mib = 1 << 20;
const made: MadeWal = { systemId: '7711910011625067777', timeline: 1, segmentBytes: mib };
const source = { systemId: made.systemId, segmentBytes: mib, pageBytes };
const at = (offset: number): Lsn => (parseLsn('0/1000000') + BigInt(offset)) as Lsn;
const wal = (from: number, to: number, other: Partial<MadeWal> = {}): Buffer =>
  madeWal(at(from), at(to), { ...made, ...other });

let folder: string;
const spools: WalSpool[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'varve-spool-'));
});

afterEach(async () => {
  for (const spool of spools.splice(0)) await spool.close();
  await rm(folder, { recursive: true, force: true });
});

async function openSpool(options: Partial<WalSpoolOptions> = {}): Promise<WalSpool> {
  const spool = await WalSpool.open({ folder, ...options });
  spools.push(spool);
  return spool;
}

async function beginAt(offset: number, options: Partial<WalSpoolOptions> = {}): Promise<WalSpool> {
  const spool = await openSpool(options);
  await spool.begin(source, { timeline: 1, lsn: at(offset) });
  return spool;
}

/** Hands over bytes in pieces of an odd size. */
async function feed(spool: WalSpool, from: number, to: number, other: Partial<MadeWal> = {}): Promise<void> {
  const step = 70_001;
  for (let offset = from; offset < to; offset += step) {
    await spool.append(at(offset), wal(offset, Math.min(to, offset + step), other));
  }
}

async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action();
    return 'no failure';
  } catch (error) {
    return isAppError(error) ? error.code : String(error);
  }
}

function listener(parts: Partial<SpoolListener>): SpoolListener {
  const nothing = (): void => {};
  return {
    onDurable: nothing,
    onSegment: nothing,
    onBlocked: nothing,
    onUnblocked: nothing,
    onFailure: nothing,
    ...parts,
  };
}

const nameAt = (offset: number): string => segmentNameAt({ timeline: 1, lsn: at(offset) }, mib);
const files = async (): Promise<string[]> =>
  (await readdir(folder)).filter((name) => /^[0-9A-F]{24}/.test(name)).toSorted();

describe('a spool', () => {
  test('cuts what comes at the borders of segments and finishes each as soon as it is whole', async () => {
    const spool = await beginAt(0);
    const finished: string[] = [];
    spool.listen(listener({ onSegment: ({ name }) => finished.push(name) }));
    await feed(spool, 0, 2 * mib + 5000);
    await spool.sync();
    expect(spool.durable).toBe(at(2 * mib + 5000));
    expect(finished).toEqual([nameAt(0), nameAt(mib)]);
    expect(await files()).toEqual([nameAt(0), nameAt(mib), `${nameAt(2 * mib)}.partial`]);
    expect(await readFile(join(folder, nameAt(mib)))).toEqual(wal(mib, 2 * mib));
    expect(await readFile(join(folder, `${nameAt(2 * mib)}.partial`))).toEqual(wal(2 * mib, 2 * mib + 5000));
    expect(spool.openSegment).toMatchObject({ name: nameAt(2 * mib), durableBytes: 5000 });
  });

  test('reports bytes as durable only when the file has them, in groups', async () => {
    const spool = await beginAt(0, { syncIntervalMs: 20 });
    const marks: Lsn[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    spool.listen(
      listener({
        onDurable: () => {
          marks.push(spool.durable ?? at(0));
          if (spool.durable === at(50_000)) resolve();
        },
      }),
    );
    for (let offset = 0; offset < 50_000; offset += 100) {
      await spool.append(at(offset), wal(offset, offset + 100));
      expect(spool.durable).toBe(marks.at(-1) ?? at(0));
    }
    await promise;
    expect(marks.length).toBeLessThan(10);
    expect((await stat(join(folder, `${nameAt(0)}.partial`))).size).toBe(50_000);
  });

  test('refuses bytes that do not follow', async () => {
    const spool = await beginAt(0);
    await feed(spool, 0, 1000);
    expect(await codeOf(() => spool.append(at(1001), wal(1001, 1100)))).toBe('DATABASE_PROTOCOL');
    expect(await codeOf(() => spool.append(at(999), wal(999, 1100)))).toBe('DATABASE_PROTOCOL');
    await feed(spool, 1000, 1100);
    await spool.sync();
    expect(spool.durable).toBe(at(1100));
  });

  test('goes on at the start of the segment that it was in, and compares', async () => {
    const first = await beginAt(0);
    await feed(first, 0, mib + 30_000);
    await first.sync();
    await first.close();
    const spool = await openSpool();
    expect(await spool.end()).toEqual({ timeline: 1, lsn: at(mib + 30_000) });
    // What the server remembers as acknowledged counts as durable from the start on.
    expect(await spool.resume(at(mib + 20_000))).toEqual({ timeline: 1, lsn: at(mib) });
    expect(spool.durable).toBe(at(mib + 20_000));
    await feed(spool, mib, 2 * mib + 10);
    await spool.sync();
    expect(await readFile(join(folder, nameAt(mib)))).toEqual(wal(mib, 2 * mib));
    expect(spool.durable).toBe(at(2 * mib + 10));
  });

  test('other bytes than the durable ones are another history', async () => {
    const spool = await beginAt(0);
    await feed(spool, 0, 30_000);
    await spool.sync();
    await spool.resume();
    const { promise, resolve } = Promise.withResolvers<string>();
    spool.listen(listener({ onFailure: (error) => resolve(error.code) }));
    await spool.append(at(0), wal(0, 30_000, { seed: 1 }));
    expect(await promise).toBe('WAL_DIVERGED');
    expect(await codeOf(() => spool.append(at(30_000), wal(30_000, 30_001)))).toBe('WAL_DIVERGED');
    expect(await readFile(join(folder, `${nameAt(0)}.partial`))).toEqual(wal(0, 30_000));
  });

  test('what a power cut tore after the durable bytes is taken from the server', async () => {
    const first = await beginAt(0);
    await feed(first, 0, 50_000);
    await first.sync();
    await first.close();
    const path = join(folder, `${nameAt(0)}.partial`);
    const torn = wal(0, 50_000);
    torn.fill(0xee, 30_000, 32_768);
    torn.fill(0, 40_960);
    await writeFile(path, torn);
    const spool = await openSpool();
    expect(await spool.end()).toEqual({ timeline: 1, lsn: at(40_960) });
    await spool.resume(at(20_000));
    await feed(spool, 0, 60_000);
    await spool.sync();
    expect(await readFile(path)).toEqual(wal(0, 60_000));
  });

  test('a whole segment that was not renamed before a crash is compared and finished', async () => {
    const first = await beginAt(0);
    await feed(first, 0, mib - 1);
    await first.sync();
    await first.close();
    await writeFile(join(folder, `${nameAt(0)}.partial`), wal(0, mib));
    const spool = await openSpool();
    expect(await spool.resume()).toEqual({ timeline: 1, lsn: at(0) });
    await feed(spool, 0, mib);
    await spool.sync();
    expect(await files()).toEqual([nameAt(0)]);
  });

  test('goes on behind finished segments that were taken away', async () => {
    const first = await beginAt(0);
    await feed(first, 0, 2 * mib);
    await first.sync();
    await first.release(nameAt(0));
    await first.release(nameAt(mib));
    await first.release(nameAt(mib));
    await first.close();
    const spool = await openSpool();
    expect(await spool.end()).toEqual({ timeline: 1, lsn: at(2 * mib) });
    expect(await spool.resume()).toEqual({ timeline: 1, lsn: at(2 * mib) });
  });

  test('a tail that somebody removed is asked for again from the start of its segment', async () => {
    const first = await beginAt(0);
    await feed(first, 0, mib + 9000);
    await first.sync();
    await first.close();
    await rm(join(folder, `${nameAt(mib)}.partial`));
    const spool = await openSpool();
    expect(await spool.resume(at(mib + 9000))).toEqual({ timeline: 1, lsn: at(mib) });
    expect(spool.durable).toBe(at(mib));
  });

  test('a timeline that ends leaves its tail, and the next starts in the same segment', async () => {
    const spool = await beginAt(0);
    await feed(spool, 0, 30_000);
    expect(await spool.switchTimeline({ timeline: 4, lsn: at(30_000) })).toEqual({ timeline: 4, lsn: at(0) });
    await spool.append(at(0), wal(0, 30_000));
    await spool.append(at(30_000), wal(30_000, 2 * pageBytes * 2, { timeline: 4 }));
    await feed(spool, 4 * pageBytes, mib, { timeline: 4 });
    await spool.sync();
    expect(await files()).toEqual([`${nameAt(0)}.partial`, segmentNameAt({ timeline: 4, lsn: at(0) }, mib)]);
    expect(await spool.end()).toEqual({ timeline: 4, lsn: at(mib) });
  });

  test('a finished segment is never replaced by another one', async () => {
    const spool = await beginAt(0);
    await feed(spool, 0, mib);
    await spool.sync();
    await spool.begin(source, { timeline: 1, lsn: at(0) });
    await feed(spool, 0, mib);
    await spool.sync();
    await spool.begin(source, { timeline: 1, lsn: at(0) });
    const { promise, resolve } = Promise.withResolvers<string>();
    spool.listen(listener({ onFailure: (error) => resolve(error.code) }));
    await feed(spool, 0, mib, { seed: 1 });
    expect(await promise).toBe('WAL_DIVERGED');
    expect(await readFile(join(folder, nameAt(0)))).toEqual(wal(0, mib));
  });

  test('a folder with segments that it did not write is left alone', async () => {
    await writeFile(join(folder, `${nameAt(0)}.partial`), wal(0, 9000));
    expect(await codeOf(() => beginAt(0))).toBe('WAL_SPOOL_FAILED');
    expect(await files()).toEqual([`${nameAt(0)}.partial`]);
  });

  test('after a close nothing more is written', async () => {
    const spool = await beginAt(0, { syncIntervalMs: 10_000 });
    await feed(spool, 0, 1000);
    await spool.sync();
    await feed(spool, 1000, 5000);
    await spool.close();
    expect((await stat(join(folder, `${nameAt(0)}.partial`))).size).toBe(1000);
    expect(await readdir(folder)).not.toContain('spool.lock');
  });

  test('a segment with a page of elsewhere is never finished', async () => {
    const spool = await beginAt(0);
    const bad = wal(0, mib);
    bad.writeBigUInt64LE(at(0), 3 * pageBytes + 8);
    const { promise, resolve } = Promise.withResolvers<string>();
    spool.listen(listener({ onFailure: (error) => resolve(`${error.code}: ${error.message}`) }));
    await spool.append(at(0), bad);
    expect(await promise).toMatch(/^WAL_INVALID: WAL segment 000000010000000000000010 is damaged at byte 24576/);
    expect(await files()).toEqual([`${nameAt(0)}.partial`]);
  });
});

describe('the lock of a spool', () => {
  test('keeps a second receiver out, and a dead one does not', async () => {
    const spool = await openSpool();
    expect(await codeOf(() => WalSpool.open({ folder }))).toBe('WAL_SPOOL_FAILED');
    await spool.close();
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    await writeFile(join(folder, 'spool.lock'), `${child.pid} 1\n`);
    await (await openSpool()).close();
    // The same number, given to a process that started at another time.
    await writeFile(join(folder, 'spool.lock'), `${process.pid} 1\n`);
    await openSpool();
  });

  test('a state of a newer version is refused', async () => {
    await writeFile(join(folder, 'spool.json'), '{"version":99}');
    expect(await codeOf(() => WalSpool.open({ folder }))).toBe('WAL_SPOOL_FAILED');
    expect(await readdir(folder)).toEqual(['spool.json']);
  });
});

describe('a spool with a limit', () => {
  test('makes the writer wait until segments are taken away, and drops nothing', async () => {
    const spool = await beginAt(0, { maxBytes: 2 * mib + mib / 2 });
    const blocks: SpoolBlock[] = [];
    const { promise: isBlocked, resolve } = Promise.withResolvers<void>();
    const { promise: isFree, resolve: free } = Promise.withResolvers<void>();
    spool.listen(
      listener({
        onBlocked: (block) => {
          blocks.push(block);
          resolve();
        },
        onUnblocked: free,
      }),
    );
    const feeding = feed(spool, 0, 14 * mib);
    await isBlocked;
    expect(blocks).toEqual([{ reason: 'spool-full' }]);
    const durable = spool.durable ?? at(0);
    expect(durable).toBeLessThanOrEqual(at(2 * mib + mib / 2));
    const seen: Buffer[] = [];
    const drain = async (): Promise<void> => {
      for (const name of await files()) {
        if (name.includes('.')) continue;
        seen.push(await readFile(join(folder, name)));
        await spool.release(name);
      }
    };
    await drain();
    await isFree;
    const drained = new AbortController();
    const all = feeding.then(() => spool.sync()).finally(() => drained.abort());
    while (!drained.signal.aborted) {
      await drain();
      await new Promise((next) => setTimeout(next, 5));
    }
    await all;
    await drain();
    expect(Buffer.concat(seen).equals(wal(0, 14 * mib))).toBe(true);
  });

  test('too small a limit is refused', async () => {
    const spool = await openSpool({ maxBytes: 2 * mib - 1 });
    expect(await codeOf(() => spool.begin(source, { timeline: 1, lsn: at(0) }))).toBe('USAGE_INVALID');
  });
});

describe('the check of a segment', () => {
  const identity = { ...source, timeline: 1, start: at(0) };
  const check = async (bytes: Buffer, other: Partial<typeof identity> = {}): Promise<string> => {
    const path = join(folder, 'segment');
    await writeFile(path, bytes);
    return codeOf(() => checkSegmentFile(path, { ...identity, ...other }));
  };

  test('takes whole segments, also when the rest is zeros after a switch', async () => {
    expect(await check(wal(0, mib))).toBe('no failure');
    const switched = wal(0, mib);
    switched.fill(0, 5 * pageBytes);
    expect(await check(switched)).toBe('no failure');
    expect(await measureSegmentFile(join(folder, 'segment'), identity)).toBe(5 * pageBytes);
  });

  test('refuses everything that belongs elsewhere', async () => {
    expect(await check(wal(0, mib - 1))).toBe('WAL_INVALID');
    expect(await check(wal(0, mib), { systemId: '1' })).toBe('WAL_INVALID');
    expect(await check(wal(0, mib), { start: at(mib) })).toBe('WAL_INVALID');
    expect(await check(wal(0, mib, { timeline: 2 }))).toBe('WAL_INVALID');
    expect(await check(wal(0, mib, { segmentBytes: 2 * mib }))).toBe('WAL_INVALID');
    const hole = wal(0, mib);
    hole.fill(0, pageBytes, 2 * pageBytes);
    expect(await check(hole)).toBe('WAL_INVALID');
    expect(await check(Buffer.alloc(mib))).toBe('WAL_INVALID');
  });

  test('measures how much of a cut file is right', async () => {
    const path = join(folder, 'segment');
    await writeFile(path, wal(0, mib));
    for (const [bytes, expected] of [
      [0, 0],
      [10, 0],
      [39, 0],
      [40, 40],
      [pageBytes + 23, pageBytes],
      [pageBytes + 24, pageBytes + 24],
      [mib - 1, mib - 1],
    ] as const) {
      await writeFile(path, wal(0, mib));
      await truncate(path, bytes);
      expect(await measureSegmentFile(path, identity)).toBe(expected);
    }
  });
});
