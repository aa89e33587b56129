// The pure parts of WAL capture: replication messages however they are cut, names and borders of segments, history files, page
// headers.

import { isAppError } from '@varve/base';
import { array, assert, integer, property, uint8Array } from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseLsn, segmentNameAt } from '../src/index.ts';
import { decodeReplicationMessage, encodeStandbyStatus } from '../src/replication/replication-messages.ts';
import { findPageHeader } from '../src/wal/page-header.ts';
import { checkSegmentBytes } from '../src/wal/segments.ts';
import { decodeBackendMessage } from '../src/wire/backend-messages.ts';
import { MessageFramer } from '../src/wire/framing.ts';

function codeOf(action: () => unknown): string {
  try {
    action();
    return 'no failure';
  } catch (error) {
    return isAppError(error) ? error.code : String(error);
  }
}

const mib = 1 << 20;

/** XLogData as it stands in a CopyData message: 25 bytes, then WAL. */
function xlogData(lsn: bigint, end: bigint, micros: bigint, wal: Uint8Array): Buffer {
  const head = Buffer.alloc(25);
  head.write('w', 0, 'latin1');
  head.writeBigUInt64BE(lsn, 1);
  head.writeBigUInt64BE(end, 9);
  head.writeBigInt64BE(micros, 17);
  return Buffer.concat([head, wal]);
}

