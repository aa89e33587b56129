// Reads the WAL of one database back from the repository: which blocks there are, and segments and history files by name. A
// block that was replaced by a longer one while it was being read shows up twice; the longer one wins.

import { isAppError, mapConcurrently, type AppError } from '@varve/base';
import type { WalBlock } from '@varve/contract';
import { parseLsn, type Lsn } from '@varve/postgres';
import { readFileContent, type Repository, type Snapshot } from '@varve/repository';
import { collectBytes } from '../components/collect-bytes.ts';
import { isLost } from '../repositories/is-lost.ts';
import { historyPath, isWalBlock, readWalBlock, segmentPath, type WalOwner } from './wal-block-files.ts';

const blocksAtOnce = 8;
const mostListings = 5;

export interface StoredBlock {
  readonly block: WalBlock;
  readonly snapshot: Snapshot;
}

/** A segment as far as it is in the repository. */
export interface ArchivedSegment {
  readonly name: string;
  readonly timeline: number;
  readonly bytes: number;
  readonly isComplete: boolean;
  /** The block to read it from. */
  readonly stored: StoredBlock;
}

export interface WalArchiveOptions extends WalOwner {
  readonly signal?: AbortSignal | undefined;
  /** Blocks that were read before, by snapshot id: they are not read again. */
  readonly known?: ReadonlyMap<string, WalBlock> | undefined;
}

export class WalArchive {
  readonly #repository: Repository;
  /** By system id, then in the order of the log: timeline, position. */
  readonly blocks: readonly StoredBlock[];
  /** Versions of blocks that a longer one has taken the place of, and that a crash left. */
  readonly replaced: readonly StoredBlock[];
  /** Blocks that are there and cannot be read. */
  readonly unreadable: readonly { readonly snapshotId: string; readonly error: AppError }[];

  private constructor(
    repository: Repository,
    blocks: ReturnType<typeof tellReplaced>,
    unreadable: readonly { readonly snapshotId: string; readonly error: AppError }[],
  ) {
    this.#repository = repository;
    this.blocks = blocks.current;
    this.replaced = blocks.replaced;
    this.unreadable = unreadable;
  }

  /** Reads the facts of all blocks of a database; none is an empty archive. */
  static async open(repository: Repository, options: WalArchiveOptions): Promise<WalArchive> {
    const { signal, known } = options;
    const { snapshots, failures } = await listSettled(repository, options);
    if (snapshots.some(({ id }) => known?.has(id) !== true)) await repository.loadIndex({ signal });
    const unreadable: { snapshotId: string; error: AppError }[] = failures;
    const read = await mapConcurrently(snapshots, blocksAtOnce, async (snapshot): Promise<StoredBlock | undefined> => {
      try {
        return { snapshot, block: known?.get(snapshot.id) ?? (await readWalBlock(repository, snapshot, signal)) };
      } catch (error) {
        if (!isLost(error)) throw error;
        unreadable.push({ snapshotId: snapshot.id, error });
        return undefined;
      }
    });
    return new WalArchive(repository, tellReplaced(read.filter((block) => block !== undefined)), unreadable);
  }

  /**
   * The segments of one cluster as its present history has them, by name. A block that was begun later has the same bytes or more,
   * unless the server was set back without a new timeline: what had been captured behind that place is another history, and is in
   * {@link blocks} only.
   */
  segments(systemId: string): ReadonlyMap<string, ArchivedSegment> {
    const segments = new Map<string, ArchivedSegment>();
    const inOrder = this.blocks.filter(({ block }) => block.systemId === systemId).sort(compareBeginnings);
    for (const stored of inOrder) {
      const { block } = stored;
      if (block.gap?.reason === 'diverged') dropOtherHistory(segments, block);
      for (const { name, bytes } of block.segments) {
        segments.set(name, {
          name,
          timeline: block.timeline,
          bytes,
          isComplete: bytes === block.segmentBytes,
          stored,
        });
      }
    }
    return segments;
  }

