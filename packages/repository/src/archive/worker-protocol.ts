// What the main thread and the archive's worker threads say to each other. Everything is structured-cloneable; bytes of
// blobs and packs are transferred.

import type { SharedBlobClaims } from '../blob-index/blob-claims.ts';
import type { SharedBlobIndex } from '../blob-index/blob-index.ts';
import type { MasterKeyParts } from '../crypto/master-key.ts';
import type { BlobType } from '../pack/blob-type.ts';
import type { Compression, FinishedPack, PackPart } from '../pack/pack-builder.ts';

export interface WorkerSetup {
  readonly polynomial: bigint;
  readonly key: MasterKeyParts;
  readonly index: SharedBlobIndex;
  readonly claims: SharedBlobClaims;
  /** See {@link ControlWord}. */
  readonly control: SharedArrayBuffer;
  readonly compression: Compression;
  /** Target size of packs; restic's when absent. */
  readonly packSizeBytes?: number | undefined;
  readonly withAccessTimes: boolean;
  /** See {@link StartArchiveOptions.extraVerify}. */
  readonly extraVerify: boolean;
  readonly comparison: Comparison;
  /** Whether results tell every item ({@link Item}). */
  readonly tellsItems: boolean;
  /** A worker waits while this many finished packs of all workers are not stored yet. */
  readonly maxUnstoredPacks: number;
}

/** Which facts do not count when a file is compared with the parent snapshot. */
export interface Comparison {
  readonly ignoreCtime: boolean;
  readonly ignoreInode: boolean;
}

/** What became of one file or folder, for people who want to see every item. */
export interface Item {
  readonly kind: 'file' | 'dir';
  readonly action: 'new' | 'modified' | 'unchanged';
  /** Printable path: from a thread that on the host, for callers that in the snapshot. */
  readonly path: string;
  readonly durationMs: number;
  /** Plaintext bytes of new blobs, and what they take in packs; of trees for folders. */
  readonly bytesAdded: number;
  readonly bytesAddedPacked: number;
}

/** Words of the shared control block. */
export const controlWords = { unstoredPacks: 0, aborted: 1, total: 2 } as const;

/** A page that was not right however often it was read, and was stored as it is. */
export interface BadPage {
  /** Of its first byte in the file. */
  readonly position: number;
  readonly description: string;
}

/** A file or folder that could not be saved; the snapshot goes without it and is partial. */
export interface Problem {
  /** Printable. */
  readonly path: string;
  readonly message: string;
}

/** What users should know about a file and what does not make the snapshot partial. */
export interface Notice extends Problem {
  /**
   * `grew`: while it was read. `incomplete`: unchanged, but read again, because chunks of it were missing. `no-mark`: it has the
   * name of a mark and not its header. `bad-page`: a page of it did not pass its check; `page` says which.
   */
  readonly kind: 'grew' | 'incomplete' | 'no-mark' | 'bad-page';
  readonly page?: BadPage | undefined;
}

/** What a job did; sums are formed in the main thread. */
export interface Counts {
  filesNew: number;
  filesChanged: number;
  filesUnmodified: number;
  /** Plaintext bytes of all files that were saved, the unmodified ones included. */
  bytes: number;
  dataBlobs: number;
  treeBlobs: number;
  /** Plaintext bytes of new blobs, and what they take in packs. */
  bytesAdded: number;
  bytesAddedPacked: number;
}

export function noCounts(): Counts {
  return {
    filesNew: 0,
    filesChanged: 0,
    filesUnmodified: 0,
    bytes: 0,
    dataBlobs: 0,
    treeBlobs: 0,
    bytesAdded: 0,
    bytesAddedPacked: 0,
  };
}

export function addCounts(sum: Counts, counts: Counts): void {
  for (const key of Object.keys(counts) as (keyof Counts)[]) sum[key] += counts[key];
}

/** Where a folder is, for the rules of its source and for people. */
export interface FolderLabel {
  /** Printable path of the folder on the host. */
  readonly shown: string;
  /** {@link SelectionRules} of its source, as JSON. */
  readonly rules: string;
  /** Its path inside the source as a binary string: `''`, `/a`, `/a/b`. */
  readonly below: string;
}

