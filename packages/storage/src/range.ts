// A range of a file over HTTP (RFC 9110, section 14): which header to send, and what the answer means.

import { AppError, isAppError } from '@varve/base';
import type { LoadOptions } from './contract.ts';

/** `bytes` are all that came; `whole` when the server ignored the range. Null when the range is beyond the end (416). */
export type RangeAnswer = { readonly bytes: Buffer; readonly whole: boolean } | null;

export interface RangeSource {
  /** `range` is the value of the Range header, absent for the whole file. */
  get(range: string | undefined): Promise<RangeAnswer>;
  sizeBytes(): Promise<number>;
  /** Whether `bytes=-n` is understood. */
  readonly suffixes: boolean;
}

/** As `Storage.load`. `what` names the file in STORAGE_DAMAGED. */
export async function loadRange(source: RangeSource, options: LoadOptions, what: string): Promise<Buffer> {
  const { offset = 0, length } = options;
  if (offset === 0 && length === undefined) return (await source.get(undefined))?.bytes ?? Buffer.alloc(0);
  if (length === 0 || (offset < 0 && !source.suffixes)) {
    const size = await source.sizeBytes();
    const start = offset < 0 ? size + offset : offset;
    const wanted = length ?? size - start;
    if (start < 0 || wanted < 0 || start + wanted > size) throw tooShort(what, options, size);
    return wanted === 0 ? Buffer.alloc(0) : loadRange(source, { offset: start, length: wanted }, what);
  }
  const answer = await source.get(rangeHeader(offset, length)).catch(async (error: unknown) => {
    // Some servers break down over a range that is beyond the end.
    if (isAppError(error, 'STORAGE_UNREACHABLE') || isAppError(error, 'STORAGE_FILE_NOT_FOUND')) {
      const size = await source.sizeBytes();
      if (offset + (offset < 0 ? size : (length ?? 0)) < 0 || offset + Math.max(0, length ?? 0) > size) return null;
    }
    throw error;
  });
  if (answer === null) {
    const size = await source.sizeBytes();
    if (offset === size && length === undefined) return Buffer.alloc(0);
    throw tooShort(what, options, size);
  }
  const expected = offset < 0 ? -offset : length;
  const bytes = answer.whole && offset > 0 ? answer.bytes.subarray(offset) : answer.bytes;
  if (answer.whole && offset > answer.bytes.length) throw tooShort(what, options, answer.bytes.length);
  if (expected === undefined) {
    // Some servers answer a range beyond the end with nothing.
    const size = bytes.length === 0 ? await source.sizeBytes() : offset;
    if (offset > size) throw tooShort(what, options, size);
    return bytes;
  }
  if (bytes.length < expected || (length ?? 0) > expected) throw tooShort(what, options, bytes.length);
  const tail = offset < 0 ? bytes.subarray(bytes.length - expected) : bytes;
  return tail.subarray(0, length ?? expected);
}

function rangeHeader(offset: number, length: number | undefined): string {
  if (offset < 0) return `bytes=${offset}`;
  return `bytes=${offset}-${length === undefined ? '' : offset + length - 1}`;
}

function tooShort(what: string, { offset = 0, length }: LoadOptions, found: number): AppError {
  const wanted = length === undefined ? `everything from ${offset} on was` : `${length} were`;
  return new AppError(
    'STORAGE_DAMAGED',
    `Could not load ${what}: ${found} bytes are there, ${wanted} asked for${length === undefined ? '' : ` from ${offset} on`}.`,
  );
}
