// The reader on WAL that is cut, damaged, recycled, of another cluster, or in other pieces. Segments of 1 MiB.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { findPostgresBinaries } from '@varve/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { formatLsn, lsnFromBigInt, parseLsn, WalReader, type Lsn, type WalEvent } from '../src/index.ts';
import {
  onlyEvent,
  readEvents,
  readSegments,
  recordPositions,
  startWalServer,
  type WalFile,
  type WalServer,
} from './wal-lab.ts';

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

const binDir = (await findPostgresBinaries())[0]?.binDir;
const segmentBytes = 1024 * 1024;
const pageBytes = 8192;

describe.runIf(binDir !== undefined)('WAL that is not whole', () => {
  let lab: WalServer;
  let segments: WalFile[];
  let bytes: Buffer;
  let start: { lsn: Lsn };
  let events: readonly WalEvent[];
  let reader: WalReader;
  let positions: readonly Lsn[];

  beforeAll(async () => {
    lab = await startWalServer({ binDir: binDir!, segmentMebibytes: 1 });
    await lab.query('checkpoint', 'select pg_switch_wal()');
    const first = parseLsn(await lab.query('select pg_current_wal_insert_lsn()'));
    await lab.query(
      'create table t (a int, b text)',
      "insert into t select g, repeat('x', g % 7000) from generate_series(1, 400) g",
      "select pg_logical_emit_message(false, 'big', repeat('x', 300000))",
      "select pg_create_restore_point('one')",
      // A commit of many parts, which crosses pages and is an event.
      `do $$ begin for i in 1..300 loop execute 'create table part_' || i || ' (a int)'; end loop; end $$`,
      'select pg_switch_wal()',
      'insert into t values (1)',
    );
    await lab.server.stop();
    segments = (await readSegments(lab.server, 1)).filter(({ startLsn }) => startLsn + BigInt(segmentBytes) > first);
    bytes = Buffer.concat(segments.map((segment) => segment.bytes));
    start = { lsn: segments[0]!.startLsn };
    ({ events, reader } = readEvents(start, bytes));
    positions = recordPositions(start, bytes);
    expect(reader.end?.reason).toBe('zeros');
    expect(reader.recordCount).toBe(positions.length);
    const kinds = ['commit', 'commit', 'restore-point', 'commit', 'switch', 'commit', 'checkpoint'];
    expect(events.map(({ type }) => type)).toEqual(kinds);
  });
  afterAll(() => lab?.[Symbol.asyncDispose]());

  const offsetOf = (lsn: Lsn): number => Number(lsn - start.lsn);

  test('however the bytes are split, the same comes out', () => {
    const expected = { events, end: reader.end, state: reader.state };
    const pieces = fc.array(fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 300_000 })), {
      minLength: 5,
      maxLength: 60,
    });
    fc.assert(
      fc.property(pieces, (sizes) => {
        const again = new WalReader(start);
        const found: WalEvent[] = [];
        for (let at = 0, index = 0; at < bytes.length; index++) {
          const size = sizes[index % sizes.length]!;
          found.push(...again.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect({ events: found, end: again.end, state: again.state }).toEqual(expected);
      }),
      { numRuns: 40 },
    );
    for (const size of [1, 7, 8, 23, 24, 25, pageBytes - 1, pageBytes, pageBytes + 1]) {
      const again = readEvents(start, bytes, size);
      expect({ events: again.events, end: again.reader.end, state: again.reader.state }).toEqual(expected);
    }
  });

  test('a reader that resumes from a saved state goes on where the other was', () => {
    fc.assert(
      fc.property(fc.integer({ min: 40, max: bytes.length }), (cut) => {
        const before = new WalReader(start);
        const found = before.push(bytes.subarray(0, cut));
        const state = structuredClone(JSON.parse(JSON.stringify(before.state))) as NonNullable<WalReader['state']>;
        const after = WalReader.resume(state);
        found.push(...after.push(bytes.subarray(offsetOf(before.nextLsn))));
        expect(found).toEqual(events);
        expect([after.end, after.state]).toEqual([reader.end, reader.state]);
        expect(before.recordCount + after.recordCount).toBe(reader.recordCount);
      }),
      { numRuns: 60 },
    );
  });

  test('a cut tail costs the torn record only', () => {
    fc.assert(
      fc.property(fc.integer({ min: 40, max: offsetOf(reader.nextLsn) }), (cut) => {
        const { reader: torn, events: found } = readEvents(start, bytes.subarray(0, cut));
        const inputEnd = start.lsn + BigInt(cut);
        const end = torn.finish();
        expect(end.reason).toBe('end-of-input');
        expect(found).toEqual(events.slice(0, found.length));
        const whole = positions.filter((lsn) => lsn < inputEnd).length;
        expect([whole, whole - 1]).toContain(torn.recordCount);
        expect(torn.lastRecordLsn).toBe(positions[torn.recordCount - 1]);
      }),
      { numRuns: 100 },
    );
  });

  test('one flipped bit in a record ends the reading before that record', () => {
    const damaged = Buffer.from(bytes);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: positions.length - 1 }), fc.nat(), fc.nat(7), (index, place, bit) => {
        const at = offsetOf(positions[index]!);
        const length = damaged.readUInt32LE(at);
        // Of a record that crosses pages, in the part on its first page.
        const inPage = Math.min(length, pageBytes - (at % pageBytes));
        const position = at + (place % inPage);
        damaged[position]! ^= 1 << bit;
        const { reader: found, events: told } = readEvents(start, damaged);
        damaged[position]! ^= 1 << bit;
        expect(found.recordCount).toBe(index);
        expect(told).toEqual(events.slice(0, told.length));
        expect(found.finish().lsn <= positions[index]!).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('every kind of damage has its reason', () => {
    const reasonOf = (change: (copy: Buffer) => void, options: object = {}): unknown => {
      const copy = Buffer.from(bytes);
      change(copy);
      const found = readEvents({ ...start, ...options }, copy).reader.finish();
      return [found.reason, found.faultLsn - start.lsn];
    };
    const page = 5 * pageBytes;
    const inside = positions.find((lsn, index) => {
      const at = offsetOf(lsn);
      return at > page && (positions[index + 1] ?? lsn) - lsn < 200n && (at % pageBytes) + 300 < pageBytes;
    })!;
    const at = offsetOf(inside);
    const segment = BigInt(segmentBytes);
    const otherMajor = reader.identity?.major === 13 ? 0xd10d : 0xd106;
    expect(reasonOf((copy) => copy.writeUInt16LE(0xd105, page))).toEqual(['wrong-magic', BigInt(page)]);
    expect(reasonOf((copy) => copy.writeUInt16LE(otherMajor, page))).toEqual(['wrong-magic', BigInt(page)]);
    expect(reasonOf((copy) => copy.writeUInt16LE(0xfff0, page + 2))).toEqual(['wrong-page-flags', BigInt(page)]);
    expect(reasonOf((copy) => copy.writeUInt16LE(0, segmentBytes + 2))).toEqual(['wrong-page-flags', segment]);
    expect(reasonOf((copy) => copy.writeUInt16LE(0, 2))).toEqual(['wrong-page-flags', 0n]);
    expect(reasonOf((copy) => copy.writeUInt32LE(0, page + 4))).toEqual(['wrong-timeline', BigInt(page)]);
    expect(reasonOf((copy) => copy.writeUInt32LE(2, page + 4), { maximumTimeline: 1 })).toEqual([
      'wrong-timeline',
      BigInt(page),
    ]);
    expect(reasonOf((copy) => copy.writeUInt32LE(1, page + 8))).toEqual(['wrong-page-address', BigInt(page)]);
    expect(reasonOf((copy) => copy.writeUInt32LE(7, segmentBytes + 24))).toEqual(['wrong-system', segment]);
    expect(reasonOf((copy) => copy.writeUInt32LE(1 << 24, segmentBytes + 32))).toEqual(['wrong-geometry', segment]);
    expect(reasonOf((copy) => copy.writeUInt32LE(4096, 36))).toEqual(['wrong-geometry', 0n]);
    expect(reasonOf((copy) => copy.writeUInt32LE(9, at))).toEqual(['bad-length', BigInt(at)]);
    expect(reasonOf((copy) => copy.writeUInt32LE(0, at))).toEqual(['bad-length', BigInt(at)]);
    expect(reasonOf((copy) => copy.writeUInt32LE(0xffff_fff8, at))).toEqual(['bad-length', BigInt(at)]);
    expect(reasonOf((copy) => copy.fill(0, at, at + 200))).toEqual(['zeros', BigInt(at)]);
    expect(reasonOf((copy) => copy.writeUInt32LE(7, at + 8))).toEqual(['wrong-previous', BigInt(at)]);
    expect(reasonOf((copy) => copy.writeUInt32LE(7, at + 20))).toEqual(['bad-crc', BigInt(at)]);
    expect(reasonOf((copy) => copy.fill(0, page, page + pageBytes))).toEqual(['zeros', BigInt(page)]);

    const crossing = positions.find(
      (lsn) => (offsetOf(lsn) % pageBytes) + bytes.readUInt32LE(offsetOf(lsn)) > pageBytes,
    )!;
    const next = offsetOf(crossing) - (offsetOf(crossing) % pageBytes) + pageBytes;
    expect(reasonOf((copy) => copy.writeUInt32LE(copy.readUInt32LE(next + 16) + 8, next + 16))).toEqual([
      'broken-continuation',
      BigInt(next),
    ]);
  });

  test('a record whose CRC is right but whose content is not is told, and nothing after it', () => {
    // A restore point without its part header: 24 bytes of header and the CRC made for them.
    const point = onlyEvent(events, 'restore-point');
    const at = offsetOf(point.lsn);
    const copy = Buffer.from(bytes);
    copy.writeUInt32LE(24, at);
    copy.writeUInt32LE(slowCrc32c(copy.subarray(at, at + 20)), at + 20);
    const end = readEvents(start, copy).reader.finish();
    expect([end.reason, end.lsn]).toEqual(['unreadable-record', point.lsn]);
    expect(end.detail).toMatch(/not understood: it is shorter/);
  });

  test('a recycled segment ends where the new content does', () => {
    const [first, second] = [segments[0]!, segments[1]!];
    const recycled = Buffer.concat([first.bytes, first.bytes]);
    const { reader: found } = readEvents(start, recycled);
    expect(found.finish()).toMatchObject({ reason: 'wrong-page-address', faultLsn: second.startLsn });
    // Within a page: older records do not link to the last new one.
    const at = offsetOf(positions[20]!);
    const mixed = Buffer.concat([bytes.subarray(0, at), bytes.subarray(offsetOf(positions[40]!))]);
    expect(readEvents(start, mixed).reader).toMatchObject({ recordCount: 20 });
  });

  test('a start within a page needs what the header would tell, and a place where a record can begin', () => {
    const lsn = positions[3]!;
    expect(() => new WalReader({ lsn })).toThrow(/within a page/);
    const { identity } = reader;
    expect(() => new WalReader({ lsn: lsnFromBigInt(lsn + 4n), known: identity! })).toThrow(/No record begins/);
    expect(() => new WalReader({ lsn: lsnFromBigInt(start.lsn + 8n), known: identity! })).toThrow(/No record begins/);
    const { reader: found } = readEvents({ lsn, known: identity! }, bytes.subarray(offsetOf(lsn)));
    expect([found.firstRecordLsn, found.nextLsn]).toEqual([lsn, reader.nextLsn]);
    // A page in the middle of a segment, without knowing the size of one.
    expect(new WalReader({ lsn: lsnFromBigInt(start.lsn + 8192n) }).push(bytes.subarray(8192, 16_384))).toEqual([]);
  });

  test('a record that a crash cut off and the server wrote over is passed', async () => {
    await lab.server.start();
    await lab.query('checkpoint', 'select pg_switch_wal()');
    const begin = parseLsn(await lab.query('select pg_current_wal_insert_lsn()'));
    await lab.query(
      "select pg_logical_emit_message(false, 'cut', repeat('x', 3000000))",
      'create table flushed (a int)',
    );
    await lab.server.stop('immediate');
    const crashed = await readSegments(lab.server, 1);
    // The first segment of the long record stays, what follows is lost.
    const lost = crashed.filter(({ startLsn }) => startLsn > begin);
    for (const { name } of lost) await rm(join(lab.server.dataDir, 'pg_wal', name));
    await lab.server.start();
    await lab.query("select pg_create_restore_point('after the crash')");
    await lab.server.stop();

    const after = (await readSegments(lab.server, 1)).filter(({ startLsn }) => startLsn + BigInt(segmentBytes) > begin);
    const found = readEvents({ lsn: after[0]!.startLsn }, Buffer.concat(after.map((segment) => segment.bytes)));
    const overwrite = onlyEvent(found.events, 'overwrite-contrecord');
    expect([formatLsn(overwrite.lsn), overwrite.overwrittenLsn >= begin]).toEqual([
      formatLsn(lsnFromBigInt(after[1]!.startLsn + 40n)),
      true,
    ]);
    expect(onlyEvent(found.events, 'restore-point').name).toBe('after the crash');
    // The segment behind it, alone.
    const alone = readEvents({ lsn: after[1]!.startLsn }, after[1]!.bytes);
    expect(alone.reader.firstRecordLsn).toBe(overwrite.lsn);
  });
});

/** Bit by bit, independent of the tables. */
function slowCrc32c(data: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}
