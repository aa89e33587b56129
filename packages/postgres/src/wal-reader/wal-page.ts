// The page that is being read: its bytes as they come in, how far it was read, and where it stands in the log.

import type { Lsn } from '../lsn.ts';
import { pageBytes } from '../wal/page-header.ts';
import { makeWordBuffer } from './crc32c.ts';

export class WalPage {
  readonly buffer = makeWordBuffer(pageBytes);
  readonly view = new DataView(this.buffer.bytes.buffer);
  /** End of what is there. */
  filled: number;
  /** What is read next; 0 when that is the page's header. May lie behind `filled`, when padding is still to come. */
  at: number;
  #address = 0n;
  /** The address in halves: for the many records that are no events bigints would cost too much. */
  #high = 0;
  #low = 0;
  /** Bytes to pass before this page. */
  #skipBytes = 0;

  /** The page of a position; what stands before the position counts as read. */
  constructor(lsn: Lsn) {
    const offset = Number(lsn % BigInt(pageBytes));
    this.filled = offset;
    this.at = offset;
    this.#setAddress(lsn - BigInt(offset));
  }

  get address(): Lsn {
    return this.#address as Lsn;
  }

  get addressHigh(): number {
    return this.#high;
  }

  get addressLow(): number {
    return this.#low;
  }

  get isFull(): boolean {
    return this.filled === pageBytes;
  }

  /** Where the next byte that is taken stands in the log. */
  get inputLsn(): Lsn {
    return (this.#address - BigInt(this.#skipBytes) + BigInt(this.filled)) as Lsn;
  }

  lsnAt(offset: number): Lsn {
    return (this.#address + BigInt(offset)) as Lsn;
  }

  /** Takes bytes from `from` on, at most to the end of the page. Yields how many. */
  take(bytes: Uint8Array, from: number): number {
    if (this.#skipBytes > 0) {
      const skipped = Math.min(this.#skipBytes, bytes.length - from);
      this.#skipBytes -= skipped;
      return skipped;
    }
    const count = Math.min(pageBytes - this.filled, bytes.length - from);
    this.buffer.bytes.set(bytes.subarray(from, from + count), this.filled);
    this.filled += count;
    return count;
  }

  /** Goes on to the next page. */
  turn(): void {
    this.#begin(this.#address + BigInt(pageBytes));
  }

  /** Goes on to a later page; what is taken until then is passed. */
  skipTo(address: Lsn): void {
    this.#skipBytes = Number(address - this.#address) - this.filled;
    this.#begin(address);
  }

  #begin(address: bigint): void {
    this.#setAddress(address);
    this.filled = 0;
    this.at = 0;
  }

  #setAddress(address: bigint): void {
    this.#address = address;
    this.#high = Number(address >> 32n);
    this.#low = Number(address & 0xffff_ffffn);
  }
}
