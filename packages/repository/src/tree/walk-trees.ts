// Walks the trees below any number of roots, level by level and each tree once: the trees of a level are read in the order in
// which they are stored, neighbours with one call. What a walk remembers is its visitor's business.

import { setImmediate } from 'node:timers/promises';
import { mapConcurrently, throwIfAborted } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import { openBlob } from '../pack/pack-reader.ts';
import { isDamage, type Repository } from '../repository.ts';
import { linksOfTree, type TreeLinks } from './tree-links.ts';

/** What is done with the trees of a walk. Trees are named by the number of their entry in the index. */
export interface TreeVisitor {
  /** Whether a tree has to be read: its entry, or -1 when it was met before or is not in the index. */
  readonly enter: (treeId: string, parent: number | null) => number;
  /** Takes a tree, before those below it are entered. */
  readonly visit: (entry: number, tree: TreeLinks) => void;
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
/** How long a walk may keep everything else waiting. */
const turnMs = 5;

/** Throws what is not damage, such as a storage that cannot be reached. */
export async function walkTrees(roots: Iterable<string>, options: TreeWalkOptions): Promise<void> {
  const { index, visitor, signal } = options;
  const turns = new Turns();
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
      for await (const { entry, tree } of readRun(run, options)) {
        visitor.visit(entry, tree);
        for (const subtree of tree.subtrees) enter(next, subtree, entry);
        await turns.next(signal);
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

/** Lets others go on every few milliseconds: the trees of a run are read from memory, without any wait. */
class Turns {
  #startedMs = performance.now();

  async next(signal: AbortSignal | undefined): Promise<void> {
    if (performance.now() - this.#startedMs < turnMs) return;
    await setImmediate();
    throwIfAborted(signal);
    this.#startedMs = performance.now();
  }
}

async function* readRun(
  run: BlobRun,
  options: TreeWalkOptions,
): AsyncGenerator<{ readonly entry: number; readonly tree: TreeLinks }> {
  const { repository, visitor, fresh, signal } = options;
  const { packId, offset, length } = run;
  const handle = { type: 'pack', name: packId } as const;
  const bytes = await repository.storage.load(handle, { offset, length, fresh, signal }).catch((error: unknown) => {
    if (isDamage(error)) return null;
    throw error;
  });
  for (const entry of run.entries) {
    let tree: TreeLinks;
    try {
      tree = await readTree(entry, { run, bytes }, options);
    } catch (error) {
      if (!isDamage(error)) throw error;
      visitor.fail(entry, error);
      continue;
    }
    yield { entry, tree };
  }
}

async function readTree(
  entry: number,
  { run, bytes }: { readonly run: BlobRun; readonly bytes: Uint8Array | null },
  options: TreeWalkOptions,
): Promise<TreeLinks> {
  const { repository, index, fresh, signal } = options;
  const tree = index.blobAt(entry);
  if (bytes) {
    const start = tree.offset - run.offset;
    try {
      return linksOfTree(
        openBlob(bytes.subarray(start, start + tree.length), { ...tree, packId: run.packId }, repository),
      );
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
  }
  return linksOfTree(await loadAnyCopy(repository, index, { type: 'tree', id: tree.id, fresh, signal }));
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
