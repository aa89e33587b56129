// Incremental files of base backups, made byte by byte as the server does, put together with files before.

import { describe, expect, test } from 'vitest';
import { blockRuns, parseBlockNumbers, parseIncrementalHead } from '../src/base-backup/incremental-file.ts';
import { rebuildFile, wholeBackupLabel, wholeName } from '../src/base-backup/rebuild-file.ts';

const page = 8192;
const parts = 2 * page;
const magic = 0xd3ae1f0d;

const filled = (byte: number): Buffer => Buffer.alloc(page, byte);

/** What the server sends when `blocks` changed and older ones count below `olderBelow`. */
function sentFile(blocks: ReadonlyMap<number, Buffer>, olderBelow: number): Buffer {
  const numbers = [...blocks.keys()].sort((a, b) => a - b);
  const used = 12 + 4 * numbers.length;
  const head = Buffer.alloc(numbers.length === 0 ? used : Math.ceil(used / page) * page);
  head.writeUInt32LE(magic, 0);
  head.writeUInt32LE(numbers.length, 4);
  head.writeUInt32LE(olderBelow, 8);
  for (const [index, number] of numbers.entries()) head.writeUInt32LE(number, 12 + 4 * index);
  return Buffer.concat([head, ...numbers.map((number) => blocks.get(number) ?? Buffer.alloc(page))]);
}

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function rebuild(sent: Buffer, before: Buffer, pieceBytes = 5000) {
  const read: number[] = [];
  const same: number[] = [];
  const found: Uint8Array[] = [];
  const older = {
    sizeBytes: before.length,
    readPart: async (part: number) => {
      read.push(part);
      return before.subarray(part * parts, (part + 1) * parts);
    },
  };
  const file = { name: 'base/5/INCREMENTAL.1', sizeBytes: sent.length, content: pieces(sent, pieceBytes) };
  for await (const part of rebuildFile(file, { older, partBytes: parts })) {
    if (part instanceof Uint8Array) found.push(part);
    else {
      same.push(part.sameAs);
      found.push(before.subarray(part.sameAs * parts, (part.sameAs + 1) * parts));
    }
  }
  return { bytes: Buffer.concat(found), read, same };
}

describe('a whole file', () => {
  test('is made of what was sent and of the file before, and parts without changes are not read', async () => {
    const before = Buffer.concat([1, 2, 3, 4, 5, 6, 7].map(filled));
    const { bytes, read, same } = await rebuild(sentFile(new Map([[2, filled(99)]]), 7), before);
    expect(bytes.equals(Buffer.concat([1, 2, 99, 4, 5, 6, 7].map(filled)))).toBe(true);
    expect(same).toEqual([0, 2, 3]);
    expect(read).toEqual([1]);
  });

  test('is cut off, and grows again with zeros in between', async () => {
    const before = Buffer.concat([1, 2, 3, 4, 5, 6].map(filled));
    const { bytes, same } = await rebuild(sentFile(new Map([[4, filled(9)]]), 3), before);
    expect(bytes.equals(Buffer.concat([1, 2, 3, 0, 9].map(filled)))).toBe(true);
    expect(same).toEqual([0]);
  });

  test('is shorter than before, longer than before, or empty', async () => {
    const before = Buffer.concat([1, 2, 3].map(filled));
    expect((await rebuild(sentFile(new Map(), 1), before)).bytes.equals(filled(1))).toBe(true);
    const longer = await rebuild(sentFile(new Map(), 5), before);
    expect(longer.bytes.equals(Buffer.concat([1, 2, 3, 0, 0].map(filled)))).toBe(true);
    expect(longer.same).toEqual([0]);
    expect((await rebuild(sentFile(new Map(), 0), before)).bytes.length).toBe(0);
  });

  test('is what block after block says, for random changes', async () => {
    const seed = Math.floor(Math.random() * 1e9);
    let state = seed;
    const random = (below: number): number => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    for (let round = 0; round < 50; round++) {
      const older = Array.from({ length: random(12) }, () => filled(1 + random(200)));
      const olderBelow = random(14);
      const sent = new Map(Array.from({ length: random(8) }, () => [random(14), filled(1 + random(200))] as const));
      const length = Math.max(olderBelow, ...[...sent.keys()].map((number) => number + 1));
      const expected = Array.from(
        { length },
        (_, block) => sent.get(block) ?? (block < olderBelow ? older[block] : undefined) ?? filled(0),
      );
      const { bytes } = await rebuild(sentFile(sent, olderBelow), Buffer.concat(older), 1 + random(30_000));
      expect(bytes.equals(Buffer.concat(expected)), `seed ${seed}, round ${round}`).toBe(true);
    }
  });
});

describe('what is no incremental file', () => {
  const whole = sentFile(new Map([[2, filled(1)]]), 4);
  const read = (bytes: Buffer) => rebuild(bytes, Buffer.alloc(0));

  test('is refused', async () => {
    const wrongMagic = Buffer.from(whole);
    wrongMagic.writeUInt32LE(1, 0);
    const tooMany = Buffer.from(whole);
    tooMany.writeUInt32LE(200_000, 4);
    const tooLong = Buffer.from(whole);
    tooLong.writeUInt32LE(200_000, 8);
    for (const bytes of [wrongMagic, tooMany, tooLong, whole.subarray(0, -1), whole.subarray(0, 8)])
      await expect(read(bytes)).rejects.toMatchObject({ code: 'DATABASE_PROTOCOL' });
    expect(() => parseBlockNumbers(Buffer.from(Uint32Array.of(3, 3).buffer), 'f')).toThrow(/no incremental file/);
    expect(() => parseBlockNumbers(Buffer.from(Uint32Array.of(131_072).buffer), 'f')).toThrow(/no incremental file/);
  });

  test('has the size that its head says', () => {
    const head = parseIncrementalHead(whole, { name: 'f', sizeBytes: whole.length });
    expect(head).toEqual({ count: 1, olderBelow: 4, headBytes: page });
    expect(blockRuns(Uint32Array.of(2), 4)).toEqual([
      { from: 'older', block: 0, count: 2 },
      { from: 'sent', block: 2, count: 1 },
      { from: 'older', block: 3, count: 1 },
    ]);
  });
});

test('names and label become those of a whole backup', () => {
  expect(wholeName('base/5/INCREMENTAL.16384.1')).toBe('base/5/16384.1');
  expect(wholeName('base/5/16384')).toBeUndefined();
  const label =
    'START WAL LOCATION: 0/2000028\nINCREMENTAL FROM LSN: 0/1000028\nINCREMENTAL FROM TLI: 1\nLABEL: varve\n';
  expect(wholeBackupLabel(Buffer.from(label)).toString()).toBe('START WAL LOCATION: 0/2000028\nLABEL: varve\n');
});
