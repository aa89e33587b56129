// The two look-up tables of the rolling hash for one polynomial. Both are linear in the byte, so eight single bits are
// computed and the rest combined.

import { polynomialDegree, remainder } from './polynomial.ts';

const windowBytes = 64;

/** 256 entries each, 64 bits, in the layout that assembly/rabin.ts reads. */
export interface RabinTables {
  /** Takes the byte that leaves the window out, as if applied before the shift by one byte. */
  readonly out: BigUint64Array;
  /** Reduces the byte that the shift pushes over the degree. */
  readonly mod: BigUint64Array;
}

export function makeRabinTables(polynomial: bigint): RabinTables {
  const k = BigInt(polynomialDegree);
  const out = new BigUint64Array(256);
  const mod = new BigUint64Array(256);
  for (let bit = 0; bit < 8; bit++) {
    const byte = 1n << BigInt(bit);
    // Hash of the byte and 63 zero bytes, shifted once more: out is applied after the shift of the same step.
    let hash = remainder(byte, polynomial);
    for (let i = 0; i < windowBytes; i++) hash = remainder(hash << 8n, polynomial);
    out[1 << bit] = hash;
    const high = byte << k;
    mod[1 << bit] = remainder(high, polynomial) | high;
  }
  for (let value = 1; value < 256; value++) {
    const low = value & -value;
    if (low === value) continue;
    out[value] = (out[low] ?? 0n) ^ (out[value ^ low] ?? 0n);
    mod[value] = (mod[low] ?? 0n) ^ (mod[value ^ low] ?? 0n);
  }
  return { out, mod };
}
