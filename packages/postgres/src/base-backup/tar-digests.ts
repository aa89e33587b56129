// SHA-256 of every file in a tar that passes by. Only what PostgreSQL writes into its tars: ustar headers, sizes in octal or
// base 256, plain files, folders and links. Format: POSIX.1-2017, pax, "ustar Interchange Format"; src/port/tar.c.

import { createHash, type Hash } from 'node:crypto';
import { AppError } from '@varve/base';

/** A file that has passed. */
export interface FileDigest {
  readonly sizeBytes: number;
  readonly sha256: string;
}

const blockBytes = 512;
const nameBytes = 100;
const sizeOffset = 124;
const sizeBytes = 12;
const typeOffset = 156;

/** Feed it the bytes of one tar, cut anywhere. Throws DATABASE_PROTOCOL for what is no tar. */
export class TarDigests {
  /** By name in the tar, without a leading `./`. */
  readonly files = new Map<string, FileDigest>();
  readonly #header = Buffer.alloc(blockBytes);
  #headerFilled = 0;
  #name = '';
  #sizeBytes = 0;
  #hash: Hash | undefined;
  #contentLeft = 0;
  #paddingLeft = 0;

  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      if (this.#contentLeft > 0) {
        const taken = chunk.subarray(at, at + this.#contentLeft);
        this.#hash?.update(taken);
        this.#contentLeft -= taken.length;
        at += taken.length;
        if (this.#contentLeft === 0) this.#finishFile();
      } else if (this.#paddingLeft > 0) {
        const passed = Math.min(this.#paddingLeft, chunk.length - at);
        this.#paddingLeft -= passed;
        at += passed;
      } else {
        const taken = chunk.subarray(at, at + blockBytes - this.#headerFilled);
        this.#header.set(taken, this.#headerFilled);
        this.#headerFilled += taken.length;
        at += taken.length;
        if (this.#headerFilled === blockBytes) this.#readHeader();
      }
    }
  }

  /** Throws DATABASE_PROTOCOL when the tar ended within a file. */
  end(): void {
    if (this.#contentLeft === 0 && this.#paddingLeft === 0 && this.#headerFilled === 0) return;
    throw new AppError('DATABASE_PROTOCOL', `The base backup ends within the file ${this.#name}.`, { retry: true });
  }

  #readHeader(): void {
    this.#headerFilled = 0;
    const header = this.#header;
    // Blocks of zeros end the archive.
    if (header[0] === 0) return;
    const type = String.fromCharCode(header[typeOffset] ?? 0);
    this.#name = textOf(header.subarray(0, nameBytes)).replace(/^\.\//, '');
    this.#sizeBytes = type === '0' || type === '\0' ? numberOf(header.subarray(sizeOffset, sizeOffset + sizeBytes)) : 0;
    if (type !== '0' && type !== '\0') return;
    this.#hash = createHash('sha256');
    this.#contentLeft = this.#sizeBytes;
    this.#paddingLeft = (blockBytes - (this.#sizeBytes % blockBytes)) % blockBytes;
    if (this.#contentLeft === 0) this.#finishFile();
  }

  #finishFile(): void {
    const sha256 = this.#hash?.digest('hex') ?? '';
    this.#hash = undefined;
    this.files.set(this.#name, { sizeBytes: this.#sizeBytes, sha256 });
  }
}

/** As in the manifest: UTF-8 where it is that, otherwise Latin-1. */
function textOf(field: Buffer): string {
  const end = field.indexOf(0);
  const bytes = end === -1 ? field : field.subarray(0, end);
  const text = bytes.toString('utf8');
  return text.includes('\uFFFD') ? bytes.toString('latin1') : text;
}

function numberOf(field: Buffer): number {
  if (((field[0] ?? 0) & 0x80) !== 0) {
    return Number(field.subarray(1).reduce((value, byte) => value * 256n + BigInt(byte), 0n));
  }
  const text = textOf(field).trim();
  const value = Number.parseInt(text, 8);
  if (/^[0-7]+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new AppError('DATABASE_PROTOCOL', 'The server sent an archive with a size that is not understood.');
}
