// CRC-32C (RFC 9260, appendix A), which Cloud Storage tells of every object. Node has only the other CRC-32.

const reversedPolynomial = 0x82f63b78;

function makeTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? (value >>> 1) ^ reversedPolynomial : value >>> 1;
    table[byte] = value;
  }
  return table;
}

const table = makeTable();

/** Big endian, in base 64. */
export function crc32cOf(data: Uint8Array): string {
  let crc = 0xffffffff;
  for (const byte of data) crc = (table[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE((crc ^ 0xffffffff) >>> 0);
  return bytes.toString('base64');
}
