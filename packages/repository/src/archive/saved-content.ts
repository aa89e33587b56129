// Content that the repository has already and that a new snapshot takes over, whole or as the beginning of a file.

import { AppError } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { SavedContent } from './stream-saver.ts';

/** REPOSITORY_DAMAGED when a part of the file's content is in no pack that is known: a snapshot must not name it again. */
export function assertStored(index: BlobIndex, { content }: TreeNode, target: string): void {
  const missing = content?.find((id) => !index.has('data', id));
  if (content && missing === undefined) return;
  throw new AppError('REPOSITORY_DAMAGED', `A part of what is to become ${target} is not in the repository any more.`, {
    hint: 'Check the repository. What is still at its source can be saved again from there.',
    context: { target, ...(missing === undefined ? {} : { blob: missing }) },
  });
}

/** The content of a file that goes on where another one ends. */
export function appended(before: TreeNode | undefined, { content, size }: SavedContent): SavedContent {
  if (!before) return { content, size };
  return { content: [...(before.content ?? []), ...content], size: before.size + size };
}
