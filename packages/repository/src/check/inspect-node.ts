// Whether everything that a node of a snapshot needs can be had, told for a person.

import { plaintextLength, type BlobIndex } from '../blob-index/blob-index.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { LostBlobs } from './lost-blobs.ts';

/** What is wrong with a file; null when it is good, and for everything that is not a file. */
export function fileProblem(node: TreeNode, lost: Pick<LostBlobs, 'reasonOf'>): string | null {
  if (node.type !== 'file') return null;
  if (node.content === null) return 'it has no list of its content';
  const reasons = { missing: 0, damaged: 0 };
  let first: string | undefined;
  for (const id of node.content) {
    const reason = lost.reasonOf('data', id);
    if (reason === null) continue;
    reasons[reason]++;
    first ??= id;
  }
  if (first === undefined) return null;
  const { missing, damaged } = reasons;
  const what =
    damaged === 0 ? 'not in the index' : missing === 0 ? 'damaged or gone' : 'damaged, gone or not in the index';
  return `${missing + damaged} of its ${node.content.length} blobs ${missing + damaged === 1 ? 'is' : 'are'} ${what} (${first.slice(0, 10)})`;
}

/** The bytes of a file's content as far as `index` knows its blobs. */
export function contentBytes(content: readonly string[], index: BlobIndex): number {
  return content.reduce((sum, id) => {
    const location = index.lookup('data', id);
    return sum + (location ? plaintextLength(location) : 0);
  }, 0);
}
