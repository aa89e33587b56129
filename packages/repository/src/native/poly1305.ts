// Poly1305 (RFC 8439, section 2.5) in plain JavaScript, for hosts where OpenSSL's cannot be reached. Numbers are kept as six
// limbs of 22 bits: 2^132 = 20 (mod 2^130 - 5), and every sum of products stays below 2^53, so doubles are exact.
// About 100 times slower than OpenSSL per call set-up, but free of allocations in its loop.

const limbBits = 22;
const limbBase = 2 ** limbBits;
const inverseBase = 2 ** -limbBits;
const limbMask = limbBase - 1;
const prime = (1n << 130n) - 5n;

function littleEndian(bytes: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`);
}

function toLimbs(value: bigint): number[] {
  return Array.from({ length: 6 }, (_, index) => Number((value >> BigInt(index * limbBits)) & BigInt(limbMask)));
}

/** Writes Poly1305(key = r || s, message) to `tag` (16 bytes). `r` need not be clamped. */
export function poly1305(r: Uint8Array, s: Uint8Array, message: Uint8Array, tag: Uint8Array): void {
  const clamped = littleEndian(r) & 0x0ffffffc0ffffffc0ffffffc0fffffffn;
  const sum = (accumulate(toLimbs(clamped), message) + littleEndian(s)) & ((1n << 128n) - 1n);
  const text = sum.toString(16).padStart(32, '0');
  tag.set(Buffer.from(text, 'hex').reverse().subarray(0, 16));
}

function accumulate(r: number[], message: Uint8Array): bigint {
  const [r0 = 0, r1 = 0, r2 = 0, r3 = 0, r4 = 0, r5 = 0] = r;
  const [w1, w2, w3, w4, w5] = [20 * r1, 20 * r2, 20 * r3, 20 * r4, 20 * r5];
  let [h0, h1, h2, h3, h4, h5] = [0, 0, 0, 0, 0, 0];
  const block = new Uint8Array(17);
  for (let offset = 0; offset < message.length; offset += 16) {
    const end = Math.min(offset + 16, message.length);
    block.fill(0);
    for (let i = offset; i < end; i++) block[i - offset] = message[i] as number;
    block[end - offset] = 1;
    const b = block as unknown as { readonly [index: number]: number };
    h0 += ((b[0] as number) | ((b[1] as number) << 8) | ((b[2] as number) << 16)) & limbMask;
    h1 +=
      (((b[2] as number) >>> 6) | ((b[3] as number) << 2) | ((b[4] as number) << 10) | ((b[5] as number) << 18)) &
      limbMask;
    h2 +=
      (((b[5] as number) >>> 4) | ((b[6] as number) << 4) | ((b[7] as number) << 12) | ((b[8] as number) << 20)) &
      limbMask;
    h3 += (((b[8] as number) >>> 2) | ((b[9] as number) << 6) | ((b[10] as number) << 14)) & limbMask;
    h4 += (b[11] as number) | ((b[12] as number) << 8) | (((b[13] as number) & 0x3f) << 16);
    h5 += ((b[13] as number) >>> 6) | ((b[14] as number) << 2) | ((b[15] as number) << 10) | ((b[16] as number) << 18);
    let t0 = h0 * r0 + h1 * w5 + h2 * w4 + h3 * w3 + h4 * w2 + h5 * w1;
    let t1 = h0 * r1 + h1 * r0 + h2 * w5 + h3 * w4 + h4 * w3 + h5 * w2;
    let t2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * w5 + h4 * w4 + h5 * w3;
    let t3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * w5 + h5 * w4;
    let t4 = h0 * r4 + h1 * r3 + h2 * r2 + h3 * r1 + h4 * r0 + h5 * w5;
    let t5 = h0 * r5 + h1 * r4 + h2 * r3 + h3 * r2 + h4 * r1 + h5 * r0;
    let carry = Math.floor(t0 * inverseBase);
    h0 = t0 - carry * limbBase;
    t1 += carry;
    carry = Math.floor(t1 * inverseBase);
    h1 = t1 - carry * limbBase;
    t2 += carry;
    carry = Math.floor(t2 * inverseBase);
    h2 = t2 - carry * limbBase;
    t3 += carry;
    carry = Math.floor(t3 * inverseBase);
    h3 = t3 - carry * limbBase;
    t4 += carry;
    carry = Math.floor(t4 * inverseBase);
    h4 = t4 - carry * limbBase;
    t5 += carry;
    carry = Math.floor(t5 * inverseBase);
    h5 = t5 - carry * limbBase;
    t0 = h0 + carry * 20;
    carry = Math.floor(t0 * inverseBase);
    h0 = t0 - carry * limbBase;
    h1 += carry;
  }
  const limbs = [h0, h1, h2, h3, h4, h5];
  return limbs.reduce((total, limb, index) => total + (BigInt(limb) << BigInt(index * limbBits)), 0n) % prime;
}
