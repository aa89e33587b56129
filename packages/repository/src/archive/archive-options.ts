// What an archive session is asked and what it answers.

import type { OnProgress } from '@varve/base';
import type { Compression } from '../pack/pack-builder.ts';
import type { Snapshot, SnapshotSummary } from '../snapshot/snapshot.ts';
import type { FolderLabel, Problem } from './worker-protocol.ts';

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
  /** Worker threads; the number of processors, at least 2, when absent. */
  readonly workers?: number | undefined;
  /** How long to wait for a lock that is taken; 0 when absent. */
  readonly lockWaitMs?: number | undefined;
}

/** What an input came to. `bytes` of all its files, `bytesAdded` of what the repository did not have. */
export interface AddedItem {
  readonly files: number;
  readonly dirs: number;
  readonly bytes: number;
  readonly bytesAdded: number;
  /** Files that could not be read: the snapshot goes without them. */
  readonly problems: readonly Problem[];
}

export interface AddPathOptions {
  /** Path on this host: a folder with all below it, a file, a link, anything but a socket. */
  readonly source: string | Buffer;
  /** Absolute path in the snapshot. `/` for a folder whose content becomes the root. */
  readonly target: string;
  /** Patterns that are matched against paths inside the source, `/` being the source itself. */
  readonly excludes?: readonly string[] | undefined;
}

export interface AddStreamOptions {
  readonly target: string;
  readonly source: AsyncIterable<Uint8Array>;
  /** Permission bits; 0644 when absent. */
  readonly mode?: number | undefined;
  readonly modifiedAt?: Date | undefined;
}

export interface AddBytesOptions extends Omit<AddStreamOptions, 'source'> {
  readonly data: Uint8Array;
}

export interface AddTarOptions {
  /** Folder in the snapshot that the archive's content becomes. */
  readonly target: string;
  readonly source: AsyncIterable<Uint8Array>;
  /** Leading path components that are taken off every name. */
  readonly stripComponents?: number | undefined;
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

export interface ArchiveResult {
  readonly snapshot: Snapshot;
  readonly summary: SnapshotSummary;
  /** Not empty: the snapshot is partial. */
  readonly problems: readonly Problem[];
}

/** A source with the place it goes to and the paths its excludes are matched against. */
export interface SourceOptions {
  readonly source: Buffer;
  readonly components: readonly Buffer[];
  readonly label: FolderLabel;
}
