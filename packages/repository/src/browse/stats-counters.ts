// The modes of counting of restic's stats. Each counter is given the steps of one walk after the other and says which
// folders need not be walked again.

import { createHash, hash } from 'node:crypto';
import { AppError } from '@varve/base';
import { BlobClaims } from '../blob-index/blob-claims.ts';
import { BlobIndex, plaintextLength, type BlobLocation } from '../blob-index/blob-index.ts';
import { unitOverheadBytes } from '../crypto/unit-cipher.ts';
import type { BlobType } from '../pack/blob-type.ts';
import type { Repository } from '../repository.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import { BlobMarks } from './blob-marks.ts';
import type { WalkStep } from './walk-tree.ts';

export interface RepositoryStats {
  /** Bytes; may be more than a number can count exactly. */
  readonly totalSize: bigint;
  readonly totalFileCount: number;
  readonly totalBlobCount: number;
  readonly snapshotsCount: number;
  /** Of `raw-data` in format 2: what it would be without compression. */
  readonly totalUncompressedSize?: bigint | undefined;
  /** Plaintext to stored bytes of the blobs that are compressed. */
  readonly compressionRatio?: number | undefined;
  /** Percent of the data that is stored compressed. */
  readonly compressionProgress?: number | undefined;
  /** Percent that compression saves. */
  readonly compressionSpaceSaving?: number | undefined;
}

export interface StatsCounter {
  /** Trees that need not be walked again, when that is all there is to it. */
  readonly seen?: BlobMarks | undefined;
  /** Before a snapshot is walked; false when it need not be. */
  begin(treeId: string): boolean;
  /** Whether a folder has to be walked. Changes nothing. */
  enters?(subtree: string): boolean;
  step(step: WalkStep): void;
  /** The snapshot was walked. */
  end?(): void;
  result(): Omit<RepositoryStats, 'snapshotsCount'>;
}

/** A file with several names. */
interface LinkedFile {
  readonly key: string;
  readonly size: number;
}

/** What restoring a folder writes; with the folders in it that hold links, since links are counted once a snapshot. */
interface FolderSize {
  readonly treeId: string;
  files: number;
  bytes: number;
  readonly links: LinkedFile[];
  readonly linkFolders: FolderSize[];
}

/** The sum over all snapshots of what restoring each writes. */
export class RestoreSizeCounter implements StatsCounter {
  readonly #folders = new Map<string, FolderSize>();
  #open: FolderSize[] = [];
  #files = 0;
  #bytes = 0n;

  begin(treeId: string): boolean {
    const known = this.#folders.get(treeId);
    if (known) this.#addSnapshot(known);
    else this.#open = [newFolder(treeId)];
    return !known;
  }

  enters(subtree: string): boolean {
    return !this.#folders.has(subtree);
  }

  step(step: WalkStep): void {
    const folder = this.#open.at(-1);
    if (!folder) return;
    if (step.kind === 'leave') {
      this.#open.pop();
      this.#folders.set(folder.treeId, folder);
      const parent = this.#open.at(-1);
      if (parent) addFolder(parent, folder);
      return;
    }
    const { node } = step;
    folder.files++;
    if (isLinked(node)) folder.links.push({ key: `${node.deviceId}:${node.inode}`, size: node.size });
    else folder.bytes += node.size;
    if (node.type !== 'dir' || node.subtree === undefined) return;
    const known = this.#folders.get(node.subtree);
    if (known) addFolder(folder, known);
    else this.#open.push(newFolder(node.subtree));
  }

  end(): void {
    const [root] = this.#open;
    if (!root) return;
    this.#folders.set(root.treeId, root);
    this.#addSnapshot(root);
  }

  result(): Omit<RepositoryStats, 'snapshotsCount'> {
    return { totalSize: this.#bytes, totalFileCount: this.#files, totalBlobCount: 0 };
  }

  #addSnapshot(root: FolderSize): void {
    this.#files += root.files;
    this.#bytes += BigInt(root.bytes);
    const links = new Map<string, number>();
    const stack = [root];
    for (let folder = stack.pop(); folder; folder = stack.pop()) {
      for (const { key, size } of folder.links) if (!links.has(key)) links.set(key, size);
      stack.push(...folder.linkFolders);
    }
    for (const size of links.values()) this.#bytes += BigInt(size);
  }
}

function newFolder(treeId: string): FolderSize {
  return { treeId, files: 0, bytes: 0, links: [], linkFolders: [] };
}

function addFolder(parent: FolderSize, folder: FolderSize): void {
  parent.files += folder.files;
  parent.bytes += folder.bytes;
  if (folder.links.length > 0 || folder.linkFolders.length > 0) parent.linkFolders.push(folder);
}

