// Reads a large file in the main thread, whose chunks go to all workers: no thread is busy alone with it. Holes are skipped.

import { closeSync, fstatSync, read as readCallback, type BigIntStats } from 'node:fs';
import { promisify } from 'node:util';
import type { TokenBucket } from '@varve/base';
import { openForReading } from '../filesystem/open-file.ts';
import { readNode } from '../filesystem/read-node.ts';
import { systemError } from '../filesystem/system-error.ts';
import { printableName } from '../tree/go-quote.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { ArchiveRun } from './archive-run.ts';
import { compareReads, maxReads, rereadLimitBytes, type ReadOutcome } from './stable-read.ts';
import { StreamSaver, type SavedContent } from './stream-saver.ts';
import { noCounts, type Counts } from './worker-protocol.ts';

const readAsync = promisify(readCallback);
const statBlockBytes = 512n;
/** A file that takes so much less room than its size has holes, or is compressed by its file system. */
const sparseFromBytes = 1024n * 1024n;

export interface LargeFile {
  readonly path: Buffer;
  readonly name: Buffer;
  readonly counts: Counts;
  readonly pageChunkBytes?: number | undefined;
  readonly pace?: TokenBucket | undefined;
}

/** `node` is complete. Tells the run the bytes while they are read. Throws the system's error. */
export async function readLargeFile(
  run: ArchiveRun,
  file: LargeFile,
): Promise<{ node: TreeNode; outcome: ReadOutcome }> {
  const { path, name } = file;
  const fd = openForReading(path);
  try {
    for (let reads = 1; ; reads++) {
      const stat = fstatSync(fd, { bigint: true });
      if (!stat.isFile()) throw systemError('ESTALE', 'open', 'replaced by something that is not a file');
      const { content, size } = await readContent(run, { fd, stat, file });
      const outcome = compareReads(stat, fstatSync(fd, { bigint: true }), size);
      if (outcome === 'mixed' && reads < maxReads && size <= rereadLimitBytes) {
        run.add({ ...noCounts(), bytes: -size });
        continue;
      }
      return { node: { ...readNode(run.reader, { path, name, stat }), content, size }, outcome };
    }
  } finally {
    closeSync(fd);
  }
}

async function readContent(
  run: ArchiveRun,
  { fd, stat, file }: { readonly fd: number; readonly stat: BigIntStats; readonly file: LargeFile },
): Promise<SavedContent> {
  using saver = new StreamSaver(run, file);
  const shown = printableName(file.path);
  let told = 0;
  const tell = (size: number): void => {
    run.add({ ...noCounts(), bytes: size - told }, shown);
    told = size;
  };
  try {
    await saver.writeFrom({
      read: async (space, position) => {
        tell(position);
        await file.pace?.take(space.length, run.signal);
        return (await readAsync(fd, space, 0, space.length, position)).bytesRead;
      },
      zerosUntil: holesOf(run, fd, stat),
    });
    return await saver.finish();
  } catch (error) {
    tell(0);
    throw error;
  }
}

/** Where a hole that a position is in ends; the position itself where there is none. */
function holesOf(run: ArchiveRun, fd: number, { size, blocks }: BigIntStats): (position: number) => number {
  const { libc } = run.reader;
  if (!libc || blocks * statBlockBytes + sparseFromBytes > size) return (position) => position;
  let known = { from: 0, until: 0 };
  return (position) => {
    // Data up to there: no need to ask for every read.
    if (position >= known.from && position < known.until) return position;
    const data = Math.min(libc.nextData(fd, position), Number(size));
    if (data > position) return data;
    known = { from: position, until: libc.nextHole(fd, position) };
    return position;
  };
}
