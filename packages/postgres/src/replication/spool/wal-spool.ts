// A folder where WAL becomes durable before it is acknowledged. Bytes are collected and written in groups: one write and one
// fdatasync for all that came in between. Segments are finished (checked, renamed) when their last byte is durable. A full disk
// or a full spool makes writers wait; nothing is dropped and nothing that is not durable is reported as such.

import assert from 'node:assert';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@varve/base';
import { formatLsn, lsnFromBigInt, type Lsn } from '../../lsn.ts';
import {
  advance,
  offsetInSegment,
  parseWalFileName,
  segmentNameAt,
  segmentStart,
  type WalPosition,
} from '../../wal/segments.ts';
import { syncFolder } from './durable-files.ts';
import { PendingWal } from './pending-wal.ts';
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
import { failureOf } from './spool-failure.ts';
import { lockSpool } from './spool-lock.ts';
import { SpoolSpace, type SpoolBlock } from './spool-space.ts';

export interface WalSpoolOptions {
  readonly folder: string;
  /** Least time between two groups. Default 50 ms: the price of a commit's way to the disk is at most that and one fsync. */
  readonly syncIntervalMs?: number | undefined;
  /** A group is written at once when it has this many bytes. Default 1 MiB. */
  readonly syncBytes?: number | undefined;
  /** WAL in the folder above which nothing more is written until segments are taken away. Default: no limit. */
  readonly maxBytes?: number | undefined;
}

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
  readonly #pending = new PendingWal();
  /** Handed over and not durable yet. */
  #pendingBytes = 0;
  #flushing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #lastGroupAtMs = Number.NEGATIVE_INFINITY;
  #room: PromiseWithResolvers<void> | undefined;
  readonly #space: SpoolSpace;
  #failure: AppError | undefined;

  private constructor(options: WalSpoolOptions, lock: AsyncDisposable, state: SpoolState | undefined) {
    this.folder = options.folder;
    this.#options = options;
    this.#lock = lock;
    this.#state = state;
    this.#space = new SpoolSpace({
      folder: options.folder,
      maxBytes: options.maxBytes,
      signal: this.#stopping.signal,
      countStored: () => this.#countBytes(),
      openBytes: () => this.#writer?.sizeBytes ?? 0,
      onBlocked: (block) => this.#listener?.onBlocked(block),
      onUnblocked: () => this.#listener?.onUnblocked(),
    });
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
    if (!this.#state && (await this.#guard(listSegments(this.folder, segmentBytes))).length > 0) {
      throw new AppError('WAL_SPOOL_FAILED', `${this.folder} holds WAL segments already, but is no spool.`, {
        hint: 'They may be those of another program or cluster: use an empty folder.',
      });
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
    await this.#space.recount();
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
    this.#pending.add({ lsn, bytes });
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
    const file = parseWalFileName(name, this.#current.segmentBytes);
    if (file?.kind !== 'segment' || file.isPartial) {
      throw new AppError('USAGE_INVALID', `“${name}” is not the name of a WAL segment.`);
    }
    await this.#guard(rm(join(this.folder, name), { force: true }));
    this.#space.free();
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
    const { lsn, bytes } = this.#pending.take(this.#current.segmentBytes);
    await this.#space.use(bytes.length, async () => {
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
    await this.#space.use(0, async () => {
      if (!isFinished) await writer.finish();
      isFinished = true;
      await writeSpoolState(this.folder, state);
    });
    this.#writer = undefined;
    this.#state = state;
    this.#stand = { timeline, end, trusted: end };
    this.#space.addStored(state.segmentBytes);
    this.#listener?.onSegment({
      name,
      path: join(this.folder, name),
      position: { timeline, lsn: lsnFromBigInt(end - BigInt(state.segmentBytes)) },
      isPartial: false,
      sizeBytes: state.segmentBytes,
    });
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
