// Differences between two trees, as restic's diff tells them. Folders with equal ids are not looked into for changes; the
// statistics need to know which blobs are in them, and read each of their trees once, until no blob is in question any more.

import { throwIfAborted } from '@varve/base';
import { plaintextLength } from '../blob-index/blob-index.ts';
import type { BlobType } from '../pack/blob-type.ts';
import type { Repository } from '../repository.ts';
import { TreeReader } from '../restore/tree-reader.ts';
import { goText, printableName } from '../tree/go-quote.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { BlobMarks } from './blob-marks.ts';
import { isSameContent, isSameNode } from './compare-nodes.ts';
import { walkTree } from './walk-tree.ts';

export interface DiffOptions {
  /** Ids of the trees before and after. */
  readonly before: string;
  readonly after: string;
  /** Report changes of metadata (`U`) too. */
  readonly metadata?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TreeChange {
  /** Absolute, printable; folders end with `/`. */
  readonly path: string;
  readonly jsonPath: string;
  /** `+` added, `-` removed, and together: `T` type, `M` content, `?` with equal metadata (bit rot), `U` metadata. */
  readonly modifier: string;
}

/** What only one side has. */
export interface DiffSide {
  files: number;
  dirs: number;
  others: number;
  dataBlobs: number;
  treeBlobs: number;
  /** Plaintext bytes of those blobs. */
  bytes: number;
}

export interface DiffStatistics {
  readonly changedFiles: number;
  readonly added: DiffSide;
  readonly removed: DiffSide;
}

interface Pair {
  readonly before: TreeNode | undefined;
  readonly after: TreeNode | undefined;
}

interface Level {
  readonly path: string;
  readonly jsonPath: string;
  readonly pairs: readonly Pair[];
  position: number;
}

/** Yields the changes in the order of paths and returns the statistics. The index has to be loaded. REPOSITORY_DAMAGED. */
export async function* diffTrees(
  repository: Repository,
  options: DiffOptions,
): AsyncGenerator<TreeChange, DiffStatistics> {
  return yield* new Diff(repository, options).run();
}

class Diff {
  readonly #options: DiffOptions;
  readonly #trees: TreeReader;
  readonly #blobs: BlobDifference;
  #changedFiles = 0;
  readonly #added = newSide();
  readonly #removed = newSide();

  constructor(repository: Repository, options: DiffOptions) {
    this.#options = options;
    this.#trees = new TreeReader(repository, options.signal);
    this.#blobs = new BlobDifference(repository);
  }

  async *run(): AsyncGenerator<TreeChange, DiffStatistics> {
    const { before, after, signal } = this.#options;
    this.#blobs.addTrees(before, after);
    const stack = before === after ? [] : [await this.#open({ path: '', jsonPath: '' }, before, after)];
    for (let level = stack.at(-1); level; level = stack.at(-1)) {
      const pair = level.pairs[level.position++];
      if (!pair) {
        stack.pop();
        continue;
      }
      throwIfAborted(signal);
      const place = placeOf(level, pair);
      yield* this.#compare(pair, place);
      const below = await this.#below(pair, place);
      if (below) stack.push(below);
    }
    await this.#blobs.finish(this.#trees, signal);
    this.#blobs.count(this.#removed, this.#added);
    return { changedFiles: this.#changedFiles, added: this.#added, removed: this.#removed };
  }

  *#compare(pair: Pair, place: { path: string; jsonPath: string }): Generator<TreeChange> {
    const { before, after } = pair;
    this.#blobs.addPair(pair);
    let modifier = '';
    if (!before || !after) {
      modifier = before ? '-' : '+';
      const node = before ?? after;
      if (node) addNode(before ? this.#removed : this.#added, node);
    } else {
      if (before.type !== after.type) modifier += 'T';
      if (before.type === 'file' && after.type === 'file' && !isSameContent(before, after)) {
        this.#changedFiles++;
        modifier += isSameNode({ ...before, content: null }, { ...after, content: null }) ? 'M?' : 'M';
      } else if (this.#options.metadata && !isSameNode(before, after)) modifier += 'U';
    }
    if (modifier === '') return;
    const suffix = (after ?? before)?.type === 'dir' ? '/' : '';
    yield { path: place.path + suffix, jsonPath: place.jsonPath + suffix, modifier };
  }

  /** What to compare next: two folders that differ, or all of one that only one side has. */
  async #below(pair: Pair, place: { path: string; jsonPath: string }): Promise<Level | undefined> {
    const before = pair.before?.type === 'dir' ? pair.before.subtree : undefined;
    const after = pair.after?.type === 'dir' ? pair.after.subtree : undefined;
    if (before === undefined && after === undefined) return undefined;
    if (pair.before && pair.after) {
      // As restic: what became a folder, or was one, is not looked into.
      if (before === undefined || after === undefined) return undefined;
      if (before === after) {
        this.#blobs.addCommonTree(before);
        return undefined;
      }
    }
    return this.#open(place, before, after);
  }

  async #open(
    place: { readonly path: string; readonly jsonPath: string },
    before: string | undefined,
    after: string | undefined,
  ): Promise<Level> {
    const nodes = (id: string | undefined): Promise<TreeNode[]> | TreeNode[] =>
      id === undefined ? [] : this.#trees.nodes(id);
    const [left, right] = await Promise.all([nodes(before), nodes(after)]);
    return { ...place, pairs: pairUp(left, right), position: 0 };
  }
}

function placeOf(level: Level, { before, after }: Pair): { path: string; jsonPath: string } {
  const name = (before ?? after)?.name ?? Buffer.alloc(0);
  return { path: `${level.path}/${printableName(name)}`, jsonPath: `${level.jsonPath}/${goText(name)}` };
}

/** Nodes of both sides by name. */
function pairUp(left: readonly TreeNode[], right: readonly TreeNode[]): Pair[] {
  const pairs: Pair[] = [];
  for (let i = 0, j = 0; i < left.length || j < right.length;) {
    const [before, after] = [left[i], right[j]];
    const order = !before ? 1 : !after ? -1 : Buffer.compare(before.name, after.name);
    pairs.push({ before: order <= 0 ? before : undefined, after: order >= 0 ? after : undefined });
    if (order <= 0) i++;
    if (order >= 0) j++;
  }
  return pairs;
}

function newSide(): DiffSide {
  return { files: 0, dirs: 0, others: 0, dataBlobs: 0, treeBlobs: 0, bytes: 0 };
}

function addNode(side: DiffSide, { type }: TreeNode): void {
  if (type === 'file') side.files++;
  else if (type === 'dir') side.dirs++;
  else side.others++;
}

/** Ids of blobs. */
interface Blobs {
  readonly data: Set<string>;
  readonly tree: Set<string>;
}

const blobTypes = ['data', 'tree'] as const;

/** Which blobs only one side refers to. Keeps the ids of those that may be such, and a bit for those that both have. */
class BlobDifference {
  readonly #repository: Repository;
  readonly #before: Blobs = { data: new Set(), tree: new Set() };
  readonly #after: Blobs = { data: new Set(), tree: new Set() };
  readonly #common: BlobMarks;
  readonly #commonTrees = new Set<string>();

