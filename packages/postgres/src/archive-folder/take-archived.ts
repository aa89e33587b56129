// Captures the WAL of a cluster from a folder that its archive_command fills, into a spool, until told to stop: the place of
// `receiveWal` where no replication connection can be had. What is taken is checked as what is streamed: whole, of this cluster,
// every page at its place; records are checked by whoever reads the spool. Nothing is removed here: the keeper does that when a
// file is safe elsewhere. Segments that do not come are a gap, told by an event when later ones are there for a while.

import { open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, isAppError, sleep, systemErrorCode, throwIfAborted } from '@varve/base';
import { writeDurably } from '../replication/spool/durable-files.ts';
import type { SpoolState } from '../replication/spool/spool-folder.ts';
import type { WalSpool } from '../replication/spool/wal-spool.ts';
import type { WalEvent } from '../replication/wal-events.ts';
import { pageBytes, type WalFileHeader } from '../wal/page-header.ts';
import { checkSegmentFile, measureSegmentFile } from '../wal/segment-file.ts';
import { advance, historyFileName, segmentNameAt, segmentStart, type WalPosition } from '../wal/segments.ts';
import { parseTimelineHistory, type TimelineHistory } from '../wal/timeline-history.ts';
import {
  archiveFailure,
  findArchived,
  listArchive,
  readArchivedHeader,
  type ArchivedFile,
  type ArchiveListing,
} from './archive-files.ts';
import { incompleteFile, missingSegment, otherCluster, otherHistory } from './archive-errors.ts';
import { nextStep, segmentsBehind, type ArchiveStand } from './archive-way.ts';

/** What becomes of files that are not needed for going on. It removes what is safe elsewhere. */
export interface ArchiveKeeper {
  /** A segment is in the spool now. */
  took(file: ArchivedFile): void;
  /** Files behind the place where capturing goes on. Throws WAL_DIVERGED when one is not what was captured under its name. */
  settle(behind: {
    readonly folder: string;
    readonly segments: readonly string[];
    readonly partials: readonly string[];
    readonly histories: readonly number[];
    readonly state: SpoolState;
  }): Promise<void>;
}

