// Brings a spool's WAL into the repository, in order and without a hole: whole segments at once, the beginning of one when asked.
// Only what is in the repository counts: after a crash, or a failure of any kind, it looks there for where to go on. Segments leave
// the spool when they are stored and no record that began in them is still incomplete.

import { AppError, throwIfAborted, type Clock, type Logger } from '@varve/base';
import type { WalBlock } from '@varve/contract';
import {
  formatLsn,
  parseLsn,
  segmentStart,
  type Lsn,
  type SpoolSegment,
  type SpoolState,
  type WalSpool,
} from '@varve/postgres';
import { readFileContent, type LockOwnerOptions, type Repository } from '@varve/repository';
import { collectBytes } from '../components/collect-bytes.ts';
import { isLost } from '../repositories/is-lost.ts';
import { commitBlock } from '../wal-archive/commit-block.ts';
import { WalArchive, type StoredBlock } from '../wal-archive/wal-archive.ts';
import { historyPath, type WalOwner } from '../wal-archive/wal-block-files.ts';
import { ArchivedWal, isAfter, isBefore, type WalPlace } from './archived-wal.ts';
import { BlockDraft } from './block-draft.ts';
import { clearGapNote, noteGap, readGapNote, type GapNote } from './gap-notes.ts';
import { historiesOf, listSettled, readHistories, removeTail, segmentBytes, setAside } from './spool-files.ts';

export interface WalCommitterOptions {
  readonly spool: Pick<WalSpool, 'folder' | 'state' | 'openSegment' | 'release'>;
  readonly repository: () => Promise<Repository>;
  readonly owner: WalOwner;
  /** Of the server, when it is known by now. */
  readonly serverVersion: () => string | undefined;
  readonly hostName: string;
  readonly version: string;
  readonly lockOwner: LockOwnerOptions;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whole segments of so many bytes are stored together. Default 128 MiB. */
  readonly groupBytes?: number | undefined;
}

const defaultGroupBytes = 128 * 1024 * 1024;
const mostSegments = 64;
const longestBlockMs = 3_600_000;

/** The block that grows: what is known of it that does not come from the log itself. */
interface OpenBlock {
  readonly draft: BlockDraft;
  readonly startedAt: string;
  readonly gap: GapNote | null;
  /** Its newest version in the repository. */
  stored: StoredBlock | null;
  /** A block that stays and has the beginning of this one's first segment. */
  readonly before: StoredBlock | undefined;
}

/** Why a block ends: the log goes on elsewhere, or it is long or old enough. */
type Ending = 'elsewhere' | 'damaged' | 'long' | 'old';

export class WalCommitter {
  readonly #options: WalCommitterOptions;
  #archived: ArchivedWal | undefined;
  #open: OpenBlock | undefined;
  /** Content of the open block is lost: the next one begins anew. */
  #isContentLost = false;

  constructor(options: WalCommitterOptions) {
    this.#options = options;
  }

  /** Everything before is in the repository; undefined before the first turn, and when nothing is. */
  get committed(): WalPlace | undefined {
    const block = this.#archived?.newest?.block;
    return block && { timeline: block.timeline, lsn: parseLsn(block.endLsn) };
  }

