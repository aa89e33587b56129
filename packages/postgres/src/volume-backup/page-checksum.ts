// The checksum of a data page: 32 FNV-1a-like sums, each over every 32nd word, folded together with the block's number.
// Source: src/include/storage/checksum_impl.h (pg_checksum_page), bufpage.h (PageHeaderData), the same in 13 to 18.
// Only little-endian servers; plain JavaScript is fast enough (see the README), four sums run side by side to hide latency.

/** Size of a page in every build that is distributed. */
export const dataPageBytes = 8192;

const sums = 32;
const wordsPerPage = dataPageBytes / 4;
const prime = 16_777_619;
const lowerField = 12;
const upperField = 14;
const checksumField = 8;
/** The checksum itself, the lower half of the third word, counts as zero. */
const checksumWord = checksumField / 4;
const checksumMask = 0xffff_0000 | 0;

const seeds = Int32Array.of(
  0x5b1f36e9,
  0xb8525960,
  0x02ab50aa,
  0x1de66d2a,
  0x79ff467a,
  0x9bb9f8a3,
  0x217e7cd2,
  0x83e13d2c,
  0xf8d4474f,
  0xe39eb970,
  0x42c6ae16,
  0x993216fa,
  0x7b093b5d,
  0x98daff3c,
  0xf718902a,
  0x0b1c9cdb,
  0xe58f764b,
  0x187636bc,
  0x5d7b3bb1,
  0xe73de7de,
  0x92bec979,
  0xcca6c0b2,
  0x304a0979,
  0x85aa43d4,
  0x783125bb,
  0x6ca8eaa2,
  0xe407eac6,
  0x4b5cfc3e,
  0x9fbf8c76,
  0x15ca20be,
  0xf2ca9fd3,
  0x959bd756,
);

/** Words of pages; the memory MUST begin at a multiple of 4. */
export function pageWords(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.byteLength / 4));
}

/** The checksum that the page which begins at word `start` must have as block `block` of its relation. */
export function pageChecksum(words: Int32Array, start: number, block: number): number {
  let folded = 0;
  for (let column = 0; column < sums; column += 4) {
    let a = seeds[column]!;
    let b = seeds[column + 1]!;
    let c = seeds[column + 2]!;
    let d = seeds[column + 3]!;
    const end = start + wordsPerPage;
    for (let at = start + column; at < end; at += sums) {
      a ^= words[at]!;
      a = Math.imul(a, prime) ^ (a >>> 17);
      b ^= words[at + 1]!;
      b = Math.imul(b, prime) ^ (b >>> 17);
      c ^= at === start ? words[at + 2]! & checksumMask : words[at + 2]!;
      c = Math.imul(c, prime) ^ (c >>> 17);
      d ^= words[at + 3]!;
      d = Math.imul(d, prime) ^ (d >>> 17);
    }
    // Two rounds of zeros.
    for (let round = 0; round < 2; round++) {
      a = Math.imul(a, prime) ^ (a >>> 17);
      b = Math.imul(b, prime) ^ (b >>> 17);
      c = Math.imul(c, prime) ^ (c >>> 17);
      d = Math.imul(d, prime) ^ (d >>> 17);
    }
    folded ^= a ^ b ^ c ^ d;
  }
  return (((folded ^ block) >>> 0) % 65_535) + 1;
}

/** Whether the page is new (never written, `pd_upper` is 0) or has the checksum that it must have. Allocates nothing. */
export function isPageRight(words: Int32Array, start: number, block: number): boolean {
  const upper = words[start + lowerField / 4]! >>> ((upperField - lowerField) * 8);
  if (upper === 0) return isZeroPage(words, start);
  return (words[start + checksumWord]! & 0xffff) === pageChecksum(words, start, block);
}

function isZeroPage(words: Int32Array, start: number): boolean {
  for (let at = start; at < start + wordsPerPage; at++) if (words[at] !== 0) return false;
  return true;
}
