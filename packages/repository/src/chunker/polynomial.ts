// Polynomials over GF(2) as bigints (bit i is the coefficient of x^i): what the chunker's tables and a new repository's
// config need. Source: storage-format section 2.11 (Rabin fingerprints, Ben-Or's irreducibility test).

/** Degree of every chunker polynomial. */
export const polynomialDegree = 53;

/** Degree of `x`; -1 for zero. */
export function degree(x: bigint): number {
  return x === 0n ? -1 : x.toString(2).length - 1;
}

/** Remainder of `x` divided by `p`. */
export function remainder(x: bigint, p: bigint): bigint {
  const d = degree(p);
  let rest = x;
  for (let k = degree(rest); k >= d; k = degree(rest)) rest ^= p << BigInt(k - d);
  return rest;
}

function multiplyMod(a: bigint, b: bigint, p: bigint): bigint {
  let product = 0n;
  for (let i = degree(b); i >= 0; i--) {
    product <<= 1n;
    if ((b >> BigInt(i)) & 1n) product ^= a;
  }
  return remainder(product, p);
}

function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let [x, y] = [a, b];
  while (y !== 0n) [x, y] = [y, remainder(x, y)];
  return x;
}

/** Ben-Or: `p` of degree n is irreducible when gcd(p, x^(2^i) - x) is 1 for every i up to n/2. */
export function isIrreducible(p: bigint): boolean {
  const n = degree(p);
  if (n < 1) return false;
  let power = 2n;
  for (let i = 1; i <= Math.floor(n / 2); i++) {
    power = multiplyMod(power, power, p);
    if (greatestCommonDivisor(p, power ^ 2n) !== 1n) return false;
  }
  return true;
}

/** A random irreducible polynomial of degree 53. `random` yields cryptographically random bytes. */
export function randomPolynomial(random: (sizeBytes: number) => Uint8Array): bigint {
  for (;;) {
    const bits = Buffer.from(random(8)).readBigUInt64LE();
    const candidate = (bits & ((1n << 54n) - 1n)) | (1n << 53n) | 1n;
    if (isIrreducible(candidate)) return candidate;
  }
}