  /** How much of a segment is in the repository; undefined while that is not known, or what is there is another history. */
  storedBytesOf(name: string): number | undefined {
    const archived = this.#archived;
    if (!archived || archived.systemId !== this.#options.spool.state?.systemId) return undefined;
    const isOtherHistory = this.#untoldGap(archived.newest?.block)?.reason === 'diverged';
    return isOtherHistory ? undefined : archived.bytesOf(name);
  }

  /** Timelines whose history file is in the newest block. */
  get storedHistories(): readonly number[] {
    return this.#archived?.newest?.block.histories ?? [];
  }

  /** The time of the last commit or abort in the newest block. */
  get latestAt(): string | null {
    return this.#archived?.newest?.block.segments.findLast(({ latestAt }) => latestAt !== null)?.latestAt ?? null;
  }

  /** The first block of what is in the repository without a gap. */
  get runStart(): WalBlock | undefined {
    return this.#archived?.runStart;
  }

  /** Where the log in the spool is not valid; nothing behind it is stored until the segment is complete. */
  get fault(): AppError | undefined {
    const fault = this.#open?.draft.fault;
    return (
      fault && new AppError('WAL_INVALID', `The WAL in ${this.#options.spool.folder} is damaged: ${fault.detail}.`)
    );
  }

  /**
   * Stores what is new, at most one group; `withPartial` with the beginning of a segment. Yields true when something was done and
   * there may be more. Throws what the repository and the file system throw; the next turn looks where to go on.
   */
  async turn(options: { readonly withPartial: boolean; readonly signal?: AbortSignal | undefined }): Promise<boolean> {
    const { state } = this.#options.spool;
    if (!state) return false;
    try {
      return await this.#turn(state, options);
    } catch (error) {
      this.#open = undefined;
      this.#archived = undefined;
      if (isLost(error)) this.#isContentLost = true;
      throw error;
    }
  }

  async #turn(state: SpoolState, { withPartial, signal }: Parameters<WalCommitter['turn']>[0]): Promise<boolean> {
    const { folder } = this.#options.spool;
    const files = await listSettled(folder, state.segmentBytes);
    if (this.#archived?.systemId !== state.systemId) await this.#load(state, signal);
    // Until a block of another history is stored, what is there of the old one under the same names says nothing.
    const isOtherHistory = this.#untoldGap(this.#archived?.newest?.block)?.reason === 'diverged';
    if (!isOtherHistory) await this.#release(files);
    this.#open ??= await this.#begin(state, files);
    const open = this.#open;
    if (!open) return false;
    const scanned = await this.#scan(open, files, signal);
    const ending = this.#endingOf(open, files, scanned.isExhausted);
    if (!isWorthStoring(open, { withPartial, ending })) {
      if (ending === undefined) return false;
      await this.#leave(open, files, ending);
      return true;
    }
    await this.#store(state, { open, ending, signal });
    if (ending !== undefined) await this.#leave(open, files, ending);
    await this.#release(files);
    return ending !== undefined || !scanned.isExhausted;
  }

  /** Looks what the repository has. */
  async #load(state: SpoolState, signal: AbortSignal | undefined): Promise<void> {
    const { owner, logger } = this.#options;
    const repository = await this.#options.repository();
    const archive = await WalArchive.open(repository, { ...owner, signal });
    for (const { snapshotId, error } of archive.unreadable) {
      logger.warn('a WAL block cannot be read', { snapshotId, error: error.message });
    }
    const replaced = archive.replaced.map(({ snapshot }) => snapshot.id);
    if (replaced.length > 0) {
      await repository.removeSnapshots(replaced, { signal }).catch((error: unknown) => {
        logger.warn('replaced WAL blocks could not be removed', { error: String(error) });
      });
    }
    this.#open = undefined;
    this.#archived = new ArchivedWal(archive, state.systemId);
  }

