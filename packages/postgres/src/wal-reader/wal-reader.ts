// Reads the write-ahead log from bytes: give it contiguous bytes in pieces of any size, take events. A record is told only
// when all of it is there, its CRC is right and it names the record before it; behind the first thing that is not valid
// nothing is told. How the bytes are split changes nothing. Only one page and, of the few records that are events, one
// record are held. Sources: src/backend/access/transam/xlogreader.c (the rules), README.md of this room.

import { formatLsn, parseLsn, type Lsn } from '../lsn.ts';
import { crc32cStart, finishCrc32c, makeWordBuffer, updateCrc32c } from './crc32c.ts';
import { checkPageHeader, type WalIdentity } from './page-check.ts';
import {
  firstIsContinuation,
  firstOverwritesContinuation,
  headerBytesOf,
  pageBytes,
  readPageHeader,
  shortHeaderBytes,
} from './page-header.ts';
import { RecordData, recordHeaderBytes, UnreadableRecord } from './record-data.ts';
import { decodeRecord, endsSegment, mayBeEvent } from './record-event.ts';
import { SplitRecord } from './split-record.ts';
import type { WalEnd, WalEndReason } from './wal-end.ts';
import type { WalEvent } from './wal-event.ts';

/** Where reading begins, and what is known already; what is not is learnt from the first page. */
export interface WalReaderStart {
  /** The beginning of a segment; with `known` also that of a page, or of a record. */
  readonly lsn: Lsn;
  readonly known?: Partial<WalIdentity>;
  /** Of the record that ends where reading begins: without it the first record's link to it is not checked. */
  readonly previousRecordLsn?: Lsn;
  /** The timeline whose WAL this is: pages of a later one are not valid. */
  readonly maximumTimeline?: number;
}

/** All that is needed to read on elsewhere or later, as JSON. The bytes have to be given from `nextLsn` on. */
export interface WalReaderState extends WalIdentity {
  readonly nextLsn: string;
  readonly previousRecordLsn: string | null;
}

/** `XLogRecordMaxSize`; longer ones are never written. */
const maxRecordBytes = 1020 * 1024 * 1024;
const crcOffset = 20;

export class WalReader {
  readonly #page = makeWordBuffer(pageBytes);
  readonly #view = new DataView(this.#page.bytes.buffer);
  readonly #maximumTimeline: number | undefined;
  #known: Partial<WalIdentity>;
  /** Position of the page, also in halves: in the many records that are no events bigints would cost too much. */
  #address = 0n;
  #addressHigh = 0;
  #addressLow = 0;
  /** In the page: end of what is there, and what comes next. */
  #filled: number;
  #at: number;
  /** Bytes to pass until the next segment. */
  #skipBytes = 0;
  /** Of a record that began before the first page: what is still to come. */
  #tailBytes = 0;
  /** Only the first page of all may begin with the rest of an unknown record. */
  #mayBeginWithTail: boolean;
  #split: SplitRecord | undefined;
  #hasPrevious: boolean;
  #previousHigh = 0;
  #previousLow = 0;
  /** End of the last valid record, as page and offset. */
  #endAddress: bigint;
  #endOffset = 0;
  #startLsn: Lsn;
  #recordCount = 0;
  #firstRecordLsn: Lsn | undefined;
  #end: WalEnd | undefined;

  /** RangeError when `lsn` is within a page and `known` does not say what its header would. */
  constructor({ lsn, known = {}, previousRecordLsn, maximumTimeline }: WalReaderStart) {
    const offset = Number(lsn % BigInt(pageBytes));
    if (offset > 0 && (known.major === undefined || known.segmentSizeBytes === undefined)) {
      throw new RangeError(`${formatLsn(lsn)} is within a page: version and segment size must be known.`);
    }
    if (offset % 8 !== 0 || (offset > 0 && offset < shortHeaderBytes)) {
      throw new RangeError(`No record begins at ${formatLsn(lsn)}.`);
    }
    this.#known = known;
    this.#maximumTimeline = maximumTimeline;
    this.#filled = offset;
    this.#at = offset;
    this.#setAddress(lsn - BigInt(offset));
    this.#endAddress = lsn;
    this.#startLsn = lsn;
    this.#hasPrevious = previousRecordLsn !== undefined;
    this.#mayBeginWithTail = offset === 0 && !this.#hasPrevious;
    if (previousRecordLsn !== undefined) {
      this.#previousHigh = Number(previousRecordLsn >> 32n);
      this.#previousLow = Number(previousRecordLsn & 0xffff_ffffn);
    }
  }

