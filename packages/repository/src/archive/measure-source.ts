// Counts what a folder holds while it is already being saved, so that progress has a total. An estimate for people: what
// cannot be looked at counts as nothing, and nobody waits for it.

import { lstat, opendir } from 'node:fs/promises';
import { throwIfAborted } from '@varve/base';
import { joinPath } from '../filesystem/byte-path.ts';
import { ExcludePatterns } from '../filesystem/exclude-patterns.ts';
import type { FolderLabel } from './worker-protocol.ts';

export interface Measure {
  files: number;
  bytes: number;
}

export interface MeasureOptions {
  readonly path: Buffer;
  readonly isExcluded: (path: Buffer) => boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Files and bytes at or below a path of the host; links are not followed. CANCELLED when the signal aborts. */
export async function measureSource(options: MeasureOptions): Promise<Measure> {
  const measure: Measure = { files: 0, bytes: 0 };
  const waiting: Buffer[] = [options.path];
  for (let path = waiting.pop(); path; path = waiting.pop()) {
    throwIfAborted(options.signal);
    if (options.isExcluded(path)) continue;
    try {
      const stat = await lstat(path);
      if (stat.isDirectory()) await list(path, waiting);
      else if (stat.isFile()) {
        measure.files++;
        measure.bytes += stat.size;
      }
    } catch {
      // Gone or not readable: the one who saves it reports that.
    }
  }
  return measure;
}

async function list(folder: Buffer, names: Buffer[]): Promise<void> {
  // The types know text names only; with this encoding names are buffers.
  const entries = await opendir(folder, { encoding: 'buffer' as BufferEncoding });
  for await (const entry of entries) names.push(joinPath(folder, entry.name as unknown as Buffer));
}

/** Whether a path of the host, at or below `source`, is left out. */
export function exclusionOf(source: Buffer, label: FolderLabel): (path: Buffer) => boolean {
  const rules = label.excludes.map(({ patterns, path }) => ({
    patterns: new ExcludePatterns(patterns),
    prefix: path === '/' ? '' : path,
  }));
  return (path) => {
    const below = path.subarray(source.length).toString();
    return rules.some(({ patterns, prefix }) => patterns.matches(`${prefix}${below}` || '/'));
  };
}
