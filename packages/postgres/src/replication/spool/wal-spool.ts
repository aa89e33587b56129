// A folder where WAL becomes durable before it is acknowledged. Bytes are collected and written in groups: one write and one
// fdatasync for all that came in between. Segments are finished (checked, renamed) when their last byte is durable. A full disk
// or a full spool makes writers wait; nothing is dropped and nothing that is not durable is reported as such.

import assert from 'node:assert';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, isAppError, messageOf, sleep, systemErrorCode } from '@varve/base';
import { formatLsn, lsnFromBigInt, type Lsn } from '../../lsn.ts';
import {
  advance,
  offsetInSegment,
  parseSegmentName,
  segmentNameAt,
  segmentStart,
  type WalPosition,
} from '../../wal/segments.ts';
import { syncFolder } from './durable-files.ts';
import { SegmentWriter } from './segment-writer.ts';
import {
  findStand,
  listSegments,
  partialSuffix,
  readSpoolState,
  writeSpoolState,
  type SpoolSegment,
  type SpoolStand,
  type SpoolState,
} from './spool-folder.ts';
import { lockSpool } from './spool-lock.ts';

export interface WalSpoolOptions {
  readonly folder: string;
  /** Least time between two groups. Default 50 ms: the price of a commit's way to the disk is at most that and one fsync. */
  readonly syncIntervalMs?: number | undefined;
  /** A group is written at once when it has this many bytes. Default 1 MiB. */
  readonly syncBytes?: number | undefined;
  /** WAL in the folder above which nothing more is written until segments are taken away. Default: no limit. */
  readonly maxBytes?: number | undefined;
}

/** Why a spool waits: no room on the disk, or more in it than `maxBytes`. */
export type SpoolBlock = { readonly reason: 'disk-full'; readonly error: AppError } | { readonly reason: 'spool-full' };

/** What a spool tells whoever writes into it. */
export interface SpoolListener {
  onDurable(): void;
  onSegment(segment: SpoolSegment): void;
  onBlocked(block: SpoolBlock): void;
  onUnblocked(): void;
  /** Nothing more can be written; the spool must be opened anew. */
  onFailure(error: AppError): void;
}

const defaultSyncIntervalMs = 50;
const defaultSyncBytes = 1 << 20;
/** Received and not durable yet: above it the reader waits. */
const pendingLimitBytes = 8 << 20;
/** Bytes of one write: below the limit, so that a slow disk does not get all at once. */
const groupLimitBytes = 4 << 20;
const roomPollMs = 500;

interface Piece {
  readonly lsn: Lsn;
  readonly bytes: Uint8Array;
}

/** Opened by {@link WalSpool.open}; whoever opened it closes it (`await using`). */
export class WalSpool {
  readonly folder: string;
  readonly #options: WalSpoolOptions;
  readonly #lock: AsyncDisposable;
  readonly #stopping = new AbortController();
  #listener: SpoolListener | undefined;
  #state: SpoolState | undefined;
  #stand: SpoolStand | undefined;
  #writer: SegmentWriter | undefined;
  #received: Lsn | undefined;
  #durable: Lsn | undefined;
  #pending: Piece[] = [];
  #pendingBytes = 0;
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastGroupAtMs = Number.NEGATIVE_INFINITY;
  #room: PromiseWithResolvers<void> | undefined;
  #freed: PromiseWithResolvers<void> | undefined;
  #storedBytes = 0;
  #isBlocked = false;
  #failure: AppError | undefined;

  private constructor(options: WalSpoolOptions, lock: AsyncDisposable, state: SpoolState | undefined) {
    this.folder = options.folder;
    this.#options = options;
    this.#lock = lock;
    this.#state = state;
  }

  /** Opens or makes the folder. Throws WAL_SPOOL_FAILED when another process has it or it cannot be used. */
  static async open(options: WalSpoolOptions): Promise<WalSpool> {
    try {
      await mkdir(options.folder, { recursive: true, mode: 0o700 });
      const lock = await lockSpool(options.folder);
      try {
        return new WalSpool(options, lock, await readSpoolState(options.folder));
      } catch (error) {
        await lock[Symbol.asyncDispose]();
        throw error;
      }
    } catch (error) {
      throw failureOf(error, options.folder);
    }
  }

  /** Whose WAL it holds; undefined while it holds none. */
  get state(): SpoolState | undefined {
    return this.#state;
  }

  /** Everything before has been handed over. Undefined before the first {@link WalSpool.begin} or {@link WalSpool.resume}. */
  get received(): Lsn | undefined {
    return this.#received;
  }

