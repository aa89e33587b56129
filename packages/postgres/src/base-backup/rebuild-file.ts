// Makes one whole file of an incremental one and of the file of the backup before, in parts of one size: a part of which nothing was
// sent is named, not read. Source: manual, pg_combinebackup; reconstruct.c and backup_label.c of it.

import { AppError } from '@varve/base';
import { dataPageBytes } from '../volume-backup/page-checksum.ts';
import {
  blockRuns,
  incrementalFixedBytes,
  incrementalPrefix,
  parseBlockNumbers,
  parseIncrementalHead,
  type BlockRun,
} from './incremental-file.ts';
import { PieceReader } from './piece-reader.ts';

/** A file of an incremental base backup as it arrives. */
export interface SentFile {
  /** In its archive. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly content: AsyncIterable<Uint8Array>;
}

/** The file of the backup before, cut at multiples of the size of a part; all but the last are of that size. */
export interface OlderFile {
  readonly sizeBytes: number;
  /** The bytes of a part, counted from 0. */
  readPart(part: number): Promise<Uint8Array>;
}

/** Bytes, or the number of a part of the older file that is the same. */
export type FilePart = Uint8Array | { readonly sameAs: number };

/** The name of the whole file; undefined when the file is sent whole. */
export function wholeName(name: string): string | undefined {
  const folder = name.slice(0, name.lastIndexOf('/') + 1);
  const file = name.slice(folder.length);
  return file.startsWith(incrementalPrefix) ? folder + file.slice(incrementalPrefix.length) : undefined;
}

/**
 * The parts of the whole file, in order, each of `partBytes` (a multiple of a page) but the last. What is behind the end of the older
 * file is zeros, as in pg_combinebackup. DATABASE_PROTOCOL for what is no incremental file.
 */
export async function* rebuildFile(
  { name, sizeBytes, content }: SentFile,
  { older, partBytes }: { readonly older: OlderFile; readonly partBytes: number },
): AsyncGenerator<FilePart, void, undefined> {
  const reader = new PieceReader(content);
  const fixed = (await reader.exactly(incrementalFixedBytes)) ?? Buffer.alloc(0);
  const { count, olderBelow, headBytes } = parseIncrementalHead(fixed, { name, sizeBytes });
  const numbers = parseBlockNumbers(await needed(reader, 4 * count), name);
  await needed(reader, headBytes - incrementalFixedBytes - 4 * count);
  const runs = blockRuns(numbers, olderBelow);
  const last = runs.at(-1);
  const wholeBytes = last === undefined ? 0 : (last.block + last.count) * dataPageBytes;
  let at = 0;
  for (let part = 0; part * partBytes < wholeBytes; part++) {
    const start = part * partBytes;
    const end = Math.min(start + partBytes, wholeBytes);
    while (endOf(runs[at]) <= start) at++;
    const isOlder = runs[at]?.from === 'older' && endOf(runs[at]) >= end;
    const olderEnd = Math.min(older.sizeBytes, start + partBytes);
    if (isOlder && olderEnd === end) yield { sameAs: part };
    else yield await makePart(reader, { runs, at, start, end, older, part });
  }
}

const endOf = (run: BlockRun | undefined): number =>
  run === undefined ? Infinity : (run.block + run.count) * dataPageBytes;

interface PartInput {
  readonly runs: readonly BlockRun[];
  /** Of the run that the part begins in. */
  readonly at: number;
  readonly start: number;
  readonly end: number;
  readonly older: OlderFile;
  readonly part: number;
}

async function makePart(reader: PieceReader, { runs, at, start, end, older, part }: PartInput): Promise<Uint8Array> {
  const bytes = Buffer.alloc(end - start);
  let before: Uint8Array | undefined;
  for (let index = at, position = start; position < end; index++) {
    const run = runs[index];
    const to = Math.min(end, endOf(run));
    if (run?.from === 'sent') bytes.set(await needed(reader, to - position), position - start);
    if (run?.from === 'older' && position < older.sizeBytes) {
      before ??= await older.readPart(part);
      bytes.set(before.subarray(position - start, to - start), position - start);
    }
    position = to;
  }
  return bytes;
}

async function needed(reader: PieceReader, count: number): Promise<Buffer> {
  const bytes = count === 0 ? Buffer.alloc(0) : await reader.exactly(count);
  if (bytes !== undefined) return bytes;
  throw new AppError('DATABASE_PROTOCOL', 'The base backup ends within a file.', { retry: true });
}

/** A server refuses to start from a label that says that blocks are missing. Pure. */
export function wholeBackupLabel(label: Uint8Array): Buffer {
  const lines = Buffer.from(label).toString('latin1').split('\n');
  return Buffer.from(lines.filter((line) => !/^INCREMENTAL FROM (LSN|TLI): /.test(line)).join('\n'), 'latin1');
}