  /** Goes on where {@link state} was taken. */
  static resume(state: WalReaderState, options: { readonly maximumTimeline?: number } = {}): WalReader {
    const { nextLsn, previousRecordLsn, ...known } = state;
    return new WalReader({
      lsn: parseLsn(nextLsn),
      known,
      ...(previousRecordLsn === null ? {} : { previousRecordLsn: parseLsn(previousRecordLsn) }),
      ...options,
    });
  }

  /** Takes the next bytes, yields the events in them. Behind {@link end} bytes are ignored. */
  push(bytes: Uint8Array): WalEvent[] {
    const events: WalEvent[] = [];
    let at = 0;
    while (at < bytes.length && this.#end === undefined) {
      if (this.#skipBytes > 0) {
        const count = Math.min(this.#skipBytes, bytes.length - at);
        this.#skipBytes -= count;
        at += count;
        continue;
      }
      const count = Math.min(pageBytes - this.#filled, bytes.length - at);
      this.#page.bytes.set(bytes.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      this.#readPage(events);
    }
    return events;
  }

  /** Set once the bytes prove that no valid record follows. */
  get end(): WalEnd | undefined {
    return this.#end;
  }

  /** Where valid WAL ends when no more bytes come. */
  finish(): WalEnd {
    if (this.#end !== undefined) return this.#end;
    const lsn = this.nextLsn;
    const inputEnd = this.inputLsn;
    const tornBytes = inputEnd - lsn;
    const where = tornBytes > 0n ? `, ${tornBytes} bytes behind the last whole record` : '';
    const detail = `there is no more behind ${formatLsn(inputEnd)}${where}`;
    return { reason: 'end-of-input', lsn, faultLsn: inputEnd > lsn ? inputEnd : lsn, detail };
  }

  /** Undefined until the first page header was read. */
  get identity(): WalIdentity | undefined {
    const { major, systemId, segmentSizeBytes, timeline } = this.#known;
    if (major === undefined || systemId === undefined || segmentSizeBytes === undefined || timeline === undefined) {
      return undefined;
    }
    return { major, systemId, segmentSizeBytes, timeline };
  }

  /** Undefined until the first page header was read. */
  get state(): WalReaderState | undefined {
    const { identity } = this;
    if (!identity) return undefined;
    const previousRecordLsn = this.#hasPrevious ? formatLsn(this.#previousLsn) : null;
    return { ...identity, nextLsn: formatLsn(this.nextLsn), previousRecordLsn };
  }

  /** End of the last valid record, or where reading began. */
  get nextLsn(): Lsn {
    return (this.#endAddress + BigInt(this.#endOffset)) as Lsn;
  }

  /** Where reading began, or behind the rest of a record of which only the end was there. */
  get startLsn(): Lsn {
    return this.#startLsn;
  }

  /** Where the next byte that is pushed stands in the log. */
  get inputLsn(): Lsn {
    return (this.#address - BigInt(this.#skipBytes) + BigInt(this.#filled)) as Lsn;
  }

  /** Records read, of all kinds. */
  get recordCount(): number {
    return this.#recordCount;
  }

  get firstRecordLsn(): Lsn | undefined {
    return this.#firstRecordLsn;
  }

  get lastRecordLsn(): Lsn | undefined {
    return this.#recordCount === 0 ? undefined : this.#previousLsn;
  }

  get #previousLsn(): Lsn {
    return ((BigInt(this.#previousHigh) << 32n) | BigInt(this.#previousLow)) as Lsn;
  }

  #readPage(events: WalEvent[]): void {
    if (this.#at === 0 && !this.#enterPage()) return;
    while (this.#end === undefined && this.#at < pageBytes) {
      if (!this.#step(events)) return;
      // A switch went on to the next segment.
      if (this.#at === 0) return;
    }
    // The padding of the last record may still be to come.
    const isOver = this.#end === undefined && this.#filled === pageBytes;
    if (isOver) this.#beginPage(this.#address + BigInt(pageBytes));
  }

  #beginPage(address: bigint): void {
    this.#setAddress(address);
    this.#filled = 0;
    this.#at = 0;
  }

  #setAddress(address: bigint): void {
    this.#address = address;
    this.#addressHigh = Number(address >> 32n);
    this.#addressLow = Number(address & 0xffff_ffffn);
  }

  /** Reads the page header. False when there is not enough of it, or it is not valid. */
  #enterPage(): boolean {
    if (this.#filled < 4 || this.#filled < headerBytesOf(this.#view)) return false;
    const header = readPageHeader(this.#view);
    const address = this.#address as Lsn;
    const fault = checkPageHeader(header, { address, known: this.#known, maximumTimeline: this.#maximumTimeline });
    if (fault) return this.#fail(fault.reason, address, fault.detail);
    const { major, timeline, long } = header;
    if (long || this.#known.timeline !== timeline) {
      const file = long && { systemId: long.systemId, segmentSizeBytes: long.segmentSizeBytes };
      this.#known = { ...this.#known, ...(major && { major }), ...file, timeline };
    }
    this.#at = header.headerBytes;
    return this.#continueRecord(header.flags, header.remainingBytes);
  }

  /** Is what the page begins with the rest of the record under way? */
  #continueRecord(flags: number, remainingBytes: number): boolean {
    const mayBeginWithTail = this.#mayBeginWithTail;
    this.#mayBeginWithTail = false;
    if ((flags & firstOverwritesContinuation) !== 0) {
      // A crash cut the record off; the server began anew here.
      if (this.#tailBytes > 0) this.#startLsn = this.#address as Lsn;
      this.#split = undefined;
      this.#tailBytes = 0;
      return true;
    }
    const missing = this.#split?.missingBytes ?? this.#tailBytes;
    const promised = (flags & firstIsContinuation) === 0 ? 0 : remainingBytes;
    if (promised === missing) return true;
    if (mayBeginWithTail) {
      this.#tailBytes = promised;
      return true;
    }
    const detail = `the page at ${formatLsn(this.#address as Lsn)} continues a record with ${promised} bytes instead of ${missing}`;
    return this.#fail('broken-continuation', this.#address as Lsn, detail);
  }

  /** Takes one piece of the page. False when there is not enough of it, or it is not valid. */
  #step(events: WalEvent[]): boolean {
    if (this.#split !== undefined) return this.#readSplit(this.#split, events);
    if (this.#tailBytes > 0) return this.#passTail();
    const at = this.#at;
    if (this.#filled - at < 8) return false;
    const length = this.#page.words[at >> 2]! >>> 0;
    if (length < recordHeaderBytes || length > maxRecordBytes) return this.#failLength(length);
    if (at + length > pageBytes) {
      if (this.#filled < pageBytes) return false;
      this.#split = new SplitRecord((this.#address + BigInt(at)) as Lsn, length);
      return this.#readSplit(this.#split, events);
    }
    if (this.#filled < at + length) return false;
    return this.#readWhole(length, events);
  }

  #passTail(): boolean {
    const count = Math.min(this.#tailBytes, this.#filled - this.#at);
    this.#tailBytes -= count;
    this.#at += count;
    if (count === 0) return false;
    if (this.#tailBytes > 0) return true;
    this.#at = align8(this.#at);
    this.#startLsn = (this.#address + BigInt(this.#at)) as Lsn;
    this.#endAddress = this.#address;
    this.#endOffset = this.#at;
    return true;
  }

  /** A record that lies within the page: the common case, so it makes no objects. */
  #readWhole(length: number, events: WalEvent[]): boolean {
    const at = this.#at;
    const { words, bytes } = this.#page;
    const word = at >> 2;
    const low = this.#addressLow + at;
    const isLinked = this.#isLinked(words[word + 3]! >>> 0, words[word + 2]! >>> 0, this.#addressHigh, low);
    if (!isLinked) return this.#failLink((this.#address + BigInt(at)) as Lsn);
    let crc = updateCrc32c(crc32cStart, this.#page, at + recordHeaderBytes, at + length);
    crc = finishCrc32c(updateCrc32c(crc, this.#page, at, at + crcOffset));
    if (crc !== words[word + 5]) return this.#failCrc((this.#address + BigInt(at)) as Lsn);

    const info = bytes[at + 16]!;
    const resourceManager = bytes[at + 17]!;
    if (mayBeEvent(resourceManager, info)) {
      const lsn = (this.#address + BigInt(at)) as Lsn;
      const xid = words[word + 1]! >>> 0;
      const place = { view: this.#view, start: at, length };
      if (!this.#tell({ lsn, endOffset: align8(at + length), xid, info, resourceManager, place }, events)) return false;
    }
    this.#accept(this.#addressHigh, low, align8(at + length));
    if (endsSegment(resourceManager, info)) this.#skipToNextSegment();
    return true;
  }

  #readSplit(split: SplitRecord, events: WalEvent[]): boolean {
    const start = this.#at;
    const end = Math.min(start + split.missingBytes, pageBytes);
    if (this.#filled < end) return false;
    const hadHeader = split.hasHeader;
    split.add(this.#page, start, end);
    if (split.hasHeader && !hadHeader) {
      const high = Number(split.lsn >> 32n);
      const low = Number(split.lsn & 0xffff_ffffn);
      if (!this.#isLinked(split.previousHigh, split.previousLow, high, low)) return this.#failLink(split.lsn);
    }
    this.#at = end;
    if (split.missingBytes > 0) return true;
    if (!split.isCrcRight()) return this.#failCrc(split.lsn);

    const endOffset = align8(end);
    const { lsn, xid, info, resourceManager, kept } = split;
    if (kept && !this.#tell({ lsn, endOffset, xid, info, resourceManager, place: kept }, events)) return false;
    this.#split = undefined;
    this.#accept(Number(lsn >> 32n), Number(lsn & 0xffff_ffffn), endOffset);
    if (endsSegment(resourceManager, info)) this.#skipToNextSegment();
    return true;
  }

  #isLinked(previousHigh: number, previousLow: number, high: number, low: number): boolean {
    if (this.#hasPrevious) return previousHigh === this.#previousHigh && previousLow === this.#previousLow;
    return previousHigh < high || (previousHigh === high && previousLow < low);
  }

  #accept(high: number, low: number, endOffset: number): void {
    this.#hasPrevious = true;
    this.#previousHigh = high;
    this.#previousLow = low;
    this.#endAddress = this.#address;
    this.#endOffset = endOffset;
    this.#at = endOffset;
    this.#recordCount++;
    this.#firstRecordLsn ??= this.#previousLsn;
  }

  /** Decodes a record and tells its event. False when its content makes no sense. */
  #tell(
    record: {
      readonly lsn: Lsn;
      readonly endOffset: number;
      readonly xid: number;
      readonly info: number;
      readonly resourceManager: number;
      readonly place: { readonly view: DataView; readonly start: number; readonly length: number };
    },
    events: WalEvent[],
  ): boolean {
    const { lsn, xid, info, resourceManager, place } = record;
    const endLsn = endsSegment(resourceManager, info)
      ? this.#nextSegmentStart()
      : ((this.#address + BigInt(record.endOffset)) as Lsn);
    try {
      const data = RecordData.ofRecord(place.view, place.start, place.length);
      const major = this.#known.major;
      const event = major && decodeRecord({ lsn, endLsn, xid, info, resourceManager, data }, major);
      if (event) events.push(event);
      return true;
    } catch (error) {
      if (!(error instanceof UnreadableRecord)) throw error;
      const detail = `the record at ${formatLsn(lsn)} is not understood: ${error.message}`;
      return this.#fail('unreadable-record', lsn, detail);
    }
  }

  #nextSegmentStart(): Lsn {
    const size = BigInt(this.#known.segmentSizeBytes ?? pageBytes);
    return (this.#address - (this.#address % size) + size) as Lsn;
  }

  #skipToNextSegment(): void {
    const next = this.#nextSegmentStart();
    this.#skipBytes = Number(next - this.#address) - this.#filled;
    this.#endAddress = next;
    this.#endOffset = 0;
    this.#beginPage(next);
  }

  #failLength(length: number): boolean {
    const lsn = (this.#address + BigInt(this.#at)) as Lsn;
    // However the bytes are split, as much of the header is looked at as the page can hold.
    const end = Math.min(this.#at + recordHeaderBytes, pageBytes);
    if (this.#filled < end) return false;
    if (this.#page.bytes.subarray(this.#at, end).every((byte) => byte === 0)) {
      return this.#fail('zeros', lsn, `nothing was written from ${formatLsn(lsn)} on`);
    }
    return this.#fail('bad-length', lsn, `the record at ${formatLsn(lsn)} has a length of ${length} bytes`);
  }

  #failLink(lsn: Lsn): boolean {
    return this.#fail('wrong-previous', lsn, `the record at ${formatLsn(lsn)} does not name the record before it`);
  }

  #failCrc(lsn: Lsn): boolean {
    return this.#fail('bad-crc', lsn, `the CRC of the record at ${formatLsn(lsn)} is wrong`);
  }

  #fail(reason: WalEndReason, faultLsn: Lsn, detail: string): false {
    this.#end = { reason, lsn: this.nextLsn, faultLsn, detail };
    return false;
  }
}

function align8(offset: number): number {
  return (offset + 7) & ~7;
}