  /** The block to go on with: the newest one, or a new one with the next segment of the spool. */
  async #begin(state: SpoolState, files: readonly SpoolSegment[]): Promise<OpenBlock | undefined> {
    const archived = this.#archived;
    const newest = archived?.newest;
    const isOurs = newest?.block.systemId === state.systemId;
    const note = this.#untoldGap(newest?.block);
    const isOtherHistory = note?.reason === 'diverged';
    if (newest && isOurs && !newest.block.sealed && !isOtherHistory && !this.#isContentLost) {
      const { block } = newest;
      const draft = BlockDraft.resume(block);
      return { draft, startedAt: block.startedAt, gap: block.gap, stored: newest, before: undefined };
    }
    const follows = newest && isOurs && !isOtherHistory ? newest.block : undefined;
    const first = files.find((file) => follows === undefined || !isBefore(file, follows));
    if (!first) return undefined;
    const { timeline, lsn } = first.position;
    const gap = await this.#gapBefore(first.position, state, note);
    const has = newest?.block.segments.find(({ name }) => name === first.name);
    return {
      draft: BlockDraft.begin({ timeline, startLsn: lsn, segmentBytes: state.segmentBytes }),
      startedAt: this.#timeAfter(newest?.block.startedAt),
      gap,
      stored: null,
      before: follows && has && !this.#isContentLost ? newest : undefined,
    };
  }

  #gapAfterDamage({ timeline, lsn }: WalPlace, count: number): GapNote {
    const message = `${count} blocks of captured log in the repository cannot be read.`;
    const detectedAt = this.#options.clock.now().toISOString();
    return { reason: 'spool-lost', timeline, fromLsn: formatLsn(lsn), detectedAt, message };
  }

  /** A note that the newest block tells of already was left by a crash. */
  #untoldGap(newest: WalBlock | undefined): GapNote | undefined {
    const { folder } = this.#options.spool;
    const note = readGapNote(folder);
    if (!note || note.detectedAt !== newest?.gap?.detectedAt) return note;
    clearGapNote(folder);
    return undefined;
  }

  /** What is missing between the newest block and a place where the log goes on. */
  async #gapBefore(place: WalPlace, state: SpoolState, note: GapNote | undefined): Promise<GapNote | null> {
    const archived = this.#archived;
    const newest = archived?.newest?.block;
    if (!archived || (!newest && archived.unreadableCount === 0)) return null;
    if (!newest) return this.#gapAfterDamage(place, archived.unreadableCount);
    const { timeline, endLsn } = newest;
    const from = { timeline, fromLsn: endLsn, detectedAt: this.#options.clock.now().toISOString() };
    if (newest.systemId !== state.systemId) {
      const message = `The database is the cluster ${state.systemId} now; before it was ${newest.systemId}.`;
      return note ?? { ...from, reason: 'diverged', message };
    }
    const mayReach = note?.reason !== 'diverged' || place.timeline > note.timeline;
    const isSameStart = place.timeline === timeline && formatLsn(place.lsn) === newest.startLsn;
    if (mayReach && isSameStart) return newest.gap;
    const history = (await readHistories(this.#options.spool.folder)).get(place.timeline)?.history;
    if (mayReach && archived.reaches(place, { segmentBytes: state.segmentBytes, history })) {
      clearGapNote(this.#options.spool.folder);
      return null;
    }
    const message = `The log was captured up to ${endLsn} on timeline ${timeline} and goes on at ${formatLsn(place.lsn)} on timeline ${place.timeline}.`;
    return note ?? { ...from, reason: 'spool-lost', message };
  }

  /** Reads on, up to a group of segments. `isExhausted`: there is no more in the spool now, or it is not valid. */
  async #scan(
    { draft, stored }: OpenBlock,
    files: readonly SpoolSegment[],
    signal: AbortSignal | undefined,
  ): Promise<{ readonly isExhausted: boolean }> {
    const { groupBytes = defaultGroupBytes, spool } = this.#options;
    const from = stored ? parseLsn(stored.block.endLsn) : draft.startLsn;
    for (;;) {
      if (draft.fault) return { isExhausted: true };
      const isGroup = draft.inputLsn - from >= BigInt(groupBytes);
      if (isGroup || draft.wholeSegments >= mostSegments) return { isExhausted: false };
      const file = fileAt(files, draft);
      const offset = Number(draft.inputLsn - segmentStart(draft.inputLsn, draft.segmentBytes));
      const limit = file === undefined ? 0 : durableBytesOf(file, spool);
      if (file === undefined || limit <= offset) return { isExhausted: true };
      const { inputLsn } = draft;
      for await (const bytes of segmentBytes(spool.folder, { name: file.name, from: offset, to: limit })) {
        throwIfAborted(signal);
        draft.push(bytes);
        if (draft.fault) break;
      }
      // Another file than that which was listed: look again.
      if (draft.inputLsn === inputLsn && !draft.fault) return { isExhausted: false };
    }
  }

  #endingOf(
    { draft, startedAt, stored }: OpenBlock,
    files: readonly SpoolSegment[],
    isExhausted: boolean,
  ): Ending | undefined {
    if (draft.fault && fileAt(files, draft, draft.fault.faultLsn)?.isPartial === false) return 'damaged';
    const here = { timeline: draft.timeline, lsn: segmentStart(draft.inputLsn, draft.segmentBytes) };
    if (isExhausted && files.some(({ position }) => isAfter(position, here))) return 'elsewhere';
    if (draft.wholeSegments >= mostSegments) return 'long';
    const ageMs = this.#options.clock.now().getTime() - Date.parse(startedAt);
    const isNew = draft.endLsn > (stored ? parseLsn(stored.block.endLsn) : draft.startLsn);
    return ageMs >= longestBlockMs && draft.wholeSegments > 0 && isNew ? 'old' : undefined;
  }

  async #store(
    state: SpoolState,
    { open, ending, signal }: { open: OpenBlock; ending: Ending | undefined; signal: AbortSignal | undefined },
  ): Promise<void> {
    const { owner, spool, hostName, version, lockOwner, logger } = this.#options;
    const { draft, stored, before } = open;
    const spooled = await readHistories(spool.folder);
    const histories = historiesOf(draft.timeline, spooled);
    await this.#keepHistories(stored, histories);
    const block: WalBlock = {
      format: 'varve-wal-block',
      formatVersion: 1,
      varveVersion: version,
      ...owner,
      systemId: state.systemId,
      serverVersion: this.#options.serverVersion() ?? this.#archived?.newest?.block.serverVersion ?? '',
      segmentBytes: state.segmentBytes,
      timeline: draft.timeline,
      ...draft.facts(),
      sealed: ending !== undefined,
      startedAt: open.startedAt,
      updatedAt: this.#timeAfter(stored?.block.updatedAt),
      gap: open.gap,
      histories: [...histories.keys()],
    };
    const known = new Map((stored ?? before)?.block.segments.map(({ name, bytes }) => [name, bytes]));
    const appended = block.segments
      .map(({ name, bytes }) => ({ name, from: known.get(name) ?? 0, to: bytes }))
      .filter(({ from, to }) => to > from)
      .map((part) => ({ name: part.name, source: segmentBytes(spool.folder, part) }));
    open.stored = await commitBlock(await this.#options.repository(), {
      block,
      previous: stored,
      before,
      appended,
      histories,
      hostName,
      programVersion: `varve ${version}`,
      lockOwner,
      logger,
      signal,
    });
    this.#archived?.add(open.stored);
    this.#isContentLost = false;
    if (block.gap !== null) clearGapNote(spool.folder);
  }

  /** History files that a version of the block has stay, also when the spool was lost. */
  async #keepHistories(stored: StoredBlock | null, histories: Map<number, Uint8Array>): Promise<void> {
    for (const timeline of stored?.block.histories ?? []) {
      if (!stored || histories.has(timeline)) continue;
      const options = { treeId: stored.snapshot.tree, path: historyPath(timeline) };
      histories.set(timeline, await collectBytes(readFileContent(await this.#options.repository(), options)));
    }
  }

  /** Goes on with another block. What is left in the spool of the place that this one ended at is stored, or not valid. */
  async #leave({ draft }: OpenBlock, files: readonly SpoolSegment[], ending: Ending): Promise<void> {
    const { folder } = this.#options.spool;
    const last = fileAt(files, draft, draft.fault?.faultLsn);
    if (ending === 'elsewhere' && last?.isPartial) await removeTail(folder, last.name);
    if (ending === 'damaged' && last && draft.fault) {
      noteGap(folder, {
        // A record that does not follow the one before it is of a server that was set back and has written past our end.
        reason: draft.fault.reason === 'wrong-previous' ? 'diverged' : 'spool-lost',
        timeline: draft.timeline,
        fromLsn: formatLsn(draft.endLsn),
        detectedAt: this.#options.clock.now().toISOString(),
        message: `The WAL in the spool was not valid: ${draft.fault.detail}.`,
      });
      await setAside(folder, last.name);
    }
    this.#open = undefined;
  }

  /** Removes finished segments that are stored, but those that a record is still to end behind. */
  async #release(files: readonly SpoolSegment[]): Promise<void> {
    const archived = this.#archived;
    const newest = archived?.newest?.block;
    if (!archived || !newest || newest.systemId !== archived.systemId) return;
    for (const { name, isPartial, position, sizeBytes } of files) {
      if (isPartial || archived.bytesOf(name) < sizeBytes) continue;
      const end = position.lsn + BigInt(sizeBytes);
      const isNeeded = position.timeline === newest.timeline && end > parseLsn(newest.replayableLsn);
      if (!isNeeded) await this.#options.spool.release(name);
    }
  }

  /** Now, but later than another time: the order of blocks does not depend on a clock that was set back. */
  #timeAfter(earlier: string | undefined): string {
    const nowMs = this.#options.clock.now().getTime();
    return new Date(earlier === undefined ? nowMs : Math.max(nowMs, Date.parse(earlier) + 1)).toISOString();
  }
}

