// Which blobs the snapshots use: a byte of marks for each entry of the index, and 4 for where its first copy is. A walk adds to the marks and reads only trees that
// no walk before has read. Whatever is used and cannot be found ends it before anything is changed.

import { messageOf } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import type { Repository } from '../repository.ts';
import type { Snapshot } from '../snapshot/snapshot.ts';
import { walkTrees, type TreeVisitor } from '../tree/walk-trees.ts';
import { missingError, mostThingsNamed, type MissingThings } from './damage.ts';

/** On the first copy of a blob: a snapshot refers to it. */
const usedMark = 1;
/** On the first copy of a blob: a copy of it stays, wherever. */
const safeMark = 2;

export interface WalkOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called with the number of trees read so far. */
  readonly onTrees?: ((trees: number) => void) | undefined;
}

export class UsedBlobs {
  readonly index: BlobIndex;
  readonly #repository: Repository;
  #marks = new Uint8Array();
  /** The first copy of each entry: looking it up takes a microsecond, too long under an exclusive lock. */
  #firsts = new Uint32Array();
  readonly #walked = new Set<string>();

  constructor(repository: Repository, index: BlobIndex) {
    this.#repository = repository;
    this.index = index;
    this.#makeRoom();
  }

  /** Whether a snapshot refers to the blob of an entry. */
  isUsed(entry: number): boolean {
    return (this.#marks[this.#firsts[entry]!]! & usedMark) !== 0;
  }

  /** As the index's, from memory. */
  firstCopyOf(entry: number): number {
    return this.#firsts[entry]!;
  }

  /** Whether a copy of the entry's blob stays, by what {@link UsedBlobs.markSafe} was told. */
  isSafe(entry: number): boolean {
    return (this.#marks[this.#firsts[entry]!]! & safeMark) !== 0;
  }

  markSafe(entry: number): void {
    this.#marks[this.#firsts[entry]!]! |= safeMark;
  }

  /** Forgets what {@link UsedBlobs.markSafe} was told, and makes room for entries that the index has got since. */
  clearSafe(): void {
    this.#makeRoom();
    for (let entry = 0; entry < this.#marks.length; entry++) this.#marks[entry]! &= ~safeMark;
  }

  /**
   * Marks what the snapshots use. REPOSITORY_DAMAGED, which names the snapshots, when a blob of theirs is not in the index
   * or a tree cannot be read.
   */
  async walk(snapshots: readonly Snapshot[], options: WalkOptions = {}): Promise<void> {
    this.#makeRoom();
    const fresh = snapshots.filter(({ tree }) => !this.#walked.has(tree));
    const missing: MissingThings = { named: [], count: 0 };
    const miss = (what: string): void => {
      if (missing.count++ < mostThingsNamed) missing.named.push(what);
    };
    let trees = 0;
    const visitor: TreeVisitor = {
      enter: (treeId) => {
        const entry = this.index.entryOf('tree', treeId);
        if (entry < 0) miss(`the tree ${treeId}, which is not in the index`);
        else if ((this.#marks[entry]! & usedMark) !== 0) return -1;
        else this.#marks[entry]! |= usedMark;
        return entry;
      },
      visit: (_entry, { data }) => {
        options.onTrees?.(++trees);
        for (const id of data) {
          const entry = this.index.entryOf('data', id);
          if (entry >= 0) this.#marks[entry]! |= usedMark;
          else miss(`the data blob ${id}, which is not in the index`);
        }
      },
      fail: (_entry, error) => miss(`a tree that cannot be read (${messageOf(error)})`),
    };
    const walk = { repository: this.#repository, index: this.index, signal: options.signal };
    const roots = fresh.map(({ tree }) => tree);
    await walkTrees(roots, { ...walk, visitor });
    if (missing.count > 0) throw await missingError(snapshots, { ...walk, missing });
    for (const root of roots) this.#walked.add(root);
  }

  #makeRoom(): void {
    const { size } = this.index;
    const known = this.#marks.length;
    if (known >= size) return;
    const marks = new Uint8Array(size);
    const firsts = new Uint32Array(size);
    marks.set(this.#marks);
    firsts.set(this.#firsts);
    for (let entry = known; entry < size; entry++) firsts[entry] = this.index.firstCopyOf(entry);
    this.#marks = marks;
    this.#firsts = firsts;
  }
}
