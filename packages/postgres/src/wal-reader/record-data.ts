// A record as the decoders see it: its place, its header and a reader of its main data.
// Source: src/include/access/xlogrecord.h.

import { lsnFromBigInt, type Lsn } from '../lsn.ts';
import { unixMicrosOf } from './wal-time.ts';

/** Bytes of a record before its parts: length, transaction, previous record, flags, resource manager, CRC. */
export const recordHeaderBytes = 24;

/** Records begin on multiples of 8, whatever the length of the one before (MAXALIGN). */
export function align8(offset: number): number {
  return (offset + 7) & ~7;
}

export interface WalRecord {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  readonly xid: number;
  /** Low four bits are the machinery's, the high ones the kind of record. */
  readonly info: number;
  readonly resourceManager: number;
  readonly data: RecordData;
}

/** The record's content is not what its kind says, though its CRC is right. */
export class UnreadableRecord extends Error {}

const partShortData = 255;
const partLongData = 254;
const partOrigin = 253;
const partTopLevelXid = 252;
const originBytes = 2;
const xidBytes = 4;

/** Reads fields one after another; UnreadableRecord when the data ends before. */
export class RecordData {
  readonly #view: DataView;
  readonly #end: number;
  #at: number;

  private constructor(view: DataView, start: number, end: number) {
    this.#view = view;
    this.#at = start;
    this.#end = end;
  }

  /**
   * The main data of a record that stands at [start, start + length) of the view. The records that are decoded have no
   * block references; one that has any is unreadable.
   */
  static ofRecord(view: DataView, start: number, length: number): RecordData {
    const end = start + length;
    const header = new RecordData(view, start + recordHeaderBytes, end);
    while (header.#at < end) {
      const part = header.u8();
      if (part === partOrigin) header.skip(originBytes);
      else if (part === partTopLevelXid) header.skip(xidBytes);
      else if (part === partShortData || part === partLongData) {
        const dataBytes = part === partShortData ? header.u8() : header.u32();
        if (header.#at + dataBytes !== end) throw new UnreadableRecord(`${dataBytes} bytes of data do not fill it`);
        return new RecordData(view, header.#at, end);
      } else throw new UnreadableRecord(`a part of kind ${part} is not expected in it`);
    }
    // A record without data, such as a switch, has no part for it.
    return header;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  lsn(): Lsn {
    return lsnFromBigInt(this.u64());
  }

  unixMicros(): number {
    return unixMicrosOf(this.i64());
  }

  skip(bytes: number): void {
    this.#take(bytes);
  }

  /** Passes a count of 32 bits and as many items. Yields the count. */
  skipItems(itemBytes: number): number {
    const count = this.i32();
    if (count < 0) throw new UnreadableRecord(`it counts ${count} items`);
    this.skip(count * itemBytes);
    return count;
  }

  /** Text that ends with a zero byte, which is passed, or with the data. */
  text(): string {
    const bytes = new Uint8Array(this.#view.buffer, this.#view.byteOffset + this.#at, this.#end - this.#at);
    const zero = bytes.indexOf(0);
    this.#at += zero === -1 ? bytes.length : zero + 1;
    // Decoded from a copy of its own: the bytes may be a page that is overwritten.
    return Buffer.from(zero === -1 ? bytes : bytes.subarray(0, zero)).toString('utf8');
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#end) throw new UnreadableRecord('it is shorter than its kind needs');
    this.#at = at + bytes;
    return at;
  }
}