function fileAt(
  files: readonly SpoolSegment[],
  { timeline, inputLsn, segmentBytes: size }: BlockDraft,
  lsn: Lsn = inputLsn,
): SpoolSegment | undefined {
  const start = segmentStart(lsn, size);
  return files.findLast(({ position }) => position.timeline === timeline && position.lsn === start);
}

/** Of the segment that is being written what is durable, of others what is there. */
function durableBytesOf({ name, sizeBytes }: SpoolSegment, spool: WalCommitterOptions['spool']): number {
  const open = spool.openSegment;
  return open?.name === name ? open.durableBytes : sizeBytes;
}

function isWorthStoring(
  { draft, stored, before }: OpenBlock,
  { withPartial, ending }: { readonly withPartial: boolean; readonly ending: Ending | undefined },
): boolean {
  const kept = (stored ?? before)?.block;
  const keptLsn = kept && kept.timeline === draft.timeline ? parseLsn(kept.endLsn) : draft.startLsn;
  const storedLsn = keptLsn > draft.startLsn ? keptLsn : draft.startLsn;
  const { endLsn } = draft;
  if (endLsn <= storedLsn) return ending !== undefined && stored !== null && !stored.block.sealed;
  if (withPartial || ending !== undefined) return true;
  return segmentStart(endLsn, draft.segmentBytes) > segmentStart(storedLsn, draft.segmentBytes);
}
