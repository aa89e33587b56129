// Reads a large live file of pages by parts in the worker threads: see page-range.ts.

import { lstatSync } from 'node:fs';
import { mapConcurrently, type TokenBucket } from '@varve/base';
import { readNode } from '../filesystem/read-node.ts';
import { systemError } from '../filesystem/system-error.ts';
import { nodeHead } from '../tree/encode-tree.ts';
import { printableName } from '../tree/go-quote.ts';
import type { ArchiveRun } from './archive-run.ts';
import type { LiveRules } from './live-files.ts';
import { addCounts, noCounts, type BadPage, type Counts } from './worker-protocol.ts';

/** A multiple of every size of chunks, which are powers of two or small. */
const rangeBytes = 4 * 1024 * 1024;

export interface LargePages {
  readonly path: Buffer;
  readonly name: Buffer;
  /** Gets what the chunks cost. */
  readonly counts: Counts;
  readonly pageChunkBytes: number;
  readonly live: LiveRules;
  readonly pace?: TokenBucket | undefined;
}

/** The file's node as JSON, with the size that it had at first. Throws the system's error, ENOENT when the file goes meanwhile. */
export async function readLargePages(
  run: ArchiveRun,
  { path, name, counts, pageChunkBytes, live, pace }: LargePages,
): Promise<{ json: string; size: number; badPages: BadPage[] }> {
  const stat = lstatSync(path, { bigint: true });
  if (!stat.isFile()) throw systemError('ENOENT', 'open', 'replaced by something that is not a file');
  const size = Number(stat.size);
  const step = Math.max(pageChunkBytes, rangeBytes - (rangeBytes % pageChunkBytes));
  const starts = Array.from({ length: Math.ceil(size / step) }, (_, i) => i * step);
  const ids: string[] = [];
  const badPages: BadPage[] = [];
  const shown = printableName(path);
  let told = 0;
  const saveRange = async (from: number): Promise<void> => {
    const length = Math.min(step, size - from);
    await pace?.take(length, run.signal);
    const result = await run.pool.run<'range'>(() => ({
      kind: 'range',
      path,
      inode: stat.ino,
      from,
      length,
      chunkBytes: pageChunkBytes,
      pageCheck: live.pageCheck,
    }));
    if (result.isGone) throw systemError('ENOENT', 'open', 'another file has its name');
    ids[from / step] = result.ids;
    badPages.push(...result.badPages);
    addCounts(counts, result.counts);
    told += length;
    run.add({ ...result.counts, bytes: length }, shown);
  };
  try {
    await mapConcurrently(starts, run.pool.capacity, saveRange);
  } catch (error) {
    run.add({ ...noCounts(), bytes: -told });
    throw error;
  }
  const node = { ...readNode(run.reader, { path, name, stat }), size };
  // As encodeNode has it, without a list of all ids in between.
  const content = ids.length === 0 ? '[]' : `["${ids.join('","')}"]`;
  return { json: `${nodeHead(node)},"content":${content}}`, size, badPages };
}
