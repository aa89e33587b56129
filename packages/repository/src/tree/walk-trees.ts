// Walks the trees below any number of roots, level by level and each tree once: the trees of a level are read in the order in
// which they are stored, neighbours with one call. What a walk remembers is its visitor's business.

import { mapConcurrently, throwIfAborted } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import { openBlob } from '../pack/pack-reader.ts';
import { isDamage, type Repository } from '../repository.ts';
import { decodeTree } from './decode-tree.ts';
import type { TreeNode } from './tree-node.ts';

/** What is done with the trees of a walk. Trees are named by the number of their entry in the index. */
export interface TreeVisitor {
  /** Whether a tree has to be read: its entry, or -1 when it was met before or is not in the index. */
  readonly enter: (treeId: string, parent: number | null) => number;
  /** Takes the nodes of a tree, before those below it are entered. */
  readonly visit: (entry: number, nodes: readonly TreeNode[]) => void;
  /** Takes a tree of which no stored copy can be read; the walk goes on without it. */
  readonly fail: (entry: number, error: unknown) => void;
}

export interface TreeWalkOptions {
  readonly repository: Repository;
  readonly index: BlobIndex;
  readonly visitor: TreeVisitor;
  /** From the storage itself, not from a cache. */
  readonly fresh?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

const runsAtOnce = 8;
/** Neighbours closer than this are read with one call, up to the second size. */
const mostGapBytes = 64 * 1024;
const mostRunBytes = 4 * 1024 * 1024;

/** Throws what is not damage, such as a storage that cannot be reached. */
export async function walkTrees(roots: Iterable<string>, options: TreeWalkOptions): Promise<void> {
  const { index, visitor, signal } = options;
  let level: number[] = [];
  const enter = (next: number[], treeId: string, parent: number | null): void => {
    const entry = visitor.enter(treeId, parent);
    if (entry >= 0) next.push(entry);
  };
  for (const root of roots) enter(level, root, null);
  while (level.length > 0) {
    throwIfAborted(signal);
    const next: number[] = [];
    const runs = runsOf(index, level, { mostGapBytes, mostRunBytes });
    await mapConcurrently(runs, runsAtOnce, async (run) => {
      throwIfAborted(signal);
      for (const { entry, nodes } of await readRun(run, options)) {
        visitor.visit(entry, nodes);
        for (const { type, subtree } of nodes) if (type === 'dir' && subtree !== undefined) enter(next, subtree, entry);
      }
    });
    level = next;
  }
}

/** Blobs of a pack that are read with one call. */
export interface BlobRun {
  readonly packId: string;
  readonly offset: number;
  length: number;
  readonly entries: number[];
}

/** Groups entries of the index, which it sorts, into runs of neighbours. */
export function* runsOf(
  index: BlobIndex,
  entries: number[],
  limits: { readonly mostGapBytes: number; readonly mostRunBytes: number },
): Generator<BlobRun> {
  entries.sort((a, b) => index.packOf(a) - index.packOf(b) || index.offsetAt(a) - index.offsetAt(b));
  let run: BlobRun | undefined;
  let pack = -1;
  for (const entry of entries) {
    const offset = index.offsetAt(entry);
    const end = offset + index.lengthAt(entry);
    const isNear =
      run !== undefined &&
      index.packOf(entry) === pack &&
      offset - (run.offset + run.length) <= limits.mostGapBytes &&
      end - run.offset <= limits.mostRunBytes;
    if (run && isNear) {
      run.entries.push(entry);
      run.length = Math.max(run.length, end - run.offset);
      continue;
    }
    if (run) yield run;
    pack = index.packOf(entry);
    run = { packId: index.packIdOf(pack), offset, length: end - offset, entries: [entry] };
  }
  if (run) yield run;
}

async function readRun(
  run: BlobRun,
  options: TreeWalkOptions,
): Promise<{ readonly entry: number; readonly nodes: readonly TreeNode[] }[]> {
  const { repository, visitor, fresh, signal } = options;
  const { packId, offset, length } = run;
  const handle = { type: 'pack', name: packId } as const;
  const bytes = await repository.storage.load(handle, { offset, length, fresh, signal }).catch((error: unknown) => {
    if (isDamage(error)) return null;
    throw error;
  });
  const trees = [];
  for (const entry of run.entries) {
    try {
      trees.push({ entry, nodes: await readTree(entry, { run, bytes }, options) });
    } catch (error) {
      if (!isDamage(error)) throw error;
      visitor.fail(entry, error);
    }
  }
  return trees;
}

async function readTree(
  entry: number,
  { run, bytes }: { readonly run: BlobRun; readonly bytes: Uint8Array | null },
  options: TreeWalkOptions,
): Promise<TreeNode[]> {
  const { repository, index, fresh, signal } = options;
  const tree = index.blobAt(entry);
  if (bytes) {
    const start = tree.offset - run.offset;
    try {
      return decodeTree(
        openBlob(bytes.subarray(start, start + tree.length), { ...tree, packId: run.packId }, repository),
      );
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
  return decodeTree(await loadAnyCopy(repository, index, { type: 'tree', id: tree.id, fresh, signal }));
}

/** The plaintext of a blob from any copy in `index`, each read anew. Throws the error of the first when none is good. */
export async function loadAnyCopy(
  repository: Repository,
  index: BlobIndex,
  blob: {
    readonly type: 'data' | 'tree';
    readonly id: string;
    readonly fresh?: boolean | undefined;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Uint8Array> {
  const { type, id, fresh, signal } = blob;
  let firstError: unknown;
  for (const copy of index.lookupAll(type, id)) {
    try {
      const range = { offset: copy.offset, length: copy.length, fresh, signal };
      const stored = await repository.storage.load({ type: 'pack', name: copy.packId }, range);
      return openBlob(stored, { ...copy, id, type }, repository);
    } catch (error) {
      if (!isDamage(error)) throw error;
      firstError ??= error;
    }
  }
  throw firstError;
}
