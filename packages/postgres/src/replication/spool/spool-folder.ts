// What lies in a spool folder, and where capture goes on from it. Names are those that PostgreSQL gives: finished segments,
// `.partial` for one that is being written or is the tail of an old timeline, `.history`; and `spool.json`, which says
// whose WAL it is and how far it was durable, so that finished segments can be taken away.

import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, systemErrorCode } from '@varve/base';
import { formatLsn, parseLsn, type Lsn } from '../../lsn.ts';
import { readObject } from '../../server-facts.ts';
import { measureSegmentFile } from '../../wal/segment-file.ts';
import {
  advance,
  checkSegmentBytes,
  checkTimeline,
  parseWalFileName,
  segmentNameAt,
  segmentStart,
  type WalPosition,
} from '../../wal/segments.ts';
import { writeDurably } from './durable-files.ts';

/** Whose WAL a spool holds, and up to where it was surely durable when this was written. */
export interface SpoolState {
  readonly systemId: string;
  readonly segmentBytes: number;
  readonly pageBytes: number;
  readonly position: WalPosition;
}

/** A file of a spool with WAL. */
export interface SpoolSegment {
  /** Of the segment, without suffix. */
  readonly name: string;
  readonly path: string;
  readonly position: WalPosition;
  readonly isPartial: boolean;
  readonly sizeBytes: number;
}

export const partialSuffix = '.partial';
const stateFileName = 'spool.json';
const formatVersion = 1;

/** Undefined for a folder that was never a spool. Throws WAL_SPOOL_FAILED when the file is not understood. */
export async function readSpoolState(folder: string): Promise<SpoolState | undefined> {
  let text: string;
  try {
    text = await readFile(join(folder, stateFileName), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const fields = readObject(text, 'a spool');
    if (fields['version'] !== formatVersion) throw new Error(`version ${String(fields['version'])}`);
    return {
      systemId: String(fields['systemId']),
      segmentBytes: checkSegmentBytes(Number(fields['segmentBytes'])),
      pageBytes: Number(fields['pageBytes']),
      position: { timeline: checkTimeline(Number(fields['timeline'])), lsn: parseLsn(String(fields['lsn'])) },
    };
  } catch (cause) {
    throw new AppError('WAL_SPOOL_FAILED', `${join(folder, stateFileName)} is not understood.`, {
      hint: 'It was damaged, or written by a newer version. Use another folder for the spool.',
      cause,
    });
  }
}

export async function writeSpoolState(
  folder: string,
  state: SpoolState,
  options: { readonly syncFolder?: boolean } = {},
): Promise<void> {
  const { position, ...rest } = state;
  const fields = { version: formatVersion, ...rest, timeline: position.timeline, lsn: formatLsn(position.lsn) };
  await writeDurably(join(folder, stateFileName), `${JSON.stringify(fields)}\n`, options);
}

/** The segments in a folder, finished and partial, in order of timeline and position. */
export async function listSegments(folder: string, segmentBytes: number): Promise<SpoolSegment[]> {
  const segments: SpoolSegment[] = [];
  for (const entry of await readdir(folder)) {
    const file = parseWalFileName(entry, segmentBytes);
    if (file?.kind !== 'segment') continue;
    const { isPartial } = file;
    const position = { timeline: file.timeline, lsn: file.startLsn };
    const name = segmentNameAt(position, segmentBytes);
    const path = join(folder, entry);
    const facts = await stat(path).catch(() => undefined);
    // One that is gone was taken away meanwhile.
    if (facts?.isFile()) segments.push({ name, path, position, isPartial, sizeBytes: facts.size });
  }
  return segments.sort((a, b) => comparePositions(a.position, b.position));
}

function comparePositions(a: WalPosition, b: WalPosition): number {
  if (a.timeline !== b.timeline) return a.timeline - b.timeline;
  return a.lsn < b.lsn ? -1 : Number(a.lsn > b.lsn);
}

/** Where a spool stands. */
export interface SpoolStand {
  readonly timeline: number;
  /** End of what is there and looks right. */
  readonly end: Lsn;
  /** Everything before was durable: what the server says must agree with it. At least the start of the segment of `end`. */
  readonly trusted: Lsn;
}

/** Finds where capture goes on. Only bytes that are in the folder count, or segments that were complete and taken away. */
export async function findStand(folder: string, state: SpoolState): Promise<SpoolStand> {
  const { segmentBytes, position } = state;
  const newest = (await listSegments(folder, segmentBytes)).at(-1);
  const stateStart = { timeline: position.timeline, lsn: segmentStart(position.lsn, segmentBytes) };
  if (!newest || comparePositions(newest.position, stateStart) < 0) {
    // Nothing of the segment is there: it starts afresh, whatever had been durable of it.
    return { timeline: stateStart.timeline, end: stateStart.lsn, trusted: stateStart.lsn };
  }
  const { timeline, lsn: start } = newest.position;
  if (!newest.isPartial) {
    const end = advance(start, segmentBytes);
    return { timeline, end, trusted: end };
  }
  const valid = await measureSegmentFile(newest.path, { ...state, timeline, start });
  // A segment that is all there but was not finished is not at its end yet: it is read again, compared and then finished.
  const end = advance(start, Math.min(valid, segmentBytes - state.pageBytes));
  const isTrusted = position.timeline === timeline && position.lsn > start;
  return { timeline, end, trusted: !isTrusted ? start : position.lsn < end ? position.lsn : end };
}
