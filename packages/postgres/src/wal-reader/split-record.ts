// A record that crosses pages, while its pieces come in. Its content is kept only when the record may be an event.

import type { Lsn } from '../lsn.ts';
import { crc32cStart, finishCrc32c, makeWordBuffer, updateCrc32c, type WordBuffer } from './crc32c.ts';
import { recordHeaderBytes } from './record-data.ts';
import { mayBeEvent } from './record-event.ts';

const crcOffset = 20;

export class SplitRecord {
  readonly lsn: Lsn;
  readonly #length: number;
  readonly #header = makeWordBuffer(recordHeaderBytes);
  readonly #pieces: Uint8Array[] = [];
  #received = 0;
  #crc = crc32cStart;

  constructor(lsn: Lsn, length: number) {
    this.lsn = lsn;
    this.#length = length;
  }

  get missingBytes(): number {
    return this.#length - this.#received;
  }

  get hasHeader(): boolean {
    return this.#received >= recordHeaderBytes;
  }

  get xid(): number {
    return this.#header.words[1]! >>> 0;
  }

  get previousLow(): number {
    return this.#header.words[2]! >>> 0;
  }

  get previousHigh(): number {
    return this.#header.words[3]! >>> 0;
  }

  get info(): number {
    return this.#header.bytes[16]!;
  }

  get resourceManager(): number {
    return this.#header.bytes[17]!;
  }

  /** The whole record, when it may be an event. */
  get kept(): { readonly view: DataView; readonly start: number; readonly length: number } | undefined {
    if (!mayBeEvent(this.resourceManager, this.info)) return undefined;
    const whole = Buffer.concat([this.#header.bytes, ...this.#pieces]);
    const view = new DataView(whole.buffer, whole.byteOffset, whole.length);
    return { view, start: 0, length: whole.length };
  }

  /** Takes the bytes [start, end) of a page; pieces begin on multiples of 8 in the page, as records do. */
  add(page: WordBuffer, start: number, end: number): void {
    const headerPart = Math.max(0, Math.min(recordHeaderBytes - this.#received, end - start));
    if (headerPart > 0) this.#header.bytes.set(page.bytes.subarray(start, start + headerPart), this.#received);
    this.#received += end - start;
    const bodyStart = start + headerPart;
    if (bodyStart === end) return;
    this.#crc = updateCrc32c(this.#crc, page, bodyStart, end);
    // By now the header is whole.
    if (mayBeEvent(this.resourceManager, this.info)) this.#pieces.push(page.bytes.slice(bodyStart, end));
  }

  isCrcRight(): boolean {
    return finishCrc32c(updateCrc32c(this.#crc, this.#header, 0, crcOffset)) === this.#header.words[5];
  }
}
