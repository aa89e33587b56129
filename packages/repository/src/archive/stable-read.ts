// Whether what was read of a file is one state of it: its facts before and after reading are compared. What only grew (a log)
// was read up to some point and is whole. What changed in place may be a mixture of two states, and nobody can tell.

import type { FileFacts } from '../filesystem/folder-listing.ts';
import type { Notice, Problem } from './worker-protocol.ts';

/** Files up to this size are read again when they changed in place meanwhile. */
export const rereadLimitBytes = 32 * 1024 * 1024;
/** How often a file is read before its mixed content is taken and reported. */
export const maxReads = 3;

export type ReadOutcome = 'stable' | 'grew' | 'mixed';

const grewMessage = 'it grew while it was read; what was written after its end was reached is not saved';
const mixedMessage = 'it changed while it was read: its copy may be a mixture of two states';

/** What is to be told of a file after its last reading. */
export function remarksOn(path: string, outcome: ReadOutcome): { problem?: Problem; notice?: Notice } {
  if (outcome === 'mixed') return { problem: { path, message: mixedMessage } };
  return outcome === 'grew' ? { notice: { kind: 'grew', path, message: grewMessage } } : {};
}

/** `sizeRead` is what the end of the file was found at. */
export function compareReads(before: FileFacts, after: FileFacts, sizeRead: number): ReadOutcome {
  if (after.size < before.size || sizeRead < Number(before.size)) return 'mixed';
  if (after.size > before.size) return 'grew';
  return after.mtimeNs === before.mtimeNs ? 'stable' : 'mixed';
}
