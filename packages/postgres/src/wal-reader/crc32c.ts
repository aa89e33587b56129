// CRC-32C (Castagnoli), with which PostgreSQL protects every WAL record; Node has only the other CRC-32. Eight bytes a
// step from tables ("slicing by 8"), over memory that can be read in words. Source: src/include/port/pg_crc32c.h, RFC 9260.

const reversedPolynomial = 0x82f63b78;

/** Where a running CRC begins; it ends with {@link finishCrc32c}. */
export const crc32cStart = -1;

/** The same memory as bytes and as words of the machine, which must be little-endian. */
export interface WordBuffer {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
}

/** Zeroed memory. @param sizeBytes a multiple of 4 */
export function makeWordBuffer(sizeBytes: number): WordBuffer {
  const memory = new ArrayBuffer(sizeBytes);
  return { bytes: new Uint8Array(memory), words: new Int32Array(memory) };
}

/** Takes the bytes [start, end) of the buffer into a running CRC. @param start a multiple of 4 */
export function updateCrc32c(crc: number, buffer: WordBuffer, start: number, end: number): number {
  const { words, bytes } = buffer;
  let value = crc;
  let at = start;
  for (let word = start >> 2; at + 8 <= end; at += 8, word += 2) {
    const low = value ^ words[word]!;
    const high = words[word + 1]!;
    value =
      tables[1792 + (low & 255)]! ^
      tables[1536 + ((low >>> 8) & 255)]! ^
      tables[1280 + ((low >>> 16) & 255)]! ^
      tables[1024 + (low >>> 24)]! ^
      tables[768 + (high & 255)]! ^
      tables[512 + ((high >>> 8) & 255)]! ^
      tables[256 + ((high >>> 16) & 255)]! ^
      tables[high >>> 24]!;
  }
  for (; at < end; at++) value = tables[(value ^ bytes[at]!) & 255]! ^ (value >>> 8);
  return value;
}

/** The CRC as it is stored, as a signed 32-bit number. */
export function finishCrc32c(crc: number): number {
  return ~crc;
}

/** Eight tables of 256: table k moves a byte through k more zero bytes. */
function makeTables(): Int32Array {
  const made = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ reversedPolynomial : value >>> 1;
    made[byte] = value;
  }
  for (let at = 256; at < made.length; at++) {
    const shorter = made[at - 256]!;
    made[at] = made[shorter & 255]! ^ (shorter >>> 8);
  }
  return made;
}

const tables = makeTables();