/** A node of unknown inode counts for itself. */
function isLinked(node: TreeNode): boolean {
  return node.type !== 'dir' && node.links !== 1 && node.inode !== 0n;
}

/** Files that differ in content; with `countsBlobs` their blobs, each once for every path that it is at. */
export class ContentCounter implements StatsCounter {
  /** A tree that was met before adds nothing. */
  readonly seen: BlobMarks;
  readonly #repository: Repository;
  readonly #countsBlobs: boolean;
  /** Hashes of contents, of paths, and of paths with a blob: 36 bytes each. */
  readonly #contents = newSet();
  readonly #paths = newSet();
  readonly #blobsOfPaths = newSet();
  #bytes = 0n;
  #files = 0;
  #blobs = 0;

  constructor(repository: Repository, options: { readonly countsBlobs: boolean }) {
    this.seen = new BlobMarks(repository.index);
    this.#repository = repository;
    this.#countsBlobs = options.countsBlobs;
  }

  begin(treeId: string): boolean {
    return !this.seen.has('tree', treeId);
  }

  step(step: WalkStep): void {
    if (step.kind === 'leave') return;
    const content = step.node.content ?? [];
    const contentHash = createHash('sha256');
    for (const id of content) contentHash.update(id);
    // As restic counts: what has no content, folders and links too, is one more file without content.
    if (!this.#contents.claim('data', contentHash.digest())) return;
    if (this.#countsBlobs) this.#countBlobs(content, step.path);
    else {
      this.#bytes += BigInt(step.node.size);
      this.#files++;
    }
  }

  result(): Omit<RepositoryStats, 'snapshotsCount'> {
    return { totalSize: this.#bytes, totalFileCount: this.#files, totalBlobCount: this.#blobs };
  }

  #countBlobs(content: readonly string[], path: string): void {
    if (content.length === 0) return;
    if (this.#paths.claim('data', hash('sha256', path, 'buffer'))) this.#files++;
    for (const id of content) {
      if (!this.#blobsOfPaths.claim('data', hash('sha256', `${id}${path}`, 'buffer'))) continue;
      this.#bytes += BigInt(plaintextLength(locate(this.#repository, 'data', id)));
      this.#blobs++;
    }
  }
}

/** Stored bytes of every blob that is referred to. */
export class RawDataCounter implements StatsCounter {
  readonly seen: BlobMarks;
  readonly #repository: Repository;
  readonly #met: BlobMarks;
  readonly #sizes = { stored: 0, uncompressed: 0, compressedStored: 0, compressedPlain: 0 };
  #blobs = 0;

  constructor(repository: Repository) {
    this.seen = new BlobMarks(repository.index);
    this.#repository = repository;
    this.#met = new BlobMarks(repository.index);
  }

  begin(treeId: string): boolean {
    this.#count('tree', treeId);
    return !this.seen.has('tree', treeId);
  }

  step(step: WalkStep): void {
    if (step.kind === 'leave') return;
    const { type, content, subtree } = step.node;
    if (type === 'file') for (const id of content ?? []) this.#count('data', id);
    else if (type === 'dir' && subtree !== undefined) this.#count('tree', subtree);
  }

  result(): Omit<RepositoryStats, 'snapshotsCount'> {
    const { stored, uncompressed, compressedStored, compressedPlain } = this.#sizes;
    const totals = { totalSize: BigInt(stored), totalFileCount: 0, totalBlobCount: this.#blobs };
    if (this.#repository.version === 1 || uncompressed === 0) return totals;
    return {
      ...totals,
      totalUncompressedSize: BigInt(uncompressed),
      compressionRatio: compressedStored > 0 ? compressedPlain / compressedStored : undefined,
      compressionProgress: (compressedPlain / uncompressed) * 100,
      compressionSpaceSaving: (1 - stored / uncompressed) * 100,
    };
  }

  #count(type: BlobType, id: string): void {
    if (!this.#met.mark(type, id)) return;
    const location = locate(this.#repository, type, id);
    const plain = plaintextLength(location) + unitOverheadBytes;
    this.#blobs++;
    this.#sizes.stored += location.length;
    this.#sizes.uncompressed += plain;
    if (location.uncompressedLength === 0) return;
    this.#sizes.compressedStored += location.length;
    this.#sizes.compressedPlain += plain;
  }
}

/** A compact set of hashes. */
function newSet(): BlobClaims {
  return new BlobClaims(new BlobIndex());
}

function locate(repository: Repository, type: BlobType, id: string): BlobLocation {
  const location = repository.index.lookup(type, id);
  if (!location) throw new AppError('REPOSITORY_DAMAGED', `The ${type} blob ${id} is not in the index.`);
  return location;
}
