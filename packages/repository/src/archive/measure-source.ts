// Counts what a folder holds while it is already being saved, so that progress has a total. An estimate for people: what
// cannot be looked at counts as nothing, and nobody waits for it.

import { lstat, opendir } from 'node:fs/promises';
import { throwIfAborted } from '@varve/base';
import { joinPath } from '../filesystem/byte-path.ts';
import { toBinary } from '../filesystem/glob.ts';
import type { FolderSelection, Selection } from './selection.ts';

export interface Measure {
  files: number;
  bytes: number;
}

export interface MeasureOptions {
  /** A folder. */
  readonly path: Buffer;
  readonly selection: Selection;
  readonly signal?: AbortSignal | undefined;
}

interface OpenFolder {
  readonly path: Buffer;
  readonly below: string;
}

/** Files and bytes below a folder of the host; links are not followed. CANCELLED when the signal aborts. */
export async function measureSource({ path, selection, signal }: MeasureOptions): Promise<Measure> {
  const measure: Measure = { files: 0, bytes: 0 };
  const waiting: OpenFolder[] = [{ path, below: '' }];
  for (let folder = waiting.pop(); folder; folder = waiting.pop()) {
    throwIfAborted(signal);
    try {
      const rules = selection.folder(folder.path, folder.below, () => {});
      for await (const name of namesIn(folder.path)) await look(folder, name, rules, measure, waiting);
    } catch {
      // Gone or not readable: the one who saves it reports that.
    }
  }
  return measure;
}

async function look(
  folder: OpenFolder,
  name: Buffer,
  rules: FolderSelection,
  measure: Measure,
  waiting: OpenFolder[],
): Promise<void> {
  if (rules.excludesName(name)) return;
  const path = joinPath(folder.path, name);
  const stat = await lstat(path, { bigint: true }).catch(() => null);
  if (stat === null || rules.keeps(name, stat) !== true) return;
  if (stat.isDirectory()) waiting.push({ path, below: `${folder.below}/${toBinary(name)}` });
  else if (stat.isFile()) {
    measure.files++;
    measure.bytes += Number(stat.size);
  }
}

async function* namesIn(folder: Buffer): AsyncGenerator<Buffer> {
  // The types know text names only; with this encoding names are buffers.
  const entries = await opendir(folder, { encoding: 'buffer' as BufferEncoding });
  for await (const entry of entries) yield entry.name as unknown as Buffer;
}
