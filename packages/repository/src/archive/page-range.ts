// Saves a part of a large live file of pages in a worker thread, so that several threads read and check one file. What is not
// there any more, because the file was cut off, is saved as zeros: the parts after it keep their place, and whoever repairs the
// file by its log cuts it off again.

import { closeSync, fstatSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { openForReading } from '../filesystem/open-file.ts';
import type { BlobWriter } from './blob-writer.ts';
import { verifyPages, type PageChecks } from './live-files.ts';
import { noCounts, type BadPage, type RangeResult, type RangeToSave } from './worker-protocol.ts';

const readBytes = 1024 * 1024;

export interface PageRangeOptions {
  readonly writer: BlobWriter;
  readonly checks: PageChecks;
  readonly throwIfAborted: () => void;
}

/** Throws the system's error, ENOENT when the file is gone or another one has its name. */
export function savePageRange(range: RangeToSave, { writer, checks, throwIfAborted }: PageRangeOptions): RangeResult {
  const { from, length, chunkBytes, pageCheck } = range;
  const path = Buffer.from(range.path);
  const name = basename(path.toString('latin1'));
  const check = checks.get(pageCheck);
  const counts = noCounts();
  const ids: string[] = [];
  const badPages: BadPage[] = [];
  const fd = openForReading(path);
  try {
    if (fstatSync(fd, { bigint: true }).ino !== range.inode)
      return { kind: 'range', isGone: true, ids: '', badPages, counts };
    const bytes = Buffer.alloc(Math.min(length, Math.max(1, Math.floor(readBytes / chunkBytes)) * chunkBytes));
    for (let done = 0; done < length; done += bytes.length) {
      throwIfAborted();
      const part = bytes.subarray(0, Math.min(bytes.length, length - done));
      const position = from + done;
      const filled = readFully(fd, part, position);
      part.fill(0, filled);
      if (check) badPages.push(...verifyPages(check, part.subarray(0, filled), { fd, name, position }));
      for (const id of writer.storePages(part, chunkBytes, counts)) ids.push(id);
    }
    return { kind: 'range', isGone: false, ids: ids.join('","'), badPages, counts };
  } finally {
    closeSync(fd);
  }
}

function readFully(fd: number, space: Uint8Array, position: number): number {
  let filled = 0;
  for (let count = -1; count !== 0 && filled < space.length; filled += count) {
    count = readSync(fd, space, filled, space.length - filled, position + filled);
  }
  return filled;
}