  constructor(repository: Repository) {
    this.#repository = repository;
    this.#common = new BlobMarks(repository.index);
  }

  addTrees(before: string, after: string): void {
    if (before === after) return;
    this.#before.tree.add(before);
    this.#after.tree.add(after);
  }

  addCommonTree(treeId: string): void {
    this.#commonTrees.add(treeId);
  }

  addPair({ before, after }: Pair): void {
    if (before?.type === 'file' && after?.type === 'file' && isSameContent(before, after)) {
      for (const id of before.content ?? []) this.#setCommon('data', id);
      return;
    }
    if (before) addBlobs(this.#before, before);
    if (after) addBlobs(this.#after, after);
  }

  /** Reads the folders that both sides share, as long as blobs are in question. */
  async finish(trees: TreeReader, signal: AbortSignal | undefined): Promise<void> {
    for (const type of blobTypes) {
      for (const id of this.#before[type]) {
        if (this.#after[type].has(id) || this.#common.has(type, id)) this.#drop(type, id);
      }
      for (const id of this.#after[type]) if (this.#common.has(type, id)) this.#drop(type, id);
    }
    const seen = new BlobMarks(this.#repository.index);
    for (const treeId of this.#commonTrees) {
      if (this.#isDecided) return;
      for await (const step of walkTree(this.#repository, { treeId, trees, signal, seen })) {
        if (step.kind === 'leave') continue;
        for (const id of step.node.content ?? []) this.#drop('data', id);
        if (step.node.subtree !== undefined) this.#drop('tree', step.node.subtree);
        if (this.#isDecided) return;
      }
    }
  }

  count(removed: DiffSide, added: DiffSide): void {
    this.#countSide(removed, this.#before);
    this.#countSide(added, this.#after);
  }

  get #isDecided(): boolean {
    return [this.#before, this.#after].every(({ data, tree }) => data.size + tree.size === 0);
  }

  #countSide(side: DiffSide, blobs: Blobs): void {
    side.dataBlobs = blobs.data.size;
    side.treeBlobs = blobs.tree.size;
    for (const type of blobTypes) {
      for (const id of blobs[type]) {
        const location = this.#repository.index.lookup(type, id);
        if (location) side.bytes += plaintextLength(location);
      }
    }
  }

  #drop(type: BlobType, id: string): void {
    this.#before[type].delete(id);
    this.#after[type].delete(id);
  }

  #setCommon(type: BlobType, id: string): void {
    if (this.#repository.index.has(type, id)) this.#common.mark(type, id);
  }
}

function addBlobs(side: Blobs, node: TreeNode): void {
  if (node.type === 'file') for (const id of node.content ?? []) side.data.add(id);
  else if (node.type === 'dir' && node.subtree !== undefined) side.tree.add(node.subtree);
}