  /** Everything before is durable. */
  get durable(): Lsn | undefined {
    return this.#durable;
  }

  get failure(): AppError | undefined {
    return this.#failure;
  }

  /** The segment that is being written, and how much of it is durable. */
  get openSegment(): { readonly name: string; readonly path: string; readonly durableBytes: number } | undefined {
    const writer = this.#writer;
    if (!writer || this.#durable === undefined || !this.#state) return undefined;
    const durableBytes = offsetInSegment(this.#durable, this.#state.segmentBytes);
    return { name: writer.name, path: writer.partialPath, durableBytes };
  }

  listen(listener: SpoolListener | undefined): void {
    this.#listener = listener;
  }

  /** Where the WAL in the folder ends; undefined for a spool that has none. */
  async end(): Promise<WalPosition | undefined> {
    if (!this.#state) return undefined;
    this.#stand ??= await this.#guard(findStand(this.folder, this.#state));
    const received = this.#received;
    const { timeline, end } = this.#stand;
    return { timeline, lsn: received !== undefined && received > end ? received : end };
  }

  /** Makes it the spool of a cluster, from the start of the segment of a position on. Files that are there stay. */
  async begin(source: Omit<SpoolState, 'position'>, position: WalPosition): Promise<WalPosition> {
    await this.#settle();
    const { systemId, segmentBytes, pageBytes } = source;
    const { maxBytes } = this.#options;
    if (maxBytes !== undefined && maxBytes < 2 * segmentBytes) {
      throw new AppError('USAGE_INVALID', `A spool needs room for two segments of ${segmentBytes} bytes at least.`);
    }
    const lsn = segmentStart(position.lsn, segmentBytes);
    const state = { systemId, segmentBytes, pageBytes, position: { timeline: position.timeline, lsn } };
    await this.#guard(writeSpoolState(this.folder, state));
    this.#state = state;
    this.#stand = { timeline: position.timeline, end: lsn, trusted: lsn };
    this.#received = undefined;
    this.#durable = undefined;
    return this.resume();
  }

  /**
   * Prepares for WAL from the start of the current segment on, which is returned: ask the server for it. What is in the file is
   * compared with what comes. `acknowledged` is what the server says that we reported as durable.
   */
  async resume(acknowledged?: Lsn): Promise<WalPosition> {
    const end = await this.end();
    assert(end && this.#state && this.#stand, 'a spool has an owner before it resumes');
    await this.#settle();
    const { segmentBytes } = this.#state;
    const start = segmentStart(end.lsn, segmentBytes);
    const known = [this.#stand.trusted, this.#durable, acknowledged].filter((lsn) => lsn !== undefined);
    // Only what is in the file can be trusted.
    const trusted = known.reduce((best, lsn) => (lsn > best && lsn <= end.lsn ? lsn : best), start);
    this.#stand = { timeline: end.timeline, end: end.lsn, trusted };
    this.#received = start;
    this.#durable = trusted;
    this.#storedBytes = await this.#countBytes();
    return { timeline: end.timeline, lsn: start };
  }

  /**
   * Takes bytes, which must follow the last ones. A promise: wait for it before the next call. Throws what the spool failed
   * with, DATABASE_PROTOCOL for bytes that do not follow.
   */
  append(lsn: Lsn, bytes: Uint8Array): Promise<void> | undefined {
    if (this.#failure) throw this.#failure;
    assert(this.#received !== undefined && !this.#stopping.signal.aborted, 'the spool is open and prepared');
    if (lsn !== this.#received) {
      throw new AppError(
        'DATABASE_PROTOCOL',
        `The server sent WAL from ${formatLsn(lsn)} where ${formatLsn(this.#received)} follows.`,
        { retry: true },
      );
    }
    if (bytes.length === 0) return undefined;
    this.#pending.push({ lsn, bytes });
    this.#pendingBytes += bytes.length;
    this.#received = advance(lsn, bytes.length);
    this.#schedule(false);
    if (this.#pendingBytes <= pendingLimitBytes) return undefined;
    this.#room ??= Promise.withResolvers();
    return this.#room.promise;
  }

  /** Starts the next group at once, whatever the interval says. */
  hurry(): void {
    if (this.#pendingBytes > 0) this.#schedule(true);
  }

  /** Resolves when everything that was handed over is durable. */
  async sync(): Promise<void> {
    while (this.#pendingBytes > 0 && !this.#failure && !this.#stopping.signal.aborted) {
      this.#schedule(true);
      await this.#flushing;
    }
    if (this.#failure) throw this.#failure;
  }

  /** Ends a timeline, whose last segment stays as `.partial`, and goes on with the segment of a position on the next one. */
  async switchTimeline(next: WalPosition): Promise<WalPosition> {
    assert(this.#state, 'a spool has an owner before its timeline ends');
    await this.sync();
    return this.begin(this.#state, next);
  }

  /** Removes a finished segment that is safe elsewhere. One that is not there is no error. */
  async release(name: string): Promise<void> {
    if (!parseSegmentName(name, this.#current.segmentBytes)) {
      throw new AppError('USAGE_INVALID', `“${name}” is not the name of a WAL segment.`);
    }
    await this.#guard(rm(join(this.folder, name), { force: true }));
    this.#freed?.resolve();
  }

  /** Stops; what is not durable yet is dropped, because the server has it. Waits for a write under way. */
  async close(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#stopping.abort();
    clearTimeout(this.#timer);
    this.#room?.resolve();
    await this.#flushing;
    await this.#writer?.close().catch(() => {});
    await this.#lock[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Everything handed over is on disk and the file closed. */
  async #settle(): Promise<void> {
    await this.sync();
    const writer = this.#writer;
    this.#writer = undefined;
    if (writer) await this.#guard(writer.close());
  }

  #schedule(isUrgent: boolean): void {
    if (this.#flushing || this.#failure || this.#stopping.signal.aborted) return;
    const interval = this.#options.syncIntervalMs ?? defaultSyncIntervalMs;
    const isLarge = this.#pendingBytes >= (this.#options.syncBytes ?? defaultSyncBytes);
    const waitMs = isUrgent || isLarge ? 0 : this.#lastGroupAtMs + interval - performance.now();
    if (waitMs > 0) {
      this.#timer ??= setTimeout(() => this.#flush(), waitMs);
      return;
    }
    if (isUrgent || isLarge) this.#flush();
    // After a pause the first bytes go at once, but with all that came in the same turn.
    else this.#timer ??= setTimeout(() => this.#flush(), 0);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#flushing) return;
    this.#lastGroupAtMs = performance.now();
    this.#flushing = this.#flushGroup()
      .catch((error: unknown) => {
        if (!this.#stopping.signal.aborted) this.#fail(failureOf(error, this.folder));
      })
      .finally(() => {
        this.#flushing = undefined;
        if (this.#pendingBytes > 0) this.#schedule(false);
      });
  }

  async #flushGroup(): Promise<void> {
    const { lsn, bytes } = this.#takeGroup();
    await this.#whenThereIsRoom(bytes.length, async () => {
      this.#writer ??= await this.#openWriter(lsn);
      await this.#writer.write(offsetInSegment(lsn, this.#current.segmentBytes), bytes);
    });
    const end = advance(lsn, bytes.length);
    if (offsetInSegment(end, this.#current.segmentBytes) === 0) await this.#finishSegment(end);
    this.#pendingBytes -= bytes.length;
    if (this.#durable === undefined || end > this.#durable) this.#durable = end;
    if (this.#room && this.#pendingBytes <= pendingLimitBytes / 2) {
      this.#room.resolve();
      this.#room = undefined;
    }
    this.#listener?.onDurable();
  }

  get #current(): SpoolState {
    assert(this.#state, 'a spool has an owner before it is written to');
    return this.#state;
  }

  /** The next bytes up to a limit or the end of their segment. They count as pending until they are durable. */
  #takeGroup(): Piece {
    const first = this.#pending[0];
    assert(first, 'a group has bytes');
    const { segmentBytes } = this.#current;
    const limit = Math.min(groupLimitBytes, segmentBytes - offsetInSegment(first.lsn, segmentBytes));
    const pieces: Uint8Array[] = [];
    let taken = 0;
    let count = 0;
    for (const { lsn, bytes } of this.#pending) {
      const room = limit - taken;
      if (room === 0) break;
      if (bytes.length > room) {
        pieces.push(bytes.subarray(0, room));
        this.#pending[count] = { lsn: advance(lsn, room), bytes: bytes.subarray(room) };
        taken += room;
        break;
      }
      pieces.push(bytes);
      taken += bytes.length;
      count++;
    }
    this.#pending.splice(0, count);
    return { lsn: first.lsn, bytes: Buffer.concat(pieces, taken) };
  }

  async #openWriter(lsn: Lsn): Promise<SegmentWriter> {
    const { segmentBytes, pageBytes, systemId } = this.#current;
    const stand = this.#stand;
    assert(stand, 'a spool is prepared before it is written to');
    const { timeline } = stand;
    const start = segmentStart(lsn, segmentBytes);
    const path = join(this.folder, segmentNameAt({ timeline, lsn: start }, segmentBytes));
    const bytesOf = (end: Lsn): number => Math.min(segmentBytes, Math.max(0, Number(end - start)));
    const writer = await SegmentWriter.open({
      path,
      partialPath: `${path}${partialSuffix}`,
      identity: { timeline, start, segmentBytes, pageBytes, systemId },
      existingBytes: bytesOf(stand.end),
      trustedBytes: bytesOf(stand.trusted),
    });
    // The name of a new file must survive a power cut as well as its bytes.
    await syncFolder(this.folder);
    return writer;
  }

  async #finishSegment(end: Lsn): Promise<void> {
    const writer = this.#writer;
    const { timeline } = this.#stand ?? { timeline: 0 };
    assert(writer, 'a segment that ends has a file');
    const state = { ...this.#current, position: { timeline, lsn: end } };
    const { name } = writer;
    let isFinished = false;
    await this.#whenThereIsRoom(0, async () => {
      if (!isFinished) await writer.finish();
      isFinished = true;
      await writeSpoolState(this.folder, state);
    });
    this.#writer = undefined;
    this.#state = state;
    this.#stand = { timeline, end, trusted: end };
    this.#storedBytes += state.segmentBytes;
    this.#listener?.onSegment({
      name,
      path: join(this.folder, name),
      position: { timeline, lsn: lsnFromBigInt(end - BigInt(state.segmentBytes)) },
      isPartial: false,
      sizeBytes: state.segmentBytes,
    });
  }

  /** Runs a step again and again while the disk or the spool is full. Other failures pass. */
  async #whenThereIsRoom(bytes: number, step: () => Promise<void>): Promise<void> {
    for (;;) {
      this.#stopping.signal.throwIfAborted();
      if (this.#isOverLimit(bytes)) {
        this.#block({ reason: 'spool-full' });
      } else {
        try {
          await step();
          if (this.#isBlocked) this.#listener?.onUnblocked();
          this.#isBlocked = false;
          return;
        } catch (error) {
          if (!isNoRoom(error)) throw error;
          this.#block({ reason: 'disk-full', error: failureOf(error, this.folder) });
        }
      }
      // Others may take segments away as well.
      this.#freed = Promise.withResolvers();
      await Promise.race([sleep(roomPollMs, { signal: this.#stopping.signal }), this.#freed.promise]);
      this.#freed = undefined;
      if (this.#options.maxBytes !== undefined) this.#storedBytes = await this.#countBytes();
    }
  }

  #isOverLimit(bytes: number): boolean {
    const { maxBytes } = this.#options;
    if (maxBytes === undefined) return false;
    return this.#storedBytes + (this.#writer?.sizeBytes ?? 0) + bytes > maxBytes;
  }

  #block(block: SpoolBlock): void {
    if (this.#isBlocked) return;
    this.#isBlocked = true;
    this.#listener?.onBlocked(block);
  }

  /** Bytes of all segments but the one that is written to, or will be. */
  async #countBytes(): Promise<number> {
    const { segmentBytes } = this.#current;
    const open = this.#writer?.name ?? this.#nextName;
    const segments = await this.#guard(listSegments(this.folder, segmentBytes));
    return segments.reduce((sum, { name, sizeBytes }) => (name === open ? sum : sum + sizeBytes), 0);
  }

  get #nextName(): string | undefined {
    if (!this.#stand || this.#durable === undefined) return undefined;
    const { timeline } = this.#stand;
    return segmentNameAt({ timeline, lsn: this.#durable }, this.#current.segmentBytes);
  }

  #fail(error: AppError): void {
    this.#failure = error;
    this.#room?.resolve();
    this.#listener?.onFailure(error);
  }

  async #guard<T>(promise: Promise<T>): Promise<T> {
    try {
      return await promise;
    } catch (error) {
      throw failureOf(error, this.folder);
    }
  }
}

const noRoomCodes = new Set(['ENOSPC', 'EDQUOT']);

function isNoRoom(error: unknown): boolean {
  return noRoomCodes.has(systemErrorCode(error) ?? '');
}

function failureOf(error: unknown, folder: string): AppError {
  if (isAppError(error)) return error;
  const code = systemErrorCode(error);
  const hint = isNoRoom(error)
    ? 'Make room on that disk: capturing goes on by itself, and until then the server keeps the WAL.'
    : 'Check that this user may write there and that the disk is in order.';
  return new AppError('WAL_SPOOL_FAILED', `The WAL spool ${folder} cannot be written: ${messageOf(error)}.`, {
    hint,
    retry: isNoRoom(error),
    context: { folder, ...(code === undefined ? {} : { systemCode: code }) },
    cause: error,
  });
}
