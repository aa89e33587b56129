// The head of an incremental file of a base backup: which blocks of a relation file come, and what stays of the file before.
// Source: src/backend/backup/basebackup_incremental.c (GetIncrementalHeaderSize, GetFileBackupMethod), basebackup.c (sendFile),
// src/bin/pg_combinebackup/reconstruct.c, of 17 and 18. Pure.

import { AppError } from '@varve/base';
import { dataPageBytes } from '../volume-backup/page-checksum.ts';

/** What stands before the name of a file of which only changed blocks are sent. */
export const incrementalPrefix = 'INCREMENTAL.';
/** Magic number, count of blocks, length up to which older blocks count: three words. */
export const incrementalFixedBytes = 12;

const magic = 0xd3ae1f0d;
/** A relation file has at most 1 GiB. */
const mostBlocks = (1024 * 1024 * 1024) / dataPageBytes;

/** The fixed part of a head. */
export interface IncrementalHead {
  /** How many blocks follow. */
  readonly count: number;
  /** Blocks below, in blocks, that do not come are those of the file before; above they are zeros. */
  readonly olderBelow: number;
  /** From the beginning of the file to its first block. */
  readonly headBytes: number;
}

/** Reads the first {@link incrementalFixedBytes}. DATABASE_PROTOCOL when a file of `sizeBytes` cannot begin like that. */
export function parseIncrementalHead(bytes: Uint8Array, file: { readonly name: string; readonly sizeBytes: number }) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.byteLength < incrementalFixedBytes || view.getUint32(0, true) !== magic) throw notUnderstood(file.name);
  const count = view.getUint32(4, true);
  const olderBelow = view.getUint32(8, true);
  if (count > mostBlocks || olderBelow > mostBlocks) throw notUnderstood(file.name);
  const used = incrementalFixedBytes + 4 * count;
  const headBytes = count === 0 ? used : Math.ceil(used / dataPageBytes) * dataPageBytes;
  if (file.sizeBytes !== headBytes + count * dataPageBytes) throw notUnderstood(file.name);
  return { count, olderBelow, headBytes } satisfies IncrementalHead;
}

/** The numbers of the blocks that come, ascending. DATABASE_PROTOCOL when they are not. */
export function parseBlockNumbers(bytes: Uint8Array, name: string): Uint32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const numbers = new Uint32Array(bytes.byteLength / 4);
  for (let index = 0; index < numbers.length; index++) {
    const number = view.getUint32(4 * index, true);
    if (number >= mostBlocks || (index > 0 && number <= (numbers[index - 1] ?? 0))) throw notUnderstood(name);
    numbers[index] = number;
  }
  return numbers;
}

/** Blocks that follow each other and come from the same place. */
export interface BlockRun {
  readonly from: 'sent' | 'older' | 'zeros';
  readonly block: number;
  readonly count: number;
}

/** What the whole file is made of, in order; `sent` runs take the blocks that come one after the other. */
export function blockRuns(numbers: Uint32Array, olderBelow: number): BlockRun[] {
  const runs: BlockRun[] = [];
  const fill = (start: number, end: number): void => {
    const border = Math.min(Math.max(start, olderBelow), end);
    if (border > start) runs.push({ from: 'older', block: start, count: border - start });
    if (end > border) runs.push({ from: 'zeros', block: border, count: end - border });
  };
  let next = 0;
  for (let index = 0; index < numbers.length;) {
    const block = numbers[index] ?? 0;
    let count = 1;
    while (numbers[index + count] === block + count) count++;
    fill(next, block);
    runs.push({ from: 'sent', block, count });
    next = block + count;
    index += count;
  }
  fill(next, Math.max(next, olderBelow));
  return runs;
}

function notUnderstood(name: string): AppError {
  return new AppError('DATABASE_PROTOCOL', `The server sent ${name}, which is no incremental file that is understood.`);
}