function copyData(body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.write('d', 0, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

describe('replication messages', () => {
  test('WAL comes out the same however the bytes of the connection are cut', () => {
    assert(
      property(
        array(uint8Array({ maxLength: 400 }), { minLength: 1, maxLength: 6 }),
        array(integer({ min: 0, max: 3000 }), { maxLength: 10 }),
        (pieces, places) => {
          let lsn = 0x3_0000_1000n;
          const stream = Buffer.concat(
            pieces.map((piece) => {
              const message = copyData(xlogData(lsn, lsn + 5n, 1_000_000n, piece));
              lsn += BigInt(piece.length);
              return message;
            }),
          );
          const borders = [0, ...places.map((place) => place % (stream.length + 1)), stream.length].toSorted(
            (a, b) => a - b,
          );
          const framer = new MessageFramer();
          const messages = borders.slice(1).flatMap((end, index) => framer.push(stream.subarray(borders[index], end)));
          let expected = 0x3_0000_1000n;
          const seen = messages.map((raw) => {
            const message = decodeBackendMessage(raw);
            const decoded = message.type === 'copy-data' ? decodeReplicationMessage(message.data) : undefined;
            if (decoded?.kind !== 'data') throw new Error('no WAL');
            expect(decoded.lsn).toBe(expected);
            expect(decoded.serverEnd).toBe(expected + 5n);
            expect(decoded.sentAtMs).toBe(946_684_801_000);
            expected += BigInt(decoded.bytes.length);
            return Buffer.from(decoded.bytes);
          });
          expect(Buffer.concat(seen)).toEqual(Buffer.concat(pieces));
        },
      ),
    );
  });

  test('a keepalive says where the server is and whether it wants an answer', () => {
    const body = Buffer.alloc(18);
    body.write('k', 0, 'latin1');
    body.writeBigUInt64BE(0xffff_ffff_ffff_fff8n, 1);
    body.writeBigInt64BE(0n, 9);
    body.writeUInt8(1, 17);
    expect(decodeReplicationMessage(body)).toEqual({
      kind: 'keepalive',
      serverEnd: 0xffff_ffff_ffff_fff8n,
      sentAtMs: Date.UTC(2000, 0, 1),
      isReplyWanted: true,
    });
    body.writeUInt8(0, 17);
    expect(decodeReplicationMessage(body)).toMatchObject({ isReplyWanted: false });
  });

  test('a status update has the bytes that the manual prescribes', () => {
    const bytes = encodeStandbyStatus({
      received: parseLsn('1/2'),
      flushed: parseLsn('0/10'),
      applied: parseLsn('0/0'),
      nowMs: Date.UTC(2000, 0, 1, 0, 0, 1),
      isReplyWanted: true,
    });
    expect(Buffer.from(bytes).toString('hex')).toBe(
      ['72', '0000000100000002', '0000000000000010', '0000000000000000', '00000000000f4240', '01'].join(''),
    );
  });

  test('messages that are cut short or unknown are refused', () => {
    expect(codeOf(() => decodeReplicationMessage(xlogData(1n, 1n, 1n, Buffer.alloc(0)).subarray(0, 24)))).toBe(
      'DATABASE_PROTOCOL',
    );
    expect(codeOf(() => decodeReplicationMessage(Buffer.from('k')))).toBe('DATABASE_PROTOCOL');
    expect(codeOf(() => decodeReplicationMessage(Buffer.from('z12345678')))).toBe('DATABASE_PROTOCOL');
    expect(codeOf(() => decodeReplicationMessage(Buffer.alloc(0)))).toBe('DATABASE_PROTOCOL');
  });
});

describe('segments', () => {
  test('names are those of the server', () => {
    expect(segmentNameAt({ timeline: 1, lsn: parseLsn('0/3000028') }, 16 * mib)).toBe('000000010000000000000003');
    expect(segmentNameAt({ timeline: 0x1f, lsn: parseLsn('12/FF000000') }, 16 * mib)).toBe('0000001F00000012000000FF');
    expect(segmentNameAt({ timeline: 2, lsn: parseLsn('2/0') }, mib)).toBe('000000020000000200000000');
    expect(segmentNameAt({ timeline: 1, lsn: parseLsn('0/FFFFFFFF') }, mib)).toBe('000000010000000000000FFF');
    expect(segmentNameAt({ timeline: 1, lsn: parseLsn('5/C0000000') }, 1024 * mib)).toBe('000000010000000500000003');
  });

  test('a server can only tell sizes that initdb allows', () => {
    for (const bytes of [0, mib / 2, 3 * mib, 2048 * mib, Number.NaN]) {
      expect(codeOf(() => checkSegmentBytes(bytes))).toBe('DATABASE_PROTOCOL');
    }
    expect([checkSegmentBytes(mib), checkSegmentBytes(1024 * mib)]).toEqual([mib, 1024 * mib]);
  });
});

describe('page headers', () => {
  test('the long form names the cluster, the short one does not', () => {
    const page = Buffer.alloc(40);
    page.writeUInt16LE(0xd110, 0);
    page.writeUInt16LE(0x0002, 2);
    page.writeUInt32LE(3, 4);
    page.writeBigUInt64LE(parseLsn('2/A000000'), 8);
    page.writeBigUInt64LE(7_711_910_011_625_067_777n, 24);
    page.writeUInt32LE(16 * mib, 32);
    page.writeUInt32LE(8192, 36);
    expect(findPageHeader(page)).toEqual({
      magic: 0xd110,
      major: 15,
      flags: 2,
      timeline: 3,
      address: parseLsn('2/A000000'),
      remainingBytes: 0,
      headerBytes: 40,
      long: { systemId: '7711910011625067777', segmentSizeBytes: 16 * mib, pageBytes: 8192 },
    });
    expect(findPageHeader(page.subarray(0, 39))).toBeUndefined();
    page.writeUInt16LE(0, 2);
    expect(findPageHeader(page)?.long).toBeUndefined();
  });

  test('what cannot be a header is none', () => {
    const page = Buffer.alloc(24);
    expect(findPageHeader(page)).toBeUndefined();
    page.writeUInt16LE(0xd110, 0);
    expect(findPageHeader(page)).toBeUndefined();
    page.writeUInt32LE(1, 4);
    expect(findPageHeader(page)?.address).toBe(0n);
    // A version that is newer than this reader is still WAL.
    page.writeUInt16LE(0xd1ff, 0);
    expect(findPageHeader(page)?.major).toBeUndefined();
    expect(findPageHeader(page.subarray(0, 23))).toBeUndefined();
    page.writeUInt16LE(0x0010, 2);
    expect(findPageHeader(page)).toBeUndefined();
  });
});
