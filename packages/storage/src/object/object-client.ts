// What a repository needs of an object store (S3, Azure Blob, Google Cloud Storage). Failures are the library's own; the
// client turns them into the contract's errors when asked.

import type { AppError } from '@varve/base';
import type { FileType, OnTransfer } from '../contract.ts';
import type { RangeAnswer } from '../range.ts';

export interface ObjectCallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onTransfer?: OnTransfer | undefined;
}

export interface ObjectBody {
  readonly parts: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** What it is in the repository, for settings that are not meant for every file. */
  readonly type: FileType;
  /** As in SaveOptions. */
  readonly rarelyRead: boolean;
}

export interface ObjectClient {
  /** Whether `bytes=-n` is understood. */
  readonly suffixes: boolean;
  /** Whether `put` refuses a key that is taken by itself, for certain. */
  readonly refusesReplacement: boolean;
  /** Makes the bucket when it is missing and may be made. */
  createPlace(options: ObjectCallOptions): Promise<void>;
  /** Whole or not at all. `exists` when the key is taken. */
  put(key: string, body: ObjectBody, options: ObjectCallOptions): Promise<'stored' | 'exists'>;
  get(key: string, range: string | undefined, options: ObjectCallOptions): Promise<RangeAnswer>;
  sizeOf(key: string, options: ObjectCallOptions): Promise<number>;
  list(prefix: string, options: ObjectCallOptions): AsyncIterable<{ readonly key: string; readonly sizeBytes: number }>;
  /** May succeed when there is nothing. */
  remove(key: string, options: ObjectCallOptions): Promise<void>;
  serverTime(options: ObjectCallOptions): Promise<Date | null>;
  /** `action` completes “Could not …”. */
  toError(error: unknown, action: string): AppError;
  close(): Promise<void>;
}
