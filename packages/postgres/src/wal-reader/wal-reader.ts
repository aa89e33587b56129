// Reads the write-ahead log from bytes: give it contiguous bytes in pieces of any size, take events. A record is told only
// when all of it is there, its CRC is right and it names the record before it; behind the first thing that is not valid
// nothing is told. How the bytes are split changes nothing. Only one page and, of the few records that are events, one
// record are held. Sources: src/backend/access/transam/xlogreader.c (the rules), README.md of this room.

import { formatLsn, parseLsn, type Lsn } from '../lsn.ts';
import {
  firstIsContinuation,
  firstOverwritesContinuation,
  headerBytesOf,
  pageBytes,
  readPageHeader,
  shortHeaderBytes,
} from '../wal/page-header.ts';
import { crc32cStart, finishCrc32c, updateCrc32c } from './crc32c.ts';
import { checkPageHeader, type WalIdentity } from './page-check.ts';
import { align8, RecordData, recordHeaderBytes, UnreadableRecord } from './record-data.ts';
import { decodeRecord, endsSegment, mayBeEvent } from './record-event.ts';
import { SplitRecord } from './split-record.ts';
import type { WalEnd, WalEndReason } from './wal-end.ts';
import type { WalEvent } from './wal-event.ts';
import { WalPage } from './wal-page.ts';

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
  readonly #page: WalPage;
  readonly #maximumTimeline: number | undefined;
  #known: Partial<WalIdentity>;
  /** Of a record that began before the first page: what is still to come. */
  #tailBytes = 0;
  /** Only the first page of all may begin with the rest of an unknown record. */
  #mayBeginWithTail: boolean;
  #split: SplitRecord | undefined;
  #hasPrevious: boolean;
  #previousHigh = 0;
  #previousLow = 0;
  /** End of the last valid record, as page and offset, and the timeline of that page. */
  #endAddress: bigint;
  #endOffset = 0;
  #endTimeline: number | undefined;
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
    this.#page = new WalPage(lsn);
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
      at += this.#page.take(bytes, at);
      if (this.#page.filled > 0) this.#readPage(events);
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
    const timeline = this.#endTimeline ?? identity.timeline;
    return { ...identity, timeline, nextLsn: formatLsn(this.nextLsn), previousRecordLsn };
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
    return this.#page.inputLsn;
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
    const page = this.#page;
    if (page.at === 0 && !this.#enterPage()) return;
    while (this.#end === undefined && page.at < pageBytes) {
      if (!this.#step(events)) return;
      // A switch went on to the next segment.
      if (page.at === 0) return;
    }
    // The padding of the last record may still be to come.
    if (this.#end === undefined && page.isFull) page.turn();
  }

  /** Reads the page header. False when there is not enough of it, or it is not valid. */
  #enterPage(): boolean {
    const { view, filled, address } = this.#page;
    if (filled < 4 || filled < headerBytesOf(view)) return false;
    const header = readPageHeader(view);
    const fault = checkPageHeader(header, { address, known: this.#known, maximumTimeline: this.#maximumTimeline });
    if (fault) return this.#fail(fault.reason, address, fault.detail);
    const { major, timeline, long } = header;
    if (long || this.#known.timeline !== timeline) {
      const file = long && { systemId: long.systemId, segmentSizeBytes: long.segmentSizeBytes };
      this.#known = { ...this.#known, ...(major && { major }), ...file, timeline };
    }
    this.#page.at = header.headerBytes;
    return this.#continueRecord(header.flags, header.remainingBytes);
  }

  /** Is what the page begins with the rest of the record under way? */
  #continueRecord(flags: number, remainingBytes: number): boolean {
    const mayBeginWithTail = this.#mayBeginWithTail;
    this.#mayBeginWithTail = false;
    if ((flags & firstOverwritesContinuation) !== 0) {
      // A crash cut the record off; the server began anew here.
      if (this.#tailBytes > 0) this.#beginAt(0);
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
    const { address } = this.#page;
    const detail = `the page at ${formatLsn(address)} continues a record with ${promised} bytes instead of ${missing}`;
    return this.#fail('broken-continuation', address, detail);
  }

  /** Takes one piece of the page. False when there is not enough of it, or it is not valid. */
  #step(events: WalEvent[]): boolean {
    if (this.#split !== undefined) return this.#readSplit(this.#split, events);
    if (this.#tailBytes > 0) return this.#passTail();
    const { at, filled, buffer } = this.#page;
    if (filled - at < 8) return false;
    const length = buffer.words[at >> 2]! >>> 0;
    if (length < recordHeaderBytes || length > maxRecordBytes) return this.#failLength(length);
    if (at + length > pageBytes) {
      if (filled < pageBytes) return false;
      this.#split = new SplitRecord(this.#page.lsnAt(at), length);
      return this.#readSplit(this.#split, events);
    }
    if (filled < at + length) return false;
    return this.#readWhole(length, events);
  }

  #passTail(): boolean {
    const page = this.#page;
    const count = Math.min(this.#tailBytes, page.filled - page.at);
    if (count === 0) return false;
    this.#tailBytes -= count;
    page.at += count;
    if (this.#tailBytes > 0) return true;
    page.at = align8(page.at);
    this.#beginAt(page.at);
    return true;
  }

  /** Behind the rest of an unknown record: here begins what can be read. */
  #beginAt(offset: number): void {
    this.#startLsn = this.#page.lsnAt(offset);
    this.#endAddress = this.#page.address;
    this.#endOffset = offset;
    this.#endTimeline = this.#known.timeline;
  }

  /** A record that lies within the page: the common case, so it makes no objects. */
  #readWhole(length: number, events: WalEvent[]): boolean {
    const page = this.#page;
    const { at, buffer } = page;
    const { words, bytes } = buffer;
    const word = at >> 2;
    const high = page.addressHigh;
    const low = page.addressLow + at;
    const isLinked = this.#isLinked(words[word + 3]! >>> 0, words[word + 2]! >>> 0, high, low);
    if (!isLinked) return this.#failLink(page.lsnAt(at));
    let crc = updateCrc32c(crc32cStart, buffer, at + recordHeaderBytes, at + length);
    crc = finishCrc32c(updateCrc32c(crc, buffer, at, at + crcOffset));
    if (crc !== words[word + 5]) return this.#failCrc(page.lsnAt(at));

    const info = bytes[at + 16]!;
    const resourceManager = bytes[at + 17]!;
    if (mayBeEvent(resourceManager, info)) {
      const xid = words[word + 1]! >>> 0;
      const place = { view: page.view, start: at, length };
      if (
        !this.#tell({ lsn: page.lsnAt(at), endOffset: align8(at + length), xid, info, resourceManager, place }, events)
      )
        return false;
    }
    this.#accept(high, low, align8(at + length));
    if (endsSegment(resourceManager, info)) this.#skipToNextSegment();
    return true;
  }

  #readSplit(split: SplitRecord, events: WalEvent[]): boolean {
    const page = this.#page;
    const start = page.at;
    const end = Math.min(start + split.missingBytes, pageBytes);
    if (page.filled < end) return false;
    const hadHeader = split.hasHeader;
    split.add(page.buffer, start, end);
    if (split.hasHeader && !hadHeader) {
      const high = Number(split.lsn >> 32n);
      const low = Number(split.lsn & 0xffff_ffffn);
      if (!this.#isLinked(split.previousHigh, split.previousLow, high, low)) return this.#failLink(split.lsn);
    }
    page.at = end;
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
    this.#endAddress = this.#page.address;
    this.#endOffset = endOffset;
    this.#endTimeline = this.#known.timeline;
    this.#page.at = endOffset;
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
    const endLsn = endsSegment(resourceManager, info) ? this.#nextSegmentStart() : this.#page.lsnAt(record.endOffset);
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
    const { address } = this.#page;
    return (address - (address % size) + size) as Lsn;
  }

  #skipToNextSegment(): void {
    const next = this.#nextSegmentStart();
    this.#page.skipTo(next);
    this.#endAddress = next;
    this.#endOffset = 0;
  }

  #failLength(length: number): boolean {
    const { at, filled, buffer } = this.#page;
    const lsn = this.#page.lsnAt(at);
    // However the bytes are split, as much of the header is looked at as the page can hold.
    const end = Math.min(at + recordHeaderBytes, pageBytes);
    if (filled < end) return false;
    if (buffer.bytes.subarray(at, end).every((byte) => byte === 0)) {
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
