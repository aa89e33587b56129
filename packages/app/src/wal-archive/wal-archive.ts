// Reads the WAL of one database back from the repository: which blocks there are, and segments and history files by name. A
// block that was replaced by a longer one while it was being read shows up twice; the longer one wins.

import { isAppError, mapConcurrently, type AppError } from '@varve/base';
import type { WalBlock } from '@varve/contract';
import { parseLsn, type Lsn } from '@varve/postgres';
import { readFileContent, type Repository, type Snapshot } from '@varve/repository';
import { collectBytes } from '../components/collect-bytes.ts';
import { historyPath, isWalBlock, readWalBlock, segmentPath, type WalOwner } from './wal-block-files.ts';

const blocksAtOnce = 8;

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
  /** Blocks that are there and cannot be read. */
  readonly unreadable: readonly { readonly snapshotId: string; readonly error: AppError }[];

  private constructor(
    repository: Repository,
    blocks: readonly StoredBlock[],
    unreadable: readonly { readonly snapshotId: string; readonly error: AppError }[],
  ) {
    this.#repository = repository;
    this.blocks = blocks;
    this.unreadable = unreadable;
  }

  /** Reads the facts of all blocks of a database; none is an empty archive. */
  static async open(repository: Repository, options: WalArchiveOptions): Promise<WalArchive> {
    const { signal, known } = options;
    const snapshots = (await repository.readSnapshots({ signal })).snapshots.filter((one) => isWalBlock(one, options));
    if (snapshots.some(({ id }) => known?.has(id) !== true)) await repository.loadIndex({ signal });
    const unreadable: { snapshotId: string; error: AppError }[] = [];
    const read = await mapConcurrently(snapshots, blocksAtOnce, async (snapshot): Promise<StoredBlock | undefined> => {
      try {
        return { snapshot, block: known?.get(snapshot.id) ?? (await readWalBlock(repository, snapshot, signal)) };
      } catch (error) {
        if (!isAppError(error, 'REPOSITORY_DAMAGED') && !isAppError(error, 'PATH_NOT_FOUND')) throw error;
        unreadable.push({ snapshotId: snapshot.id, error });
        return undefined;
      }
    });
    return new WalArchive(repository, withoutReplaced(read.filter((block) => block !== undefined)), unreadable);
  }

  /** The segments of one cluster, each once and as long as it is anywhere, by name. */
  segments(systemId: string): ReadonlyMap<string, ArchivedSegment> {
    const segments = new Map<string, ArchivedSegment>();
    for (const stored of this.blocks) {
      const { block } = stored;
      if (block.systemId !== systemId) continue;
      for (const { name, bytes } of block.segments) {
        if ((segments.get(name)?.bytes ?? -1) >= bytes) continue;
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
    const path = segmentPath(segment.name, segment.isComplete);
    return readFileContent(this.#repository, { treeId: segment.stored.snapshot.tree, path, signal });
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

/** In the order of the log, without blocks that begin where a longer one does. */
function withoutReplaced(blocks: readonly StoredBlock[]): StoredBlock[] {
  const byStart = new Map<string, StoredBlock>();
  for (const stored of blocks) {
    const { systemId, timeline, startLsn } = stored.block;
    const key = `${systemId} ${timeline} ${startLsn}`;
    const other = byStart.get(key);
    if (other === undefined || endOf(stored) > endOf(other)) byStart.set(key, stored);
  }
  return [...byStart.values()].sort(compareBlocks);
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
