// Finds folders that no snapshot leads to (a snapshot was removed by accident, its file was damaged, a backup was interrupted) and
// makes one snapshot of them, as restic does: its root holds each of them under the beginning of its tree's id.

import { mapConcurrently, systemClock, throwIfAborted, type Clock, type OnProgress } from '@varve/base';
import type { BlobIndex, IndexedPack } from '../blob-index/blob-index.ts';
import type { PackedBlob } from '../pack/blob-type.ts';
import { openBlob } from '../pack/pack-reader.ts';
import { PackUploader } from '../pack/pack-uploader.ts';
import { isDamage, type CallOptions, type Repository } from '../repository.ts';
import { formatGoTime } from '../store/go-time.ts';
import { systemIdentity } from '../store/identity.ts';
import { encodeTree } from '../tree/encode-tree.ts';
import { printableName } from '../tree/go-quote.ts';
import { salvageTree } from '../tree/salvage-tree.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { BlobSaver } from './blob-saver.ts';
import { planIndexRepair, type IndexRepairPlan } from './repair-index.ts';

export interface RecoverOptions extends CallOptions {
  readonly clock?: Clock | undefined;
  /** Noted in the snapshot; this host's when absent. */
  readonly hostname?: string | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** A folder that no snapshot and no other folder leads to. */
export interface RecoverableRoot {
  readonly treeId: string;
  /** Its name in the new snapshot. */
  readonly name: string;
  readonly entries: number;
  /** Names of its first entries, printable. */
  readonly firstEntries: readonly string[];
}

/** What a recovery would do; plain data. */
export interface RecoverPlan {
  /** The index is repaired before, so that nothing that is stored is overlooked. */
  readonly index: IndexRepairPlan;
  readonly roots: readonly RecoverableRoot[];
  /** Trees that cannot be read. */
  readonly unreadableTrees: number;
  readonly trees: number;
}

export interface RecoverResult {
  /** Null when there was nothing to recover. */
  readonly snapshotId: string | null;
}

export interface Recovery {
  readonly plan: RecoverPlan;
  /** Carries the plan out. Can be repeated after an interruption: plan again. */
  run(options?: CallOptions): Promise<RecoverResult>;
}

const packsAtOnce = 4;
const shownEntries = 5;
/** Digits of a tree's id that name it, as restic's short ids. */
const shortIdDigits = 8;
/** Go's ModeDir and 0755. */
const folderMode = 2 ** 31 + 0o755;
/** Trees closer than this in a pack are read with one call. */
const mostGapBytes = 64 * 1024;
const mostRunBytes = 4 * 1024 * 1024;

/**
 * Reads every tree of the repository. The caller holds an exclusive lock from before the plan until after the run; for the plan
 * alone a shared one is enough.
 */
export async function planRecovery(repository: Repository, options: RecoverOptions = {}): Promise<Recovery> {
  const { signal } = options;
  const { snapshots } = await repository.readSnapshots({ signal, fresh: true });
  const indexRepair = await planIndexRepair(repository, options);
  const index = indexRepair.repairedIndex();
  const search = new RootSearch(repository, index, options);
  for (const { tree } of snapshots) search.markReferenced(tree);
  await mapConcurrently(index.packs(), packsAtOnce, (pack) => search.readPack(pack));
  const roots = await search.roots();
  const { unreadableTrees, trees } = search;
  return {
    plan: { index: indexRepair.plan, roots, unreadableTrees, trees },
    run: async ({ signal: runSignal } = {}) => {
      repository.assertWritable();
      if (indexRepair.plan.isNeeded) await indexRepair.run({ signal: runSignal });
      if (roots.length === 0) return { snapshotId: null };
      return saveRecovered(repository, roots, { ...options, signal: runSignal });
    },
  };
}

class RootSearch {
  unreadableTrees = 0;
  trees = 0;
  readonly #repository: Repository;
  readonly #index: BlobIndex;
  readonly #options: RecoverOptions;
  /** By the number of a tree's entry in the index: whether it can be read, and whether another tree or a snapshot names it. */
  readonly #isReadable: Uint8Array;
  readonly #isReferenced: Uint8Array;

  constructor(repository: Repository, index: BlobIndex, options: RecoverOptions) {
    this.#repository = repository;
    this.#index = index;
    this.#options = options;
    this.#isReadable = new Uint8Array(index.size);
    this.#isReferenced = new Uint8Array(index.size);
  }

  markReferenced(treeId: string): void {
    const entry = this.#index.entryOf('tree', treeId);
    if (entry >= 0) this.#isReferenced[entry] = 1;
  }

