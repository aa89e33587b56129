// What is known of a gap from the moment when it is found until a block in the repository tells of it: a file beside the spool's
// segments, so that a crash in between loses neither the gap nor its reason.

import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '@varve/base';
import { walBlockSchema, type WalBlock } from '@varve/contract';

/** As blocks tell it. */
export type GapNote = NonNullable<WalBlock['gap']>;

const fileName = 'gap.json';
const gapSchema = walBlockSchema.shape.gap;

/** Durable when it returns. Synchronous: it is written before the spool goes on behind the gap. An earlier note stays. */
export function noteGap(folder: string, gap: GapNote): void {
  if (readGapNote(folder)) return;
  const path = join(folder, fileName);
  const file = openSync(`${path}.tmp`, 'w', 0o600);
  try {
    writeSync(file, `${JSON.stringify(gap)}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(`${path}.tmp`, path);
  const directory = openSync(folder, 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** Undefined when there is none, or it cannot be read: then the gap is told without its reason. */
export function readGapNote(folder: string): GapNote | undefined {
  try {
    return gapSchema.parse(JSON.parse(readFileSync(join(folder, fileName), 'utf8'))) ?? undefined;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || error instanceof SyntaxError) return undefined;
    return undefined;
  }
}

/** A block in the repository tells of it now. */
export function clearGapNote(folder: string): void {
  rmSync(join(folder, fileName), { force: true });
}
