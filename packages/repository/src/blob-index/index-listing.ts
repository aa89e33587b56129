// The way from the bytes of an index file to rows of numbers, without an object or a string for any blob: a scanner for the one
// shape that restic and we write. Whatever looks different, if only by a blank, is left to JSON.parse (index-file.ts).

/** What an index file lists, as the rows of the index have it. */
export interface IndexListing {
  /** 8 words a pack: its id. */
  readonly packs: Uint32Array;
  /** For each pack the number of blobs up to and including its own. */
  readonly packEnds: Uint32Array;
  /** 12 words a blob: 8 of its id, 0 for data or 1 for tree, offset, length, uncompressed length. */
  readonly blobs: Uint32Array;
}

const packWords = 8;
const blobWords = 12;
/** The fewest bytes of JSON that a blob and a pack without blobs take. */
const leastBlobBytes = 111;
const leastPackBytes = 84;
/** An encrypted blob has at least the bytes of its encryption unit. */
const leastLength = 32;
const mostDigits = 10;
const zero = 0x30;
const comma = 0x2c;
const closingBracket = 0x5d;
const noDigit = 0xff;

/** The value of each byte as a lowercase hex digit. */
const hexDigits = Uint8Array.from({ length: 256 }, (_, byte) => {
  const value = '0123456789abcdef'.indexOf(String.fromCharCode(byte));
  return value === -1 ? noDigit : value;
});

const text = {
  start: Buffer.from('{"packs":['),
  idStart: Buffer.from('{"id":"'),
  blobsStart: Buffer.from('","blobs":['),
  typeStart: Buffer.from('","type":"'),
  data: Buffer.from('data'),
  tree: Buffer.from('tree'),
  offsetStart: Buffer.from('","offset":'),
  lengthStart: Buffer.from(',"length":'),
  uncompressedStart: Buffer.from(',"uncompressed_length":'),
  blobEnd: Buffer.from('}'),
  listEnd: Buffer.from(']}'),
  lineEnd: Buffer.from('\n'),
} as const;

/** Null when the file is not of the usual shape, or damaged. Pure: may run in any thread. */
export function scanIndexFile(json: Uint8Array): IndexListing | null {
  return new Scanner(json).scan();
}

/** The ids of the packs of a listing. */
export function packIdsOf({ packs, packEnds }: IndexListing): string[] {
  const bytes = Buffer.from(packs.buffer, packs.byteOffset, packs.byteLength);
  return Array.from(packEnds, (_, pack) => bytes.toString('hex', pack * packWords * 4, (pack + 1) * packWords * 4));
}

class Scanner {
  readonly #json: Uint8Array;
  #position = 0;
  #packCount = 0;
  #blobCount = 0;
  readonly #packs: Uint32Array;
  readonly #packEnds: Uint32Array;
  readonly #blobs: Uint32Array;
  readonly #blobBytes: Uint8Array;
  readonly #packBytes: Uint8Array;

  constructor(json: Uint8Array) {
    this.#json = json;
    const mostPacks = Math.floor(json.length / leastPackBytes);
    this.#packs = new Uint32Array(mostPacks * packWords);
    this.#packEnds = new Uint32Array(mostPacks);
    this.#blobs = new Uint32Array(Math.floor(json.length / leastBlobBytes) * blobWords);
    this.#packBytes = new Uint8Array(this.#packs.buffer);
    this.#blobBytes = new Uint8Array(this.#blobs.buffer);
  }

  scan(): IndexListing | null {
    if (!this.#take(text.start)) return null;
    if (this.#json[this.#position] !== closingBracket) {
      do {
        if (!this.#takePack()) return null;
      } while (this.#takeComma());
    }
    if (!this.#take(text.listEnd)) return null;
    this.#take(text.lineEnd);
    if (this.#position !== this.#json.length) return null;
    return {
      packs: this.#packs.subarray(0, this.#packCount * packWords),
      packEnds: this.#packEnds.subarray(0, this.#packCount),
      blobs: this.#blobs.subarray(0, this.#blobCount * blobWords),
    };
  }

  #takePack(): boolean {
    if (!this.#take(text.idStart) || !this.#takeId(this.#packBytes, this.#packCount * packWords * 4)) return false;
    if (!this.#take(text.blobsStart)) return false;
    if (this.#json[this.#position] !== closingBracket) {
      do {
        if (!this.#takeBlob()) return false;
      } while (this.#takeComma());
    }
    this.#packEnds[this.#packCount++] = this.#blobCount;
    return this.#take(text.listEnd);
  }

  #takeBlob(): boolean {
    const start = this.#blobCount * blobWords;
    if (!this.#take(text.idStart) || !this.#takeId(this.#blobBytes, start * 4) || !this.#take(text.typeStart))
      return false;
    const isTree = this.#take(text.tree);
    if (!isTree && !this.#take(text.data)) return false;
    if (!this.#take(text.offsetStart)) return false;
    const offset = this.#takeNumber();
    if (!this.#take(text.lengthStart)) return false;
    const length = this.#takeNumber();
    const uncompressedLength = this.#take(text.uncompressedStart) ? this.#takeNumber() : 0;
    if (offset < 0 || length < leastLength || uncompressedLength < 0) return false;
    this.#blobs[start + packWords] = isTree ? 1 : 0;
    this.#blobs[start + packWords + 1] = offset;
    this.#blobs[start + packWords + 2] = length;
    this.#blobs[start + packWords + 3] = uncompressedLength;
    this.#blobCount++;
    return this.#take(text.blobEnd);
  }

  #takeComma(): boolean {
    if (this.#json[this.#position] !== comma) return false;
    this.#position++;
    return true;
  }

  #take(expected: Uint8Array): boolean {
    const json = this.#json;
    const start = this.#position;
    for (let at = 0; at < expected.length; at++) if (json[start + at] !== expected[at]) return false;
    this.#position = start + expected.length;
    return true;
  }

  /** 64 lowercase hex digits, as 32 bytes to `target`. */
  #takeId(target: Uint8Array, offset: number): boolean {
    const json = this.#json;
    const start = this.#position;
    if (start + 64 > json.length || offset + 32 > target.length) return false;
    let digits = 0;
    for (let byte = 0; byte < 32; byte++) {
      const high = hexDigits[json[start + byte * 2]!]!;
      const low = hexDigits[json[start + byte * 2 + 1]!]!;
      digits |= high | low;
      target[offset + byte] = (high << 4) | low;
    }
    this.#position = start + 64;
    return digits < 16;
  }

  /** A whole number below 2^32 without zeros before it, or -1. */
  #takeNumber(): number {
    const json = this.#json;
    const start = this.#position;
    let value = 0;
    let at = start;
    for (let digit = json[at]! - zero; digit >= 0 && digit <= 9; digit = json[++at]! - zero) value = value * 10 + digit;
    this.#position = at;
    const digits = at - start;
    if (digits === 0 || digits > mostDigits || (digits > 1 && json[start] === zero)) return -1;
    return value <= 0xffffffff ? value : -1;
  }
}
