// Names of WAL files, history files, the ways between timelines, and summaries of rows of segments.

import { appendFile, chown, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { findPostgresBinaries } from '@varve/testing';
import { describe, expect, test, vi } from 'vitest';
import {
  formatTimelineHistory,
  historyFileName,
  lsnFromBigInt,
  parseLsn,
  parseTimelineHistory,
  parseWalFileName,
  readWalFileHeader,
  recoveryPath,
  segmentNameAt,
  segmentStart,
  summarizeWal,
  timelineAt,
  type WalSegmentBytes,
} from '../src/index.ts';
import { readSegments, startWalServer, type WalFile } from './wal-lab.ts';

vi.setConfig({ testTimeout: 60_000 });

const mebibyte = 1024 * 1024;

describe('names of WAL files', () => {
  test('a segment name is its timeline and position, for every segment size', () => {
    const example = { timeline: 0xa, lsn: parseLsn('16/B374D848') };
    expect(segmentNameAt(example, 16 * mebibyte)).toBe('0000000A00000016000000B3');
    expect(segmentNameAt(example, mebibyte)).toBe('0000000A0000001600000B37');
    expect(segmentNameAt(example, 1024 * mebibyte)).toBe('0000000A0000001600000002');
    const positions = fc.tuple(
      fc.integer({ min: 0, max: 10 }),
      fc.bigInt(0n, 0xffff_ffff_ffff_ffffn),
      fc.integer({ min: 1, max: 0xffff_ffff }),
    );
    fc.assert(
      fc.property(positions, ([power, position, timeline]) => {
        const segmentSizeBytes = mebibyte * 2 ** power;
        const lsn = lsnFromBigInt(position);
        const name = segmentNameAt({ timeline, lsn }, segmentSizeBytes);
        const startLsn = segmentStart(lsn, segmentSizeBytes);
        expect(lsn - startLsn < BigInt(segmentSizeBytes)).toBe(true);
        const isPartial = power % 2 === 0;
        expect(parseWalFileName(isPartial ? `${name}.partial` : name, segmentSizeBytes)).toEqual({
          kind: 'segment',
          timeline,
          startLsn,
          isPartial,
        });
      }),
    );
  });

  test('names that no server makes are none', () => {
    const parse = (name: string): unknown => parseWalFileName(name, 16 * mebibyte);
    expect(parse('0000000100000000000000FF')).toMatchObject({ kind: 'segment', startLsn: 0xff00_0000n });
    expect(parse('000000010000000000000100')).toBeUndefined();
    expect(parse('000000000000000000000001')).toBeUndefined();
    expect(parse('0000000a0000000000000001')).toBeUndefined();
    expect(parse('000000010000000000000001.backup')).toBeUndefined();
    expect(parse('000000010000000000000001.00000028.backup')).toBeUndefined();
    expect(parse('0000001A.history')).toEqual({ kind: 'history', timeline: 26 });
    expect(parse('00000000.history')).toBeUndefined();
    expect(historyFileName(26)).toBe('0000001A.history');
    for (const size of [0, mebibyte / 2, 3 * mebibyte, 2048 * mebibyte, 16 * mebibyte + 1]) {
      expect(() => parseWalFileName('x', size)).toThrow(expect.objectContaining({ code: 'WAL_INVALID' }));
    }
  });

  test('bytes that are no beginning of a segment have no header', () => {
    expect(readWalFileHeader(Buffer.alloc(39))).toBeUndefined();
    expect(readWalFileHeader(Buffer.alloc(40))).toBeUndefined();
  });
});

// 1 was left at 0/5000000 by 2, that at 0/9000000 by 4; 3 is a sibling of 2.
const history = parseTimelineHistory(
  '1\t0/5000000\tno recovery target specified\n\n2\t0/9000000\tafter LSN 0/8FFFFD8\n',
  4,
);
const sibling = parseTimelineHistory('1\t0/6000000\t\n', 3);

describe('history files', () => {
  test('are read as the server writes them, and written the same', () => {
    expect(history.ancestors).toEqual([
      { timeline: 1, switchLsn: 0x500_0000n, reason: 'no recovery target specified' },
      { timeline: 2, switchLsn: 0x900_0000n, reason: 'after LSN 0/8FFFFD8' },
    ]);
    expect(formatTimelineHistory(history)).toBe(
      '1\t0/5000000\tno recovery target specified\n\n2\t0/9000000\tafter LSN 0/8FFFFD8\n',
    );
    expect(parseTimelineHistory('# a comment\n1 0/00001000\n', 2).ancestors).toEqual([
      { timeline: 1, switchLsn: 0x1000n, reason: '' },
    ]);
    // As a server sends it: in no encoding that we could know.
    const sent = Buffer.from('1\t0/1000\tbefore caf\u00e9\n', 'latin1');
    expect(parseTimelineHistory(sent, 2).ancestors).toMatchObject([{ timeline: 1, switchLsn: 0x1000n }]);
  });

  test.each([
    ['', /names no timeline/],
    ['1\tsomewhere\tx\n', /line 1 is not/],
    ['\n2\n', /line 2 is not/],
    ['2\t0/5000000\tx\n1\t0/6000000\tx\n', /timeline 1 stands after 2/],
    ['1\t0/5000000\tx\n1\t0/6000000\tx\n', /timeline 1 stands after 1/],
    ['1\t0/5000000\tx\n2\t0/4000000\tx\n', /timeline 2 was left before its parent/],
    ['4\t0/5000000\tx\n', /cannot be an ancestor/],
    ['0\t0/5000000\tx\n', /cannot be an ancestor/],
  ])('%j is refused', (text, message) => {
    expect(() => parseTimelineHistory(text, 4)).toThrow(expect.objectContaining({ code: 'WAL_INVALID' }));
    expect(() => parseTimelineHistory(text, 4)).toThrow(message);
  });

  test('say on which timeline a position was written: the switch point is the first of the child', () => {
    const at = (lsn: string): number => timelineAt(history, parseLsn(lsn));
    expect([at('0/4FFFFFF'), at('0/5000000'), at('0/8FFFFFF'), at('0/9000000'), at('9/0')]).toEqual([1, 2, 2, 4, 4]);
  });
});

describe('the way from a base backup to a target', () => {
  const path = (backup: [number, string], target: [number, string], of = history): unknown => {
    const result = recoveryPath({
      backup: { timeline: backup[0], lsn: parseLsn(backup[1]) },
      target: { timeline: target[0], lsn: parseLsn(target[1]) },
      history: of,
    });
    return result.isReachable
      ? result.steps.map((step) => [step.timeline, Number(step.startLsn), Number(step.endLsn)])
      : result.reason;
  };

  test('leads over the ancestors between them', () => {
    const whole = [
      [1, 0x100_0000, 0x500_0000],
      [2, 0x500_0000, 0x900_0000],
      [4, 0x900_0000, 0xa00_0000],
    ];
    expect(path([1, '0/1000000'], [4, '0/A000000'])).toEqual(whole);
    expect(path([2, '0/6000000'], [4, '0/A000000'])).toEqual([[2, 0x600_0000, 0x900_0000], whole[2]]);
    expect(path([4, '0/9500000'], [4, '0/A000000'])).toEqual([[4, 0x950_0000, 0xa00_0000]]);
    expect(path([1, '0/1000000'], [4, '0/2000000'])).toEqual([[1, 0x100_0000, 0x200_0000]]);
    expect(path([1, '0/1000000'], [4, '0/1000000'])).toEqual([]);
    const first = { timeline: 1, ancestors: [] };
    expect(path([1, '0/1000000'], [1, '0/A000000'], first)).toEqual([[1, 0x100_0000, 0xa00_0000]]);
  });

  test('ends where the timeline was left, and a sibling has none', () => {
    expect(path([1, '0/5000000'], [4, '0/A000000'])).toHaveLength(2);
    expect(path([1, '0/5000001'], [4, '0/A000000'])).toMatch(/left timeline 1 at 0\/5000000, before the backup ended/);
    expect(path([3, '0/7000000'], [4, '0/A000000'])).toMatch(/timeline 4 does not come from timeline 3/i);
    expect(path([2, '0/5500000'], [3, '0/A000000'], sibling)).toMatch(/does not come from timeline 2/);
    expect(path([4, '0/9500000'], [4, '0/9000000'])).toMatch(/lies before the end of the backup/);
    expect(() => path([1, '0/1'], [3, '0/2'], history)).toThrow(/history is that of timeline 4/);
  });
});

const binDir = (await findPostgresBinaries())[0]?.binDir;

describe.runIf(binDir !== undefined)('a summary of segments', () => {
  test('tells the branches of a promoted server, and what is missing', async () => {
    await using lab = await startWalServer({
      binDir: binDir!,
      segmentMebibytes: 1,
      settings: { max_connections: '50' },
    });
    const { server } = lab;
    await lab.query(
      "create table t as select g, repeat('x', 1000) from generate_series(1, 3000) g",
      "select pg_create_restore_point('on one')",
    );
    await server.stop();
    // Archive recovery to the end of what is there, then a timeline of its own.
    const signal = join(server.dataDir, 'recovery.signal');
    await writeFile(signal, '');
    const { uid, gid } = await stat(server.dataDir);
    await chown(signal, uid, gid);
    await appendFile(join(server.dataDir, 'postgresql.conf'), "\nrestore_command = 'false'\nmax_connections = 60\n");
    await server.start();
    // Started means that it may still be recovering.
    while ((await lab.query('select pg_is_in_recovery()')) === 't');
    await lab.query(
      "select pg_create_restore_point('on two')",
      'create table u (a int)',
      'select pg_switch_wal()',
      'create table v (a int)',
    );
    await server.stop();

    const segments = await readSegments(server, 1);
    const text = await readFile(join(server.dataDir, 'pg_wal', '00000002.history'), 'utf8');
    const written = parseTimelineHistory(text, 2);
    expect(formatTimelineHistory(written)).toBe(text);
    const switchLsn = written.ancestors[0]!.switchLsn;
    const everything = await summarizeWal(segments.map(source));
    expect(everything.gaps).toEqual([]);
    const used = segments.filter(
      ({ timeline, startLsn }) =>
        !everything.unusedSegments.some((unused) => unused.timeline === timeline && unused.startLsn === startLsn),
    );
    const sources = used.map(source);
    const summary = await summarizeWal(sources);
    expect(summary).toEqual({ ...everything, unusedSegments: [] });
    expect(summary.parameterMaxima?.maxConnections).toBe(60);
    const [one, two] = summary.ranges;
    expect(summary.ranges).toHaveLength(2);
    expect(one).toMatchObject({ timeline: 1, restorePoints: [{ name: 'on one' }], branch: undefined });
    expect(two).toMatchObject({ timeline: 2, branch: { lsn: switchLsn, previousTimeline: 1 } });
    expect(two?.restorePoints.at(-1)).toMatchObject({ name: 'on two' });
    expect([one!.endLsn >= switchLsn, two!.startLsn <= switchLsn]).toEqual([true, true]);
    expect(timelineAt(written, two!.lastCommit!.lsn)).toBe(2);
    expect(timelineAt(written, one!.firstCommit!.lsn)).toBe(1);

    // Without the last two segments of timeline 1 its child begins behind a gap.
    const ofOne = sources.filter(({ timeline }) => timeline === 1);
    const missing = await summarizeWal([...ofOne.slice(0, -2), ...sources.filter(({ timeline }) => timeline === 2)]);
    expect(missing.gaps).toMatchObject([
      { timeline: 1, startLsn: missing.ranges[0]?.endLsn, endLsn: two!.startLsn, end: { reason: 'end-of-input' } },
    ]);
    await expect(summarizeWal(sources.toReversed())).rejects.toThrow(RangeError);
    await expect(summarizeWal(sources, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'CANCELLED' });
    expect(await summarizeWal([])).toEqual({
      identity: undefined,
      ranges: [],
      gaps: [],
      unusedSegments: [],
      parameterMaxima: undefined,
    });

    // Without the segment where timeline 2 begins only its history file tells where it should.
    const later = sources.filter(({ timeline }) => timeline === 2).slice(1);
    const beheaded = [...ofOne, ...later];
    expect((await summarizeWal(beheaded)).gaps).toEqual([]);
    expect((await summarizeWal(beheaded, { histories: [written] })).gaps).toEqual([
      { timeline: 2, startLsn: switchLsn, endLsn: later[0]!.startLsn, end: undefined },
    ]);

    // What the server keeps for later: a file with an older content, and a new one.
    const last = used.at(-1)!;
    const [first, second] = [1, 2].map((n) => lsnFromBigInt(last.startLsn + BigInt(n * mebibyte)));
    const recycled = { timeline: 2, startLsn: first!, bytes: [used[0]!.bytes] };
    const fresh = { timeline: 2, startLsn: second!, bytes: [Buffer.alloc(mebibyte)] };
    expect(await summarizeWal([...sources, recycled, fresh])).toEqual({
      ...summary,
      unusedSegments: [recycled, fresh].map(({ timeline, startLsn }) => ({ timeline, startLsn })),
    });

    await expectGaps(used.filter(({ timeline }) => timeline === 1));
  });

  /** A lost, a cut and a damaged segment each leave one gap, to the first whole record behind. */
  async function expectGaps(segments: readonly WalFile[]): Promise<void> {
    const whole = await summarizeWal(segments.map(source));
    const middle = Math.floor(segments.length / 2);
    const variants = {
      lost: undefined,
      cut: segments[middle]!.bytes.subarray(0, 300_000),
      damaged: Buffer.from(segments[middle]!.bytes).fill(0xff, 500_000, 500_100),
    };
    for (const bytes of Object.values(variants)) {
      const given = segments.flatMap((segment, index) =>
        index === middle ? (bytes ? [source({ ...segment, bytes })] : []) : [source(segment)],
      );
      const { ranges, gaps } = await summarizeWal(given);
      expect(ranges).toHaveLength(2);
      expect(gaps).toMatchObject([{ timeline: 1, startLsn: ranges[0]!.endLsn, endLsn: ranges[1]!.startLsn }]);
      expect(gaps[0]!.endLsn >= segments[middle + 1]!.startLsn).toBe(true);
      expect(ranges[1]?.endLsn).toBe(whole.ranges[0]?.endLsn);
      expect(ranges[1]?.lastCommit).toEqual(whole.ranges[0]?.lastCommit);
    }
  }

  function source({ timeline, startLsn, bytes }: WalFile): WalSegmentBytes {
    return { timeline, startLsn, bytes: [bytes.subarray(0, 100_000), bytes.subarray(100_000)] };
  }
});
