// The contract of an object storage that holds a restic repository: seven kinds of write-once files. Every storage and
// every wrapper passes the same suite (packages/testing). Words: MUST and MUST NOT as in RFC 2119.

/** The kinds of files of a repository; `config` is a single file without a name. */
export type FileType = 'config' | 'key' | 'lock' | 'snapshot' | 'index' | 'pack';

/** One file. `name` is 64 lowercase hex digits; for `config` it is the empty string. */
export interface FileHandle {
  readonly type: FileType;
  readonly name: string;
}

export interface FileInfo {
  readonly name: string;
  readonly sizeBytes: number;
}

export interface ListOptions extends StorageCallOptions {
  /** False when only the names are wanted: `sizeBytes` may then be -1, and the list is had faster. */
  readonly sizes?: boolean | undefined;
}

export interface StorageCallOptions {
  readonly signal?: AbortSignal | undefined;
  /**
   * Told how many more bytes have gone (`save`) or come (`load`), in steps of at most about 1 MiB, and awaited before the
   * next step: how a watchdog sees progress and a limit on the rate holds a transfer back.
   */
  readonly onTransfer?: OnTransfer | undefined;
}

export type OnTransfer = (bytes: number) => void | Promise<void>;

export interface SaveOptions extends StorageCallOptions {
  /** The file is read by restores only, so it may lie in an archive tier from which it has to be fetched first. */
  readonly rarelyRead?: boolean | undefined;
  /** Worth keeping in a cache of this machine, where there is one: a pack of trees. Index and snapshot files always are. */
  readonly keep?: boolean | undefined;
}

export interface LoadOptions extends StorageCallOptions {
  /** As in {@link SaveOptions}: with a cache the whole file is fetched and kept. */
  readonly keep?: boolean | undefined;
  /** Not from a cache: what was loaded before is bad, or what is stored is to be checked. */
  readonly fresh?: boolean | undefined;
  /** A storage MAY read into this, where it is large enough, and yield a view of it. */
  readonly buffer?: ArrayBuffer | undefined;
  /** First byte, from 0. A negative offset counts from the end of the file. */
  readonly offset?: number;
  /** Number of bytes; to the end of the file when absent. */
  readonly length?: number;
}

/**
 * Errors are AppErrors: STORAGE_FILE_NOT_FOUND, STORAGE_FILE_EXISTS, STORAGE_DENIED, STORAGE_FULL, STORAGE_UNREACHABLE,
 * STORAGE_DAMAGED. Every call MUST reject with CANCELLED soon after its signal aborts, and MUST NOT change anything after
 * it has rejected.
 *
 * A folder that goes away while it is in use, as by unmounting, may leave another one in its place. Where that can happen, a
 * storage that has read or saved a config and finds it gone MUST NOT write anything else, and rejects with
 * STORAGE_UNREACHABLE instead of having no files.
 */
export interface Storage {
  /** Where this is, in restic's syntax, without passwords. */
  readonly location: string;
  /** How many calls may usefully run at once. */
  readonly connections: number;

  /** Makes the folders that the layout needs. Idempotent; MUST NOT touch files that are there. */
  create(options?: StorageCallOptions): Promise<void>;

  /**
   * Stores a file whole. When the promise resolves the file is durable and complete under its name; when it rejects, or
   * the process dies, there MUST be no file of that name (a leftover under another name is allowed). MUST reject with
   * STORAGE_FILE_EXISTS, changing nothing, when the name is taken.
   */
  save(handle: FileHandle, data: Uint8Array | readonly Uint8Array[], options?: SaveOptions): Promise<void>;

  /** Reads a file or a range of it. MUST reject with STORAGE_DAMAGED when the file is shorter than the range asked for. */
  load(handle: FileHandle, options?: LoadOptions): Promise<Uint8Array>;

  stat(handle: FileHandle, options?: StorageCallOptions): Promise<FileInfo>;

  /**
   * Every file of a type, in no order. MUST list each file that was there for the whole call, MUST NOT list a file that
   * is not complete, nor one whose name is not 64 hex digits. A missing folder is an empty list.
   */
  list(type: FileType, options?: ListOptions): AsyncIterable<FileInfo>;

  /** Deletes a file for good. STORAGE_FILE_NOT_FOUND when there is none. */
  remove(handle: FileHandle, options?: StorageCallOptions): Promise<void>;

  /**
   * Puts new content into a file that is there, at once: at every moment, also after a crash, the old content is there or the
   * new, whole. Yields false, having changed nothing, where that is not possible; so does a storage without this call. Only for
   * the config, the one file that is not named by its content.
   */
  replace?(handle: FileHandle, data: Uint8Array, options?: StorageCallOptions): Promise<boolean>;

  /** What the server's clock says, where there is a server that tells it; null where not. */
  serverTime?(options?: StorageCallOptions): Promise<Date | null>;

  close(): Promise<void>;
}