export interface FolderToSave {
  readonly path: Uint8Array;
  readonly label: FolderLabel;
  /** Its tree is not stored: the nodes are wanted. */
  readonly isOpen: boolean;
  /** The tree that this folder had in the parent snapshot, in plaintext. */
  readonly parent?: { readonly id: string; readonly tree: Uint8Array } | undefined;
}

/** A part of a live file of pages; see page-range.ts. */
export interface RangeToSave {
  readonly kind: 'range';
  readonly path: Uint8Array;
  readonly inode: bigint;
  readonly from: number;
  readonly length: number;
  readonly chunkBytes: number;
  readonly pageCheck: string | null;
}

export type Job =
  /** List folders; save their small files. */
  | { readonly kind: 'folders'; readonly folders: readonly FolderToSave[] }
  /** Save these files of a folder. */
  | {
      readonly kind: 'files';
      readonly folder: Uint8Array;
      readonly label: FolderLabel;
      readonly files: readonly {
        /** A binary string. */
        readonly name: string;
        readonly isNew: boolean;
        readonly pageChunkBytes: number;
      }[];
    }
  /** Store a blob; `id` is the hash when the main thread has claimed it already. */
  | {
      readonly kind: 'blob';
      readonly type: BlobType;
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly id?: Uint8Array | undefined;
    }
  /** Store data that is cut every `chunkBytes`; the last piece may be shorter. */
  | { readonly kind: 'pages'; readonly bytes: Uint8Array<ArrayBuffer>; readonly chunkBytes: number }
  | RangeToSave
  /** Send what is not a full pack yet. */
  | { readonly kind: 'flush' };

/** What a job tells beside its result. */
export interface Remarks {
  readonly problems: readonly Problem[];
  readonly notices: readonly Notice[];
  readonly items: readonly Item[];
}

export interface FolderResult extends Remarks {
  readonly kind: 'folder';
  /** Id of the folder's tree, when it has no subfolders and no deferred files and is not open: then the lists are empty. */
  readonly subtree?: string | undefined;
  /** What that tree cost, a part of `counts`. */
  readonly treeCounts?: Counts | undefined;
  /** JSON of the nodes in order; that of a subfolder is still open, that of a deferred file is empty. */
  readonly nodes: readonly string[];
  readonly subfolders: readonly {
    readonly slot: number;
    readonly name: Uint8Array;
    readonly parentTree?: string | undefined;
  }[];
  /** Files that are left to other jobs, so that a large folder does not keep one thread busy alone. */
  /** Of files that were read for it, without those that are deferred. */
  readonly bytesRead: number;
  readonly deferred: readonly {
    readonly slot: number;
    /** A binary string: a folder may have very many of them, and bytes take more memory. */
    readonly name: string;
    readonly sizeBytes: number;
    readonly isNew: boolean;
    readonly pageChunkBytes: number;
  }[];
  readonly counts: Counts;
}

/** A folder that could not be listed. */
export interface UnreadableFolder {
  readonly kind: 'unreadable';
  /** It is not there any more. */
  readonly isGone: boolean;
  readonly message: string;
}

export interface FoldersResult {
  readonly kind: 'folders';
  /** In the order of the job. */
  readonly folders: readonly (FolderResult | UnreadableFolder)[];
}

export interface FilesResult extends Remarks {
  readonly kind: 'files';
  /** JSON of the nodes, in the order of the names; empty for a file that could not be read. */
  readonly nodes: readonly string[];
  readonly counts: Counts;
}

export interface BlobResult {
  readonly kind: 'blob';
  readonly id: string;
  readonly counts: Counts;
}

export interface PagesResult {
  readonly kind: 'pages';
  readonly ids: readonly string[];
  readonly counts: Counts;
}

export interface RangeResult {
  readonly kind: 'range';
  /** Another file has the name now. */
  readonly isGone: boolean;
  /** As they stand in the node, `id","id`: one text instead of very many. */
  readonly ids: string;
  readonly badPages: readonly BadPage[];
  readonly counts: Counts;
}

export interface FlushResult {
  readonly kind: 'flush';
}

export type JobResult = FoldersResult | FilesResult | BlobResult | PagesResult | RangeResult | FlushResult;

/** What a worker sends besides results; always before the result of the job that it comes from. */
export type ArchiveEvent =
  | { readonly kind: 'pack'; readonly pack: FinishedPack }
  | { readonly kind: 'part'; readonly part: PackPart };