export interface TakeArchivedOptions {
  /** Where the folder is now. */
  readonly folder: () => Promise<string>;
  /** Opened and closed by the caller. */
  readonly spool: WalSpool;
  readonly keeper: ArchiveKeeper;
  /** The history file of a timeline that is not in the folder (any more). */
  readonly history?: ((timeline: number) => Promise<Uint8Array | undefined>) | undefined;
  /** The cluster whose log it has to be, when that is known. */
  readonly systemId?: (() => string | undefined) | undefined;
  /** Where a spool without WAL begins; the oldest segment of the cluster that wrote last when absent. */
  readonly begin?: WalPosition | undefined;
  /** How long a segment may be missing while later ones are there. Default 60 s: archivers may be out of order for a moment. */
  readonly gapGraceMs?: number | undefined;
  readonly pollMs?: number | undefined;
  /** One look at the folder, and everything that can be taken now; then it ends. */
  readonly once?: boolean | undefined;
  readonly onEvent?: ((event: WalEvent) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const defaultGapGraceMs = 60_000;
const defaultPollMs = 1000;
const readBytes = 1 << 20;

/**
 * Takes what comes until the signal aborts (rejects with CANCELLED). Throws WAL_ARCHIVE_FAILED when the folder cannot be used or
 * another cluster's files are in it, WAL_DIVERGED when the server has another history than what was captured, WAL_SPOOL_FAILED.
 */
export async function takeArchivedWal(options: TakeArchivedOptions): Promise<void> {
  const taker = new Taker(options);
  options.spool.listen({
    onDurable: () => {},
    onSegment: (segment) => options.onEvent?.({ kind: 'segment-complete', segment }),
    onBlocked: (block) => options.onEvent?.({ kind: 'blocked', block }),
    onUnblocked: () => options.onEvent?.({ kind: 'unblocked' }),
    onFailure: () => {},
  });
  try {
    await taker.run();
  } finally {
    options.spool.listen(undefined);
  }
}

class Taker {
  readonly #options: TakeArchivedOptions;
  readonly #spool: WalSpool;
  #isPrepared = false;
  #hasNoted = false;
  /** Timelines whose history the server was asked for. */
  readonly #asked = new Set<number>();
  #missing: { readonly name: string; readonly sinceMs: number } | undefined;

  constructor(options: TakeArchivedOptions) {
    this.#options = options;
    this.#spool = options.spool;
  }

  async run(): Promise<void> {
    const { signal, pollMs = defaultPollMs, once = false } = this.#options;
    for (;;) {
      throwIfAborted(signal);
      const listing = await listArchive(await this.#options.folder());
      let isMore = await this.#prepare(listing);
      if (isMore) {
        await this.#keepHistories(listing);
        isMore = await this.#goOn(listing);
      }
      if (isMore) continue;
      if (once) return;
      await sleep(pollMs, { signal });
    }
  }

  /** Whether the spool has an owner, and stands at the start of a segment. */
  async #prepare(listing: ArchiveListing): Promise<boolean> {
    if (this.#isPrepared) return true;
    if (!this.#spool.state) {
      const first = await this.#first(listing);
      if (!first) return false;
      await this.#spool.begin(first.source, first.position);
    } else await this.#spool.resume();
    this.#isPrepared = true;
    return true;
  }

  /** One step; true when there may be another one at once. */
  async #goOn(listing: ArchiveListing): Promise<boolean> {
    this.#assertSameCluster();
    const stand = await this.#stand(listing);
    await this.#settle(listing, stand);
    await this.#noteStreaming(listing, stand);
    const step = nextStep(stand);
    if (step.kind !== 'missing') this.#missing = undefined;
    switch (step.kind) {
      case 'segment':
        return this.#take(listing, step.name, stand);
      case 'timeline':
        await this.#changeTimeline(listing, stand, step.next);
        return true;
      case 'missing':
        return this.#skipMissing(step.name, step.next, stand);
      case 'wait':
        return false;
    }
  }

  /** After the first look that found nothing wrong. */
  async #noteStreaming({ folder }: ArchiveListing, { wanted, segmentBytes, segments }: ArchiveStand): Promise<void> {
    if (this.#hasNoted) return;
    this.#hasNoted = true;
    const newest = segments.at(-1);
    const file = newest === undefined ? undefined : await findArchived(folder, newest);
    const header = file && (await readArchivedHeader(file));
    const { systemId } = this.#state;
    const source = {
      systemId,
      timeline: wanted.timeline,
      flushLsn: wanted.lsn,
      segmentBytes,
      pageBytes,
      isInRecovery: false,
      versionNum: (header?.major ?? 0) * 10_000,
    };
    this.#emit({ kind: 'streaming', start: wanted, source });
  }

  get #state(): SpoolState {
    const { state } = this.#spool;
    if (!state) throw new RangeError('The spool has no owner.');
    return state;
  }

  #assertSameCluster(): void {
    const known = this.#options.systemId?.();
    const { systemId } = this.#state;
    if (known === undefined || known === systemId) return;
    throw new AppError('WAL_DIVERGED', `The server is the cluster ${known} now; what was captured is of ${systemId}.`, {
      hint: 'Check that this is the right server. If it is, capturing begins anew.',
    });
  }

  async #stand(listing: ArchiveListing): Promise<ArchiveStand> {
    const { segmentBytes } = this.#state;
    const end = await this.#spool.end();
    if (!end) throw new RangeError('The spool has no end.');
    const wanted = { timeline: end.timeline, lsn: segmentStart(end.lsn, segmentBytes) };
    return { wanted, segmentBytes, segments: listing.segments, histories: await this.#histories(listing) };
  }

