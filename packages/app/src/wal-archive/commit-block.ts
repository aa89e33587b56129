// Writes a WAL block: what the last version of it has is taken over without being read, new bytes are appended, and then the
// new version takes the place of the old one. A crash in between leaves both, and readers take the longer one.

import { isAppError, type Logger } from '@varve/base';
import type { WalBlock } from '@varve/contract';
import { findNode, startArchive, type LockOwnerOptions, type Repository, type TreeNode } from '@varve/repository';
import { historyPath, segmentPath, walBlockPath, walTags } from './wal-block-files.ts';
import type { StoredBlock } from './wal-archive.ts';

/** A prune or a forget keeps others out for moments only. */
const lockWaitMs = 5 * 60_000;
/** Log compresses well and is read whole: cut only so that a reader needs not hold a segment. */
const chunkBytes = 1024 * 1024;
const threadWorthBytes = 16 * 1024 * 1024;
const leastPackBytes = 256 * 1024;
const largestSmallPackBytes = 8 * 1024 * 1024;

export interface CommitBlock {
  readonly block: WalBlock;
  /** The version that this one continues; null for a new block. */
  readonly previous: StoredBlock | null;
  /** For a new block: one that stays, and that has the beginning of the first segment already. */
  readonly before?: StoredBlock | undefined;
  /** New bytes: of segments of the block, each from where its previous version ends (0 when there was none). */
  readonly appended: readonly { readonly name: string; readonly source: AsyncIterable<Uint8Array> }[];
  /** All history files that the block names. */
  readonly histories: ReadonlyMap<number, Uint8Array>;
  readonly hostName: string;
  readonly programVersion: string;
  readonly lockOwner: LockOwnerOptions;
  readonly logger: Logger;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Stores the block; when it resolves it is durable in the repository. REPOSITORY_DAMAGED when content of the previous version is
 * lost (begin a new block then), ARCHIVE_PRODUCER_FAILED when a source does not yield what the block says.
 */
export async function commitBlock(repository: Repository, commit: CommitBlock): Promise<StoredBlock> {
  const { block, previous, signal } = commit;
  const known = previous ?? commit.before;
  const before = new Map(known?.block.segments.map(({ name, bytes }) => [name, bytes]));
  const newBytes = block.segments.reduce((sum, { name, bytes }) => sum + bytes - (before.get(name) ?? 0), 0);
  await using session = await startArchive(repository, {
    signal,
    lockWaitMs,
    lockOwner: commit.lockOwner,
    // Mostly there is little to do, and starting a thread costs more than all of it.
    workers: newBytes < threadWorthBytes ? 0 : 1,
    packSizeBytes: packSizeFor(newBytes),
  });
  const sources = new Map(commit.appended.map(({ name, source }) => [name, source]));
  for (const { name, bytes } of block.segments) {
    const savedBytes = before.get(name);
    const node = known && savedBytes !== undefined ? await savedNode(repository, known, name, signal) : undefined;
    const target = segmentPath(name, bytes === block.segmentBytes);
    const source = sources.get(name);
    if (source === undefined && node) await session.addSaved({ target, node });
    else {
      await session.addStream({
        target,
        source: source ?? nothing(),
        sizeBytes: bytes - (savedBytes ?? 0),
        pageChunkBytes: chunkBytes,
        mode: 0o600,
        after: node,
      });
    }
  }
  for (const [timeline, data] of commit.histories)
    await session.addBytes({ target: historyPath(timeline), data, mode: 0o600 });
  const data = Buffer.from(`${JSON.stringify(block)}\n`);
  await session.addBytes({ target: walBlockPath, data, mode: 0o600 });
  const { snapshot } = await session.commit({
    time: new Date(block.updatedAt),
    hostname: commit.hostName,
    paths: [`/${block.appId}/wal/${block.component}`],
    tags: walTags(block),
    programVersion: commit.programVersion,
  });
  if (previous) await removeReplaced(repository, previous, commit);
  return { block, snapshot };
}

/** Memory for packs is set aside by their size, so that it is only as large as what is to come. */
function packSizeFor(newBytes: number): number | undefined {
  const needed = newBytes + leastPackBytes;
  return needed > largestSmallPackBytes ? undefined : 2 ** Math.ceil(Math.log2(needed));
}

async function savedNode(
  repository: Repository,
  { block, snapshot }: StoredBlock,
  name: string,
  signal: AbortSignal | undefined,
): Promise<TreeNode> {
  const bytes = block.segments.find((segment) => segment.name === name)?.bytes;
  const path = segmentPath(name, bytes === block.segmentBytes);
  return findNode(repository, { treeId: snapshot.tree, path, signal });
}

/** The new version holds all of the old one. A storage that only takes additions keeps both. */
async function removeReplaced(
  repository: Repository,
  { snapshot }: StoredBlock,
  { logger, signal }: CommitBlock,
): Promise<void> {
  try {
    await repository.removeSnapshots([snapshot.id], { signal });
  } catch (error) {
    if (!isAppError(error) || error.code === 'CANCELLED') throw error;
    logger.warn('a replaced WAL block could not be removed', { snapshotId: snapshot.id, error: error.message });
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {
  // A segment that grew by nothing.
}