  /** The bytes of a segment, as many as are here. REPOSITORY_DAMAGED when a part of them is lost. */
  read(segment: ArchivedSegment, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    return readFileContent(this.#repository, { ...this.place(segment), signal });
  }

  /** Where the bytes of a segment are in the repository. */
  place(segment: ArchivedSegment): { readonly treeId: string; readonly path: string } {
    return { treeId: segment.stored.snapshot.tree, path: segmentPath(segment.name, segment.isComplete) };
  }

  /** A timeline's history file; undefined when no block of the cluster has it. */
  async history(systemId: string, timeline: number, signal?: AbortSignal): Promise<Buffer | undefined> {
    const stored = this.blocks.findLast(
      ({ block }) => block.systemId === systemId && block.histories.includes(timeline),
    );
    if (!stored) return undefined;
    const path = historyPath(timeline);
    return collectBytes(readFileContent(this.#repository, { treeId: stored.snapshot.tree, path, signal }));
  }
}

/**
 * A list that is made while a block is replaced may have neither its old version nor its new one: it is made again until two in a row
 * are the same. Snapshots that cannot be read may be anybody's, and count as blocks.
 */
async function listSettled(
  repository: Repository,
  options: WalArchiveOptions,
): Promise<{ readonly snapshots: Snapshot[]; readonly failures: { snapshotId: string; error: AppError }[] }> {
  let before = '';
  for (let attempt = 1; ; attempt++) {
    const listed = await repository.readSnapshots({ signal: options.signal });
    const snapshots = listed.snapshots.filter((one) => isWalBlock(one, options));
    const ids = snapshots.map(({ id }) => id).join(' ');
    if (ids === before || attempt === mostListings) {
      const failures = listed.failures.flatMap(({ id, error }) =>
        isAppError(error) ? [{ snapshotId: id, error }] : [],
      );
      return { snapshots, failures };
    }
    before = ids;
  }
}

/** The longest version of each block, in the order of the log; and the others. */
function tellReplaced(blocks: readonly StoredBlock[]): { current: StoredBlock[]; replaced: StoredBlock[] } {
  const byBlock = new Map<string, StoredBlock>();
  const replaced: StoredBlock[] = [];
  for (const stored of blocks) {
    const { systemId, timeline, startLsn, startedAt } = stored.block;
    const key = `${systemId} ${timeline} ${startLsn} ${startedAt}`;
    const other = byBlock.get(key);
    const isNewer = other === undefined || compareVersions(stored, other) > 0;
    if (isNewer) byBlock.set(key, stored);
    if (other !== undefined && other.snapshot.id !== stored.snapshot.id) replaced.push(isNewer ? other : stored);
  }
  return { current: [...byBlock.values()].sort(compareBlocks), replaced };
}

/** By length; sealing changes nothing else. */
function compareVersions(a: StoredBlock, b: StoredBlock): number {
  if (endOf(a) !== endOf(b)) return endOf(a) > endOf(b) ? 1 : -1;
  return Number(a.block.sealed) - Number(b.block.sealed);
}

/** In the order in which they were begun. */
function compareBeginnings(a: StoredBlock, b: StoredBlock): number {
  return Date.parse(a.block.startedAt) - Date.parse(b.block.startedAt) || compareBlocks(a, b);
}

/** Names are in the order of the log within a timeline. */
function dropOtherHistory(segments: Map<string, ArchivedSegment>, { timeline, segments: [first] }: WalBlock): void {
  for (const segment of segments.values()) {
    if (segment.timeline === timeline && first && segment.name >= first.name) segments.delete(segment.name);
  }
}

function endOf({ block }: StoredBlock): Lsn {
  return parseLsn(block.endLsn);
}

function compareBlocks({ block: a }: StoredBlock, { block: b }: StoredBlock): number {
  if (a.systemId !== b.systemId) return a.systemId < b.systemId ? -1 : 1;
  if (a.timeline !== b.timeline) return a.timeline - b.timeline;
  const [left, right] = [parseLsn(a.startLsn), parseLsn(b.startLsn)];
  return left < right ? -1 : Number(left > right);
}
