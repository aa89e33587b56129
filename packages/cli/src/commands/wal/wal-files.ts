// Files of the write-ahead log, told apart by name and by their first page, in the order in which they are read.

import { open, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { AppError, systemErrorCode, throwIfAborted } from '@varve/base';
import type { TimelineHistory, WalSegmentBytes } from '@varve/postgres';

export interface WalFiles {
  /** By timeline and position; each is opened when it is read. */
  readonly segments: readonly WalSegmentBytes[];
  readonly histories: readonly TimelineHistory[];
  /** Partial segments of which the whole one is there too. */
  readonly leftOut: readonly string[];
}

interface Segment extends WalSegmentBytes {
  readonly path: string;
  readonly isPartial: boolean;
}

const readBytes = 1024 * 1024;
const headerBytes = 40;
const greatestHistoryBytes = 1024 * 1024;
const defaultSegmentBytes = 16 * 1024 * 1024;

/** Throws PATH_NOT_FOUND, WAL_INVALID for what is neither a segment nor a history file, CANCELLED. */
export async function readWalFiles(paths: readonly string[], signal: AbortSignal): Promise<WalFiles> {
  const { parseWalFileName } = await import('@varve/postgres');
  const histories: TimelineHistory[] = [];
  const segments: Segment[] = [];
  for (const path of paths) {
    throwIfAborted(signal);
    const name = parseWalFileName(basename(path), defaultSegmentBytes);
    if (name?.kind === 'history') histories.push(await readHistory(path, name.timeline));
    else segments.push(await readSegment(path, signal));
  }
  segments.sort((a, b) => a.timeline - b.timeline || compare(a.startLsn, b.startLsn) || (a.isPartial ? 1 : -1));
  const isRepeated = (segment: Segment, index: number): boolean =>
    index > 0 &&
    segments[index - 1]?.timeline === segment.timeline &&
    segments[index - 1]?.startLsn === segment.startLsn;
  return {
    segments: segments.filter((segment, index) => !isRepeated(segment, index)),
    histories: histories.sort((a, b) => a.timeline - b.timeline),
    leftOut: segments.filter(isRepeated).map(({ path }) => path),
  };
}

async function readHistory(path: string, timeline: number): Promise<TimelineHistory> {
  const { parseTimelineHistory } = await import('@varve/postgres');
  await using file = await openFile(path);
  const { size } = await file.stat();
  if (size > greatestHistoryBytes) throw notWal(path, `it has ${size} bytes, too many for a history file`);
  return parseTimelineHistory(await readFile(file, 'utf8'), timeline);
}

/** Its place, from its name where it has one of a segment (a recycled file still holds older pages), else from its content. */
async function readSegment(path: string, signal: AbortSignal): Promise<Segment> {
  const { isSegmentSize, parseWalFileName, readWalFileHeader } = await import('@varve/postgres');
  await using file = await openFile(path);
  const stat = await file.stat();
  if (!stat.isFile()) throw notWal(path, 'it is not a file');
  const head = Buffer.alloc(headerBytes);
  const { bytesRead } = await file.read(head, 0, headerBytes, 0);
  const header = readWalFileHeader(head.subarray(0, bytesRead));
  const size = header?.segmentSizeBytes ?? (isSegmentSize(stat.size) ? stat.size : defaultSegmentBytes);
  const name = parseWalFileName(basename(path), size);
  const bytes = fileBytes(path, signal);
  if (name?.kind === 'segment') return { ...name, path, bytes };
  if (!header) throw notWal(path, 'neither its name nor its content is that of a WAL segment of PostgreSQL 13 to 18');
  return { timeline: header.timeline, startLsn: header.startLsn, isPartial: false, path, bytes };
}

async function* fileBytes(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  await using file = await openFile(path);
  const buffer = Buffer.alloc(readBytes);
  for (;;) {
    throwIfAborted(signal);
    const { bytesRead } = await file.read(buffer, 0, readBytes);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

async function openFile(path: string): Promise<Awaited<ReturnType<typeof open>>> {
  try {
    return await open(path, 'r');
  } catch (cause) {
    const reason = systemErrorCode(cause) === 'ENOENT' ? 'is not there' : 'cannot be opened';
    throw new AppError('PATH_NOT_FOUND', `${path} ${reason}.`, {
      hint: "The files are in the server's pg_wal folder, or where its archive_command puts them.",
      cause,
    });
  }
}

function notWal(path: string, why: string): AppError {
  return new AppError('WAL_INVALID', `${path} is not a file of the write-ahead log: ${why}.`, {
    hint: 'Name segments, such as 000000010000000000000042, or history files, such as 00000002.history.',
  });
}

function compare(a: bigint, b: bigint): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