  async #settle({ folder, partials, histories }: ArchiveListing, stand: ArchiveStand): Promise<void> {
    const segments = segmentsBehind(stand);
    if (segments.length + partials.length + histories.length === 0) return;
    await this.#options.keeper.settle({ folder, segments, partials, histories, state: this.#state });
  }

  /** Where a spool without WAL begins. */
  async #first(
    listing: ArchiveListing,
  ): Promise<{ readonly source: Omit<SpoolState, 'position'>; readonly position: WalPosition } | undefined> {
    const found: { readonly header: WalFileHeader; readonly name: string; readonly modifiedMs: number }[] = [];
    for (const name of listing.segments) {
      const file = await findArchived(listing.folder, name);
      const header = file && (await readArchivedHeader(file));
      if (header && file.sizeBytes === header.segmentSizeBytes)
        found.push({ header, name, modifiedMs: file.modifiedMs });
    }
    const newest = found.toSorted((a, b) => b.modifiedMs - a.modifiedMs)[0];
    const systemId = this.#options.systemId?.() ?? newest?.header.systemId;
    const ours = found.filter(({ header }) => header.systemId === systemId);
    const { begin } = this.#options;
    const first =
      ours.find(({ name, header }) => begin && name === segmentNameAt(begin, header.segmentSizeBytes)) ?? ours[0];
    if (!first || systemId === undefined) return undefined;
    const segmentBytes = first.header.segmentSizeBytes;
    const position = { timeline: Number.parseInt(first.name.slice(0, 8), 16), lsn: first.header.startLsn };
    return { source: { systemId, segmentBytes, pageBytes }, position };
  }

  /** Takes a segment into the spool, whole. False when it is not whole yet. */
  async #take({ folder }: ArchiveListing, name: string, stand: ArchiveStand): Promise<boolean> {
    const file = await findArchived(folder, name);
    if (!file) return true;
    if (!(await this.#isSound(file, stand.wanted))) return false;
    await this.#append(file, stand.wanted, file.sizeBytes);
    this.#options.keeper.took(file);
    const durable = this.#spool.durable ?? stand.wanted.lsn;
    const newest = stand.segments.findLast((other) => other.startsWith(name.slice(0, 8))) ?? name;
    const behind = stand.segments.indexOf(newest) - stand.segments.indexOf(name);
    const serverEnd = advance(durable, behind * stand.segmentBytes);
    this.#emit({
      kind: 'progress',
      timeline: stand.wanted.timeline,
      received: durable,
      durable,
      serverEnd,
      lagBytes: Number(serverEnd - durable),
      lagMs: 0,
      isConnected: false,
    });
    return true;
  }

  /** Whether it is this whole segment. What is not is waited for, and when nobody writes to it any more, put aside: it is missing then. */
  async #isSound(file: ArchivedFile, wanted: WalPosition): Promise<boolean> {
    const { segmentBytes, systemId } = this.#state;
    const header = await readArchivedHeader(file);
    if (header && header.systemId !== systemId) {
      throw otherCluster(file, { systemId: header.systemId, captured: systemId, known: this.#options.systemId?.() });
    }
    const identity = { timeline: wanted.timeline, start: wanted.lsn, segmentBytes, pageBytes, systemId };
    try {
      await checkSegmentFile(file.path, identity);
      return true;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return false;
      if (!isAppError(error, 'WAL_INVALID')) throw isAppError(error) ? error : archiveFailure(error, file.path);
      const { gapGraceMs = defaultGapGraceMs } = this.#options;
      if (Date.now() - file.modifiedMs < gapGraceMs) return false;
      // It may still be written to by a command that gives the name first: nobody else's file is renamed then.
      if (file.sizeBytes < segmentBytes) throw incompleteFile(file, segmentBytes);
      await rename(file.path, `${file.path}.damaged`).catch((cause: unknown) => {
        throw archiveFailure(cause, file.path);
      });
      throw new AppError('WAL_ARCHIVE_FAILED', `${error.message} It was renamed to ${file.name}.damaged.`, {
        hint: 'Check the disk. If you have the segment from elsewhere, put it into the folder; what is missing is healed by a new base backup.',
        context: error.context,
        cause: error,
      });
    }
  }

  async #append({ path }: ArchivedFile, { lsn }: WalPosition, sizeBytes: number): Promise<void> {
    const { signal } = this.#options;
    await using file = await open(path, 'r');
    for (let offset = 0; offset < sizeBytes;) {
      throwIfAborted(signal);
      const wanted = Math.min(readBytes, sizeBytes - offset);
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(wanted), 0, wanted, offset);
      if (bytesRead === 0) break;
      await this.#spool.append(advance(lsn, offset), buffer.subarray(0, bytesRead));
      offset += bytesRead;
    }
    await this.#spool.sync();
  }

  /** The old timeline's tail stays in the spool as far as it is here; the history of the new one is kept before anything else is. */
  async #changeTimeline(
    listing: ArchiveListing,
    { wanted, segmentBytes }: ArchiveStand,
    next: WalPosition,
  ): Promise<void> {
    const name = segmentNameAt(wanted, segmentBytes);
    const tail =
      segmentStart(next.lsn, segmentBytes) === wanted.lsn
        ? ((await findArchived(listing.folder, name)) ?? (await findArchived(listing.folder, `${name}.partial`)))
        : undefined;
    if (tail) {
      const { systemId } = this.#state;
      const identity = { timeline: wanted.timeline, start: wanted.lsn, segmentBytes, pageBytes, systemId };
      await this.#append(tail, wanted, await measureSegmentFile(tail.path, identity));
    }
    const oldEnd = (await this.#spool.end())?.lsn ?? wanted.lsn;
    await this.#spool.switchTimeline(next);
    const historyPath = join(this.#spool.folder, historyFileName(next.timeline));
    const { timeline: from } = wanted;
    this.#emit({ kind: 'timeline', from, to: next.timeline, lsn: next.lsn, oldEnd, historyPath });
  }

  /** After a while the missing segments are given up. */
  async #skipMissing(name: string, next: WalPosition, { wanted }: ArchiveStand): Promise<boolean> {
    const nowMs = performance.now();
    if (this.#missing?.name !== name) this.#missing = { name, sinceMs: nowMs };
    const { gapGraceMs = defaultGapGraceMs } = this.#options;
    if (nowMs - this.#missing.sinceMs < gapGraceMs) return false;
    this.#missing = undefined;
    const from = (await this.#spool.end()) ?? wanted;
    const error = missingSegment(name, { from, next });
    this.#emit({ kind: 'gap', reason: 'archive-missing', from, to: next, error });
    await this.#spool.begin(this.#state, next);
    return true;
  }

  /** Of the folder, the spool, and of the timeline of a segment that is there without its history. */
  async #histories({ folder, histories, segments }: ArchiveListing): Promise<TimelineHistory[]> {
    const wanted = new Set([...histories, ...segments.map((name) => Number.parseInt(name.slice(0, 8), 16))]);
    wanted.delete(1);
    const found: TimelineHistory[] = [];
    for (const timeline of wanted) {
      const data =
        (await readIfThere(join(this.#spool.folder, historyFileName(timeline)))) ??
        (await readIfThere(join(folder, historyFileName(timeline))));
      if (data) found.push(parseTimelineHistory(data, timeline));
    }
    return found;
  }

  /** Stores histories byte for byte beside the segments. Throws WAL_DIVERGED when another one of a timeline is there. */
  async #keepHistories({ folder, histories, segments }: ArchiveListing): Promise<void> {
    const timelines = new Set([...histories, ...segments.map((name) => Number.parseInt(name.slice(0, 8), 16))]);
    timelines.delete(1);
    for (const timeline of timelines) {
      const path = join(this.#spool.folder, historyFileName(timeline));
      const kept = await readIfThere(path);
      const archived = await readIfThere(join(folder, historyFileName(timeline)));
      if (kept && archived && !kept.equals(archived)) {
        throw otherHistory(timeline);
      }
      if (kept) continue;
      const data = archived ?? (await this.#ask(timeline));
      if (!data) continue;
      parseTimelineHistory(data, timeline);
      await writeDurably(path, data);
    }
  }

  async #ask(timeline: number): Promise<Uint8Array | undefined> {
    if (this.#asked.has(timeline)) return undefined;
    this.#asked.add(timeline);
    return this.#options.history?.(timeline);
  }

  #emit(event: WalEvent): void {
    this.#options.onEvent?.(event);
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw archiveFailure(error, path);
  }
}