  async readPack({ packId, blobs }: IndexedPack): Promise<void> {
    const { signal, onProgress } = this.#options;
    for (const run of runsOf(blobs.filter(({ type }) => type === 'tree'))) {
      throwIfAborted(signal);
      const start = run[0]?.offset ?? 0;
      const bytes = await this.#loadRun(packId, run);
      if (!bytes) continue;
      for (const tree of run) {
        const stored = bytes.subarray(tree.offset - start, tree.offset - start + tree.length);
        this.#readTree(packId, tree, stored);
      }
      onProgress?.({ filesDone: this.trees, bytesDone: 0, current: 'folders' });
    }
  }

  /** Readable trees that nothing names, in order of their ids. */
  async roots(): Promise<RecoverableRoot[]> {
    const ids = new Set<string>();
    const unreadable = new Set<string>();
    for (const { blobs } of this.#index.packs()) {
      for (const { type, id } of blobs) {
        if (type !== 'tree') continue;
        const entry = this.#index.entryOf('tree', id);
        if (this.#isReadable[entry] === 0) unreadable.add(id);
        else if (this.#isReferenced[entry] === 0) ids.add(id);
      }
    }
    this.unreadableTrees = unreadable.size;
    const names = namesOf([...ids].sort());
    return mapConcurrently(names, packsAtOnce, async ([treeId, name]) => {
      const { signal } = this.#options;
      const { nodes } = salvageTree(await this.#repository.loadBlob('tree', treeId, { signal, index: this.#index }));
      const firstEntries = nodes.slice(0, shownEntries).map((node) => printableName(node.name));
      return { treeId, name, entries: nodes.length, firstEntries };
    });
  }

  async #loadRun(packId: string, run: readonly PackedBlob[]): Promise<Uint8Array | null> {
    const [first, last] = [run[0], run.at(-1)];
    if (!first || !last) return null;
    const range = { offset: first.offset, length: last.offset + last.length - first.offset };
    try {
      return await this.#repository.storage.load(
        { type: 'pack', name: packId },
        { ...range, signal: this.#options.signal },
      );
    } catch (error) {
      if (!isDamage(error)) throw error;
      return null;
    }
  }

  #readTree(packId: string, tree: PackedBlob, stored: Uint8Array): void {
    const entry = this.#index.entryOf('tree', tree.id);
    // Another copy may have been read already.
    if (this.#isReadable[entry] === 1) return;
    try {
      const plaintext = openBlob(stored, { ...tree, packId }, this.#repository);
      for (const { type, subtree } of salvageTree(plaintext).nodes) {
        if (type === 'dir' && subtree !== undefined) this.markReferenced(subtree);
      }
      this.#isReadable[entry] = 1;
      this.trees++;
    } catch (error) {
      // It may be good in another pack.
      if (!isDamage(error)) throw error;
    }
  }
}

function runsOf(trees: readonly PackedBlob[]): PackedBlob[][] {
  const runs: PackedBlob[][] = [];
  for (const tree of trees) {
    const run = runs.at(-1);
    const [first, last] = [run?.[0], run?.at(-1)];
    const isNear = first && last && tree.offset - last.offset - last.length <= mostGapBytes;
    if (run && isNear && tree.offset - first.offset <= mostRunBytes) run.push(tree);
    else runs.push([tree]);
  }
  return runs;
}

/** Short ids as names, in order; whole ids where short ones would be equal. */
export function namesOf(treeIds: readonly string[]): [treeId: string, name: string][] {
  const byShortId = Map.groupBy(treeIds, (id) => id.slice(0, shortIdDigits));
  return treeIds.map((id) => {
    const short = id.slice(0, shortIdDigits);
    return [id, byShortId.get(short)?.length === 1 ? short : id];
  });
}

async function saveRecovered(
  repository: Repository,
  roots: readonly RecoverableRoot[],
  options: RecoverOptions,
): Promise<RecoverResult> {
  const { signal } = options;
  const time = formatGoTime((options.clock ?? systemClock).now());
  const bytes = encodeTree(roots.map((root) => folderNode(root, time)));
  const tree = repository.engine.sha256(bytes).toString('hex');
  const uploader = new PackUploader(repository, { signal });
  const saver = new BlobSaver(repository, uploader);
  try {
    await saver.add('tree', tree, bytes);
    await saver.flush();
  } finally {
    await uploader.settle();
  }
  throwIfAborted(signal);
  const { hostname, username } = systemIdentity();
  const snapshot = { time, tree, paths: ['/recover'], hostname: options.hostname ?? hostname, username };
  const { id } = await repository.saveSnapshot({ ...snapshot, tags: ['recovered'] }, { signal });
  return { snapshotId: id };
}

function folderNode({ treeId, name }: RecoverableRoot, time: string): TreeNode {
  return {
    name: Buffer.from(name),
    type: 'dir',
    mode: folderMode,
    mtime: time,
    atime: time,
    ctime: time,
    uid: 0,
    gid: 0,
    inode: 0n,
    deviceId: 0n,
    size: 0,
    links: 0,
    device: 0n,
    content: null,
    subtree: treeId,
  };
}
