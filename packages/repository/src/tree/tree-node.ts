// What a repository's tree blob says about one file system object. Times and numbers are kept as stored, so that a
// decoded tree encodes to the same bytes. Source: storage-format section 2.10.

export type NodeType = 'file' | 'dir' | 'symlink' | 'dev' | 'chardev' | 'fifo' | 'socket' | 'irregular';

/** `value` is null only in trees of writers that record empty values so. */
export interface ExtendedAttribute {
  readonly name: string;
  readonly value: Buffer | null;
}

export interface TreeNode {
  /** Raw bytes as the file system has them; not necessarily UTF-8. */
  readonly name: Buffer;
  readonly type: NodeType;
  /** Go's fs.FileMode bits (not st_mode), unsigned; see filesystem/file-mode.ts. */
  readonly mode: number;
  /** RFC 3339 with nanoseconds, in the zone of the host that wrote it. {@link parseTime} yields nanoseconds. */
  readonly mtime: string;
  readonly atime: string;
  readonly ctime: string;
  readonly uid: number;
  readonly gid: number;
  readonly user?: string | undefined;
  readonly group?: string | undefined;
  readonly inode: bigint;
  readonly deviceId: bigint;
  /** Bytes of content, of files. */
  readonly size: number;
  /** Number of hard links; 0 when not recorded. */
  readonly links: number;
  readonly linkTarget?: Buffer | undefined;
  /** The target was not UTF-8 and its writer (restic before 0.16) recorded replacement characters only. */
  readonly linkTargetLost?: true | undefined;
  readonly extendedAttributes?: readonly ExtendedAttribute[] | undefined;
  /** Attributes of other systems (Windows), kept as they are. */
  readonly genericAttributes?: Readonly<Record<string, unknown>> | undefined;
  /** Linux dev_t of block and character devices. */
  readonly device: bigint;
  /** Ids of the data blobs in order; null for what is not a file. */
  readonly content: readonly string[] | null;
  /** Id of the tree blob of a folder. */
  readonly subtree?: string | undefined;
  readonly error?: string | undefined;
}
