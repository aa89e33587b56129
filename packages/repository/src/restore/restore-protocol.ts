// What the main thread and the restore's worker threads say to each other.

import type { NodeMetadata } from '../filesystem/write-metadata.ts';
import type { MasterKeyParts } from '../crypto/master-key.ts';

export interface RestoreSetup {
  readonly key: MasterKeyParts;
  readonly restoresOwners: boolean;
  /** Leave runs of zeros out of new files. */
  readonly sparse: boolean;
  readonly attributes: AttributePatterns;
}

/** Globs of names of extended attributes; with `include` only those it matches. */
export interface AttributePatterns {
  readonly include?: readonly string[] | undefined;
  readonly exclude?: readonly string[] | undefined;
}

/** A place where a blob goes. */
export interface Placement {
  readonly file: number;
  readonly offset: number;
}

/** A file that is written; `isNew`: it did not exist, so that holes read as zeros. */
export interface WrittenFile {
  readonly number: number;
  readonly path: Uint8Array;
  readonly isNew: boolean;
}

/** A stored blob in the bytes of a range of a pack. */
export interface StoredBlob {
  readonly id: string;
  /** From the start of the range. */
  readonly offset: number;
  readonly length: number;
  readonly uncompressedLength: number;
  readonly placements: readonly Placement[];
}

export type RestoreJob =
  /** Open the blobs of a range and write them to their files. */
  | {
      readonly kind: 'range';
      readonly packId: string;
      readonly bytes: Uint8Array<ArrayBuffer>;
      readonly blobs: readonly StoredBlob[];
      readonly files: readonly WrittenFile[];
      /** Close every file of the thread afterwards: they are complete, or others write the rest. */
      readonly closes?: boolean | undefined;
    }
  /** Write a blob that is open already. */
  | {
      readonly kind: 'blob';
      readonly plaintext: Uint8Array;
      readonly placements: readonly Placement[];
      readonly files: readonly WrittenFile[];
      /** Close every file of the thread afterwards: they are complete, or others write the rest. */
      readonly closes?: boolean | undefined;
    }
  /** Tell which chunks of existing files differ. */
  | { readonly kind: 'compare'; readonly files: readonly ComparedFile[] }
  /** Give files their size and metadata; make links, devices and FIFOs before. */
  | { readonly kind: 'finish'; readonly items: readonly FinishItem[] }
  /** Close every file. */
  | { readonly kind: 'close' };

export interface ComparedFile {
  readonly path: Uint8Array;
  readonly content: readonly string[];
  readonly lengths: readonly number[];
}

export interface FinishItem {
  readonly path: Uint8Array;
  readonly metadata: NodeMetadata;
  /** Of a regular file: its size, to be set where writing alone does not make it. */
  readonly size?: number | undefined;
  readonly linkTarget?: Uint8Array | undefined;
  /** Of a device or FIFO: it is made. */
  readonly device?: bigint | undefined;
}

export interface WriteResult {
  readonly bytesWritten: number;
  readonly failures: readonly { readonly file: number; readonly message: string }[];
}

export type RestoreJobResult =
  | (WriteResult & {
      readonly kind: 'range';
      /** Blobs that are damaged here; another copy may be good. */
      readonly damaged: readonly number[];
      /** The range's buffer, to be used again. */
      readonly buffer: ArrayBuffer;
    })
  | (WriteResult & { readonly kind: 'blob' })
  | { readonly kind: 'compare'; readonly files: readonly ComparedResult[] }
  | { readonly kind: 'finish'; readonly failures: readonly FinishFailure[] }
  | { readonly kind: 'close' };

/** `differing`: positions of the chunks that are not as wanted; `sizeDiffers`: the file has another length. */
export interface ComparedResult {
  readonly differing: readonly number[];
  readonly sizeDiffers: boolean;
  readonly error?: string | undefined;
}

export interface FinishFailure {
  readonly item: number;
  /** The object itself was not made, not only its metadata. */
  readonly isLost: boolean;
  readonly message: string;
  readonly isGeneral: boolean;
}
