// What an archive session is asked and what it answers.

import type { OnProgress, TokenBucket } from '@varve/base';
import type { LockOwnerOptions } from '../lock/process-identity.ts';
import type { Compression } from '../pack/pack-builder.ts';
import type { Snapshot, SnapshotSummary } from '../snapshot/snapshot.ts';
import type { LiveFiles } from './live-files.ts';
import type { ExcludeRules, PageFiles, SelectionRules } from './selection.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { Comparison, Item, Notice, Problem } from './worker-protocol.ts';

export interface StartArchiveOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Counts the folders while they are saved, so that progress has totals; costs a second look at every file. */
  readonly measure?: boolean | undefined;
  /** Files that did not change since this snapshot are not read again. */
  readonly parent?: Snapshot | undefined;
  /** Patterns (restic's syntax) that are matched against paths in the snapshot, of all folders added. */
  readonly excludes?: readonly string[] | undefined;
  readonly compression?: Compression | undefined;
  /** Target size of packs in bytes, 4 to 128 MiB; 16 MiB when absent. */
  readonly packSizeBytes?: number | undefined;
  /** What does not count when files are compared with the parent. */
  readonly comparison?: Partial<Comparison> | undefined;
  /** Note access times; otherwise modification times stand in their place, as in restic. */
  readonly withAccessTimes?: boolean | undefined;
  /** Open, decompress and hash every blob again before it is stored, against bad memory; costs a third more processor time. */
  readonly extraVerify?: boolean | undefined;
  /** Called for every file and folder; costs time. */
  readonly onItem?: ((item: Item) => void) | undefined;
  /** Read and compute everything, store nothing, take no lock. */
  readonly dryRun?: boolean | undefined;
  /** Worker threads; the number of processors, at least 2, when absent. 0: a few megabytes are done in the thread that asks. */
  readonly workers?: number | undefined;
  /** Start them all at once: for inputs of many files. Else as there is work for them. */
  readonly startsThreads?: boolean | undefined;
  /** How long to wait for a lock that is taken; 0 when absent. */
  readonly lockWaitMs?: number | undefined;
  /** Whose lock it is. */
  readonly lockOwner?: LockOwnerOptions | undefined;
}

/** What an input came to. `bytes` of all its files, `bytesAdded` of what the repository did not have. */
export interface AddedItem {
  readonly files: number;
  readonly dirs: number;
  readonly bytes: number;
  readonly bytesAdded: number;
  /** Files that could not be read, which the snapshot goes without, or whose copy may be a mixture of two states. */
  readonly problems: readonly Problem[];
  /** What users should know and what makes nothing partial. */
  readonly notices: readonly Notice[];
}

export interface AddPathOptions extends ExcludeRules {
  /** Path on this host: a folder with all below it, a file, a link, anything but a socket. */
  readonly source: string | Buffer;
  /** Absolute path in the snapshot. `/` for a folder whose content becomes the root. */
  readonly target: string;
  /** Patterns that are matched against paths inside the source, `/` being the source itself. */
  readonly excludes?: readonly string[] | undefined;
  /** Files that are cut at the borders of their pages. */
  readonly pages?: PageFiles | undefined;
  /** The files belong to a running program that can repair what was read while it was changed. */
  readonly live?: LiveFiles | undefined;
  /** Folders inside the source (`/` itself, `/a/b`) whose entries are placed one by one: other inputs may be placed beside them. */
  readonly openFolders?: readonly string[] | undefined;
  /** Bytes that are read take from it: holds a folder's reading below a rate. What is found unchanged and not read takes nothing. */
  readonly pace?: TokenBucket | undefined;
}

export interface AddFolderOptions {
  /** A folder of this host; a link to one is followed. */
  readonly source: string;
  readonly target: string;
}

/** Numbers, whose names are looked up on this host. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface AddStreamOptions {
  readonly target: string;
  readonly source: AsyncIterable<Uint8Array>;
  /** Permission bits; 0644 when absent. */
  readonly mode?: number | undefined;
  /** root when absent. */
  readonly owner?: Owner | undefined;
  readonly modifiedAt?: Date | undefined;
  /** Bytes that the stream has to yield; ARCHIVE_PRODUCER_FAILED when it does not. */
  readonly sizeBytes?: number | undefined;
  /** Cut every so many bytes instead of by content: a multiple of 512, at most 8 MiB. */
  readonly pageChunkBytes?: number | undefined;
  /** A file of this repository that the stream is appended to: its content is not read again. */
  readonly after?: TreeNode | undefined;
}

export interface AddSavedOptions {
  readonly target: string;
  /** As a snapshot of this repository has it; its content has to be there. */
  readonly node: TreeNode;
}

export interface AddBytesOptions extends Omit<AddStreamOptions, 'source'> {
  readonly data: Uint8Array;
}

/** A chunk that the repository has. */
export interface StoredChunk {
  readonly id: string;
  readonly sizeBytes: number;
}

/** What becomes of a file in a tar: another name for it (a path in the tar), and what is in it. */
export interface RewrittenFile {
  readonly name: string;
  /** Stored chunks only at multiples of the chunks' size of `pages`, and of that size but for the last. */
  readonly content: AsyncIterable<Uint8Array | StoredChunk>;
}

export interface AddTarOptions {
  /** Folder in the snapshot that the archive's content becomes. */
  readonly target: string;
  readonly source: AsyncIterable<Uint8Array>;
  /** Leading path components that are taken off every name. */
  readonly stripComponents?: number | undefined;
  /** An archive without an entry for its root: the target gets owner and mode of its first folder, not those of this process. */
  readonly rootLikeFirstFolder?: boolean | undefined;
  /** Files that are cut at the borders of their pages; patterns are matched against paths in the target. */
  readonly pages?: PageFiles | undefined;
  /** Asked for each file; undefined: it is stored as it is. Its errors fail the input. */
  readonly rewrite?:
    | ((file: {
        readonly name: string;
        readonly sizeBytes: number;
        readonly content: AsyncIterable<Uint8Array>;
      }) => RewrittenFile | undefined)
    | undefined;
}

export interface CommitOptions {
  readonly time: Date;
  readonly hostname: string;
  /** The user of this process when absent. */
  readonly username?: string | undefined;
  readonly paths: readonly string[];
  readonly tags?: readonly string[] | undefined;
  readonly excludes?: readonly string[] | undefined;
  readonly programVersion: string;
}

export interface FinishOptions extends CommitOptions {
  /** Make no snapshot when it would have the same tree as the parent. */
  readonly skipIfUnchanged?: boolean | undefined;
}

export interface ArchiveOutcome {
  /** null after a dry run and when it was skipped. */
  readonly snapshot: Snapshot | null;
  /** Id of the root tree. */
  readonly tree: string;
  readonly summary: SnapshotSummary;
  /** Not empty: the snapshot is partial. */
  readonly problems: readonly Problem[];
  readonly notices: readonly Notice[];
}

export interface ArchiveResult extends ArchiveOutcome {
  readonly snapshot: Snapshot;
}

/** A source with the place it goes to and the rules for what is below it. */
export interface SourceOptions {
  readonly source: Buffer;
  readonly components: readonly Buffer[];
  readonly shown: string;
  readonly rules: SelectionRules;
  /** As in {@link AddPathOptions}. */
  readonly openFolders?: readonly string[] | undefined;
  readonly pace?: TokenBucket | undefined;
}
