import { scryptSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { romixWasm } from '../src/crypto/generated/romix-wasm.ts';
import { romix } from '../src/crypto/romix.ts';
import { deriveBytes, planThreads, type KeyDerivation } from '../src/crypto/scrypt.ts';
import { buildWasm } from '../scripts/build-wasm.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ''), 'hex');
const maxmem = 256 * 1024 * 1024;

/** RFC 7914, section 5, as slow as it is plain. */
function romixByDefinition(block: Uint32Array, { N, r }: { readonly N: number; readonly r: number }): Uint32Array {
  const blockMix = (input: Uint32Array): Uint32Array => {
    const output = new Uint32Array(input.length);
    let x: Uint32Array = input.slice((2 * r - 1) * 16);
    for (let i = 0; i < 2 * r; i++) {
      x = salsa(x.map((word, k) => word ^ input[i * 16 + k]!));
      output.set(x, ((i >> 1) + (i % 2) * r) * 16);
    }
    return output;
  };
  const table: Uint32Array[] = [];
  let x = block;
  for (let i = 0; i < N; i++) {
    table.push(x);
    x = blockMix(x);
  }
  for (let i = 0; i < N; i++) {
    const other = table[x[(2 * r - 1) * 16]! % N]!;
    x = blockMix(x.map((word, k) => word ^ other[k]!));
  }
  return x;
}

function salsa(input: Uint32Array): Uint32Array {
  const x = input.slice();
  const quarter = (to: number, a: number, b: number, bits: number): void => {
    const sum = (x[a]! + x[b]!) >>> 0;
    x[to] = x[to]! ^ ((sum << bits) | (sum >>> (32 - bits)));
  };
  for (let round = 0; round < 8; round++) {
    for (let i = 0; i < 4; i++) {
      // Columns, then rows, each beginning at the diagonal.
      const at = (k: number): number => (round % 2 === 0 ? ((i + k) % 4) * 4 + i : i * 4 + ((i + k) % 4));
      quarter(at(1), at(0), at(3), 7);
      quarter(at(2), at(1), at(0), 9);
      quarter(at(3), at(2), at(1), 13);
      quarter(at(0), at(3), at(2), 18);
    }
  }
  return x.map((word, i) => word + input[i]!);
}

describe('ROMix', () => {
  test('is that of RFC 7914, whatever the cost and the number of blocks and lanes', () => {
    const costs = fc.record({ log2N: fc.integer({ min: 1, max: 6 }), r: fc.integer({ min: 1, max: 9 }) });
    fc.assert(
      fc.property(
        costs,
        fc.integer({ min: 1, max: 5 }),
        fc.uint8Array({ minLength: 16, maxLength: 16 }),
        (cost, p, seed) => {
          const { N, r } = { N: 2 ** cost.log2N, r: cost.r };
          const blocks = Buffer.alloc(p * 128 * r, seed);
          for (let i = 0; i < blocks.length; i += 64) blocks.writeUInt32LE(i, i);
          const expected = Array.from({ length: p }, (_, i) => {
            const block = new Uint32Array(Uint8Array.from(blocks.subarray(i * 128 * r, (i + 1) * 128 * r)).buffer);
            return Buffer.from(romixByDefinition(block, { N, r }).buffer);
          });
          for (const lanes of [1, 2] as const) {
            const mixed = Uint8Array.from(blocks);
            romix(mixed, { N, r, lanes });
            expect(Buffer.from(mixed)).toEqual(Buffer.concat(expected));
          }
        },
      ),
      { numRuns: 50 },
    );
  });

  test('runs the code that its source compiles to', () => {
    expect(buildWasm('romix').toString('base64')).toBe(romixWasm);
  });
});

describe('deriving a key', () => {
  test('yields what RFC 7914 says', async () => {
    const derived = await deriveBytes(Buffer.from('password'), Buffer.from('NaCl'), {
      N: 1024,
      r: 8,
      p: 16,
      bytes: 64,
    });
    expect(derived).toEqual(
      hex(`fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162
           2eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640`),
    );
  });

  // In threads where there are two processors; the first two and the last are work for one.
  test.each<KeyDerivation>([
    { N: 16, r: 1, p: 1 },
    { N: 16_384, r: 8, p: 3 },
    { N: 32_768, r: 8, p: 2 },
    { N: 32_768, r: 8, p: 3 },
    { N: 8192, r: 16, p: 5 },
    { N: 16_384, r: 8, p: 7 },
    { N: 262_144, r: 8, p: 1 },
  ])('yields what Node yields for %o', async (cost) => {
    const password = Buffer.from('päss word');
    const salt = Buffer.from('0123456789abcdef'.repeat(4));
    const derived = await deriveBytes(password, salt, { ...cost, bytes: 64 });
    expect(derived).toEqual(scryptSync(password, salt, 64, { ...cost, maxmem: 2 * maxmem }));
  });

  test('parameters that are not valid are an error', async () => {
    const cost = { N: 3, r: 8, p: 1, bytes: 64 };
    await expect(deriveBytes(Buffer.from('x'), Buffer.from('y'), cost)).rejects.toThrow(RangeError);
  });
});

describe('threads', () => {
  const cost = { N: 32_768, r: 8, p: 8 };

  test('are as many as there are processors, blocks and memory for', () => {
    expect(planThreads(cost, 2)).toEqual({ threads: 2, lanes: 2 });
    expect(planThreads({ ...cost, p: 5 }, 2)).toEqual({ threads: 2, lanes: 1 });
    expect(planThreads({ ...cost, p: 6 }, 2)).toEqual({ threads: 2, lanes: 2 });
    expect(planThreads(cost, 64)).toEqual({ threads: 4, lanes: 1 });
    expect(planThreads({ ...cost, p: 2 }, 64)).toEqual({ threads: 2, lanes: 1 });
    // 72 MiB a table, or just more.
    expect(planThreads({ N: 65_536, r: 9, p: 8 }, 2)).toBeNull();
    expect(planThreads({ N: 65_536, r: 8, p: 8 }, 2)).toEqual({ threads: 2, lanes: 1 });
  });

  test('are not started for one processor, one block or little work', () => {
    expect(planThreads(cost, 1)).toBeNull();
    expect(planThreads({ ...cost, p: 1 }, 8)).toBeNull();
    expect(planThreads({ N: 32_768, r: 8, p: 2 }, 8)).not.toBeNull();
    expect(planThreads({ N: 16_384, r: 8, p: 3 }, 8)).toBeNull();
  });
});
