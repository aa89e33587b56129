// The files of a spool, as a committer reads them: WAL by segment and offset, and history files.

import { createReadStream, type ReadStream } from 'node:fs';
import { open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '@varve/base';
import { listSegments, parseTimelineHistory, type SpoolSegment, type TimelineHistory } from '@varve/postgres';

const readBytes = 256 * 1024;
const historyName = /^([0-9A-F]{8})\.history$/;

/** Bytes [from, to) of a segment, whether it is finished or not; fewer when the file has fewer. */
export async function* segmentBytes(
  folder: string,
  segment: { readonly name: string; readonly from: number; readonly to: number },
): AsyncGenerator<Uint8Array> {
  const { name, from, to } = segment;
  if (to <= from) return;
  // It may be finished, and so get its final name, at any moment.
  const stream =
    (await openStream(join(folder, `${name}.partial`), from, to)) ?? (await openStream(join(folder, name), from, to));
  if (stream) yield* stream as AsyncIterable<Uint8Array>;
}

async function openStream(path: string, from: number, to: number): Promise<ReadStream | undefined> {
  try {
    const file = await open(path, 'r');
    return createReadStream('', { fd: file, start: from, end: to - 1, highWaterMark: readBytes });
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * The segments in a spool. A segment that gets its final name while the folder is read may be in no list: what one list has and the
 * next has not is looked at again.
 */
export async function listSettled(folder: string, size: number): Promise<SpoolSegment[]> {
  let before = await listSegments(folder, size);
  for (;;) {
    const now = await listSegments(folder, size);
    const names = new Set(now.map(({ name }) => name));
    if (before.every(({ name }) => names.has(name))) return now;
    before = now;
  }
}

/** Keeps a segment that is not valid, for people to look at, out of the way. */
export async function setAside(folder: string, name: string): Promise<void> {
  await rename(join(folder, name), join(folder, `${name}.damaged`));
}

export interface SpoolHistory {
  readonly data: Buffer;
  readonly history: TimelineHistory;
}

/** The history files in a spool, by timeline. */
export async function readHistories(folder: string): Promise<ReadonlyMap<number, SpoolHistory>> {
  const histories = new Map<number, SpoolHistory>();
  for (const name of (await readdir(folder)).sort()) {
    const match = historyName.exec(name);
    if (!match) continue;
    const timeline = Number.parseInt(match[1] ?? '', 16);
    const data = await readFile(join(folder, name));
    histories.set(timeline, { data, history: parseTimelineHistory(data.toString('latin1'), timeline) });
  }
  return histories;
}

/** Those of a timeline and of its ancestors, as far as the spool has them. */
export function historiesOf(timeline: number, spooled: ReadonlyMap<number, SpoolHistory>): Map<number, Uint8Array> {
  const ancestors = spooled.get(timeline)?.history.ancestors.map((ancestor) => ancestor.timeline) ?? [];
  const wanted = new Set([...ancestors, timeline]);
  return new Map([...spooled].filter(([one]) => wanted.has(one)).map(([one, { data }]) => [one, data]));
}

/** Removes the tail of a timeline or of what lies before a gap, once it is safe elsewhere. */
export async function removeTail(folder: string, name: string): Promise<void> {
  await rm(join(folder, `${name}.partial`), { force: true });
}

/** Empties a spool whose WAL is safe elsewhere, so that it can become that of another history. `spool.json` goes last. */
export async function emptySpool(folder: string): Promise<void> {
  const names = await readdir(folder);
  for (const name of names.filter((one) => /^[0-9A-F]{24}(\.partial)?$|\.history$/.test(one)))
    await rm(join(folder, name));
  await rm(join(folder, 'spool.json'), { force: true });
}
