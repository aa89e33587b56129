import { createCipheriv, createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Chunker, maxChunkBytes, minChunkBytes } from '../src/chunker/chunker.ts';
import { rabinWasm } from '../src/chunker/generated/rabin-wasm.ts';
import { isIrreducible, randomPolynomial } from '../src/chunker/polynomial.ts';
import { buildWasm } from '../scripts/build-wasm.ts';

const polynomial = 0x2ad476ac2cf4a1n;

function keystream(length: number): Buffer {
  const cipher = createCipheriv('aes-256-ctr', Buffer.alloc(32), Buffer.alloc(16));
  return cipher.update(Buffer.alloc(length));
}

/** Chunks as copies, the input handed over in pieces of `pieceBytes`. */
function cut(chunker: Chunker, input: Uint8Array, pieceBytes: number): Buffer[] {
  const chunks: Buffer[] = [];
  const drain = (atEnd: boolean): void => {
    for (let chunk = chunker.next({ atEnd }); chunk; chunk = chunker.next({ atEnd })) chunks.push(Buffer.from(chunk));
  };
  for (let at = 0; at < input.length;) {
    const space = chunker.space();
    const piece = input.subarray(at, at + Math.min(pieceBytes, space.length));
    space.set(piece);
    chunker.filled(piece.length);
    at += piece.length;
    drain(false);
  }
  drain(true);
  return chunks;
}

/** The definition of section 2.11, byte by byte, as slow as it is plain. */
function cutByDefinition(input: Uint8Array): number[] {
  const k = 53n;
  const mod = (value: bigint): bigint => {
    let rest = value;
    for (let d = rest.toString(2).length - 1; rest !== 0n && d >= 53; d = rest.toString(2).length - 1) {
      rest ^= polynomial << BigInt(d - 53);
    }
    return rest;
  };
  const outTable = Array.from({ length: 256 }, (_, b) => {
    let hash = mod(BigInt(b));
    for (let i = 0; i < 63; i++) hash = mod(hash << 8n);
    return hash;
  });
  const modTable = Array.from({ length: 256 }, (_, b) => mod(BigInt(b) << k) | (BigInt(b) << k));
  const lengths: number[] = [];
  let start = 0;
  while (start < input.length) {
    const window = new Uint8Array(64);
    let [position, digest, count] = [0, 0n, 0];
    const slide = (b: number): void => {
      digest ^= outTable[window[position] ?? 0] ?? 0n;
      window[position] = b;
      position = (position + 1) % 64;
      const index = Number(digest >> 45n);
      digest = ((digest << 8n) | BigInt(b)) ^ (modTable[index] ?? 0n);
    };
    slide(1);
    count = Math.min(minChunkBytes - 64, input.length - start);
    while (start + count < input.length) {
      slide(input[start + count] ?? 0);
      count++;
      if (count >= minChunkBytes && ((digest & 0xfffffn) === 0n || count >= maxChunkBytes)) break;
    }
    lengths.push(count);
    start += count;
  }
  return lengths;
}

describe('the chunker', () => {
  test('cuts a known input where restic cuts it, however the input is split over reads', () => {
    const input = Buffer.concat([keystream(33_554_432), Buffer.alloc(3_145_728)]);
    expect(createHash('sha256').update(input).digest('hex')).toMatch(/^2f82bee3.*0061$/);
    // Lengths of the blobs that restic 0.14 made of this input.
    const lengths = [
      602653, 666157, 3602990, 1739142, 1524626, 1246502, 1573621, 1029074, 639503, 532617, 2323523, 633937, 1604006,
      1465659, 1912331, 692155, 1150449, 1050447, 1217321, 2935386, 2680780, 1136340, 572793, 941725, 524288, 524288,
      524288, 524288, 524288, 524288, 80695,
    ];
    const chunker = new Chunker(polynomial);
    for (const pieceBytes of [100_003, 1 << 20, 1 << 30]) {
      const chunks = cut(chunker, input, pieceBytes);
      expect(chunks.map((chunk) => chunk.length)).toEqual(lengths);
      expect(Buffer.concat(chunks).equals(input)).toBe(true);
    }
    const fixture = new URL('../../../../shared/fixtures/chunker_kat.json', import.meta.url);
    if (!existsSync(fixture)) return;
    const known = JSON.parse(readFileSync(fixture, 'utf8')) as { chunks: [number, string][] };
    const chunks = cut(chunker, input, 65_536);
    expect(chunks.map((c) => [c.length, createHash('sha256').update(c).digest('hex')])).toEqual(known.chunks);
  });

  test('cuts zeros into chunks of exactly the smallest size, with any polynomial', () => {
    const chunker = new Chunker(0x3da3358b4dc173n);
    const chunks = cut(chunker, new Uint8Array(8 * minChunkBytes), 300_000);
    expect(chunks.map((chunk) => chunk.length)).toEqual(Array.from({ length: 8 }, () => minChunkBytes));
  });

  test('makes one chunk of an input up to the smallest size and none of an empty one', () => {
    const chunker = new Chunker(polynomial);
    expect(cut(chunker, new Uint8Array(0), 10)).toEqual([]);
    for (const length of [1, minChunkBytes - 1, minChunkBytes]) {
      expect(cut(chunker, keystream(length), 1 << 20).map((chunk) => chunk.length)).toEqual([length]);
    }
  });

  test('never exceeds the largest size', () => {
    // A constant non-zero byte has a constant hash, so that only the largest size cuts.
    const chunker = new Chunker(polynomial);
    const chunks = cut(chunker, new Uint8Array(maxChunkBytes * 2 + 5).fill(7), 1 << 20);
    expect(chunks.map((chunk) => chunk.length)).toEqual([maxChunkBytes, maxChunkBytes, 5]);
  });

  test('agrees with the definition on random data and random read sizes', () => {
    const source = keystream(1_600_000);
    const chunker = new Chunker(polynomial);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 100_000 }), fc.integer({ min: 1000, max: 2_000_000 }), (skip, piece) => {
        const input = source.subarray(skip);
        expect(cut(chunker, input, piece).map((chunk) => chunk.length)).toEqual(cutByDefinition(input));
      }),
      { numRuns: 5 },
    );
  });

  test('knows chunks of zeros', () => {
    const chunker = new Chunker(polynomial);
    const space = chunker.space();
    space.fill(0, 0, 1003);
    chunker.filled(1003);
    expect(chunker.isZero(chunker.next({ atEnd: true }) ?? new Uint8Array(1))).toBe(true);
    chunker.reset();
    chunker.space().fill(0, 0, 1002).fill(1, 1002, 1003);
    chunker.filled(1003);
    expect(chunker.isZero(chunker.next({ atEnd: true }) ?? new Uint8Array(1))).toBe(false);
  });

  test('runs the code that its source compiles to', () => {
    expect(buildWasm('rabin').toString('base64')).toBe(rabinWasm);
  });
});

describe('chunker polynomials', () => {
  test('known irreducible ones are accepted, multiples are not', () => {
    expect(isIrreducible(polynomial)).toBe(true);
    expect(isIrreducible(0x3da3358b4dc173n)).toBe(true);
    expect(isIrreducible(polynomial ^ 2n)).toBe(false);
    expect(isIrreducible(0b110n)).toBe(false);
  });

  test('random ones have degree 53 and are irreducible', () => {
    let drawn = 0;
    const p = randomPolynomial((size) => keystream((drawn += size)).subarray(-size));
    expect(p >> 53n).toBe(1n);
    expect(isIrreducible(p)).toBe(true);
  });
});
