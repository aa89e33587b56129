// Saves a single file that is an input of its own: from the parent snapshot when it did not change, otherwise by reading it.

import { lstatSync } from 'node:fs';
import { AppError } from '@varve/base';
import { isSystemError } from '../filesystem/system-error.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { ArchiveRun } from './archive-run.ts';
import { readLargeFile } from './folder-walk.ts';
import { noCounts, type Counts } from './worker-protocol.ts';
import { isUnchanged } from './unchanged.ts';

/** `node` is the file's, without content. ARCHIVE_SOURCE_MISSING when it cannot be read. */
export async function saveFile(
  run: ArchiveRun,
  { path, node, parent }: { path: Buffer; node: TreeNode; parent: TreeNode | undefined },
): Promise<{ node: TreeNode; counts: Counts }> {
  const counts = noCounts();
  try {
    const stat = lstatSync(path, { bigint: true });
    if (parent && isUnchanged(parent, { stat, node, index: run.repository.index })) {
      const result = { ...counts, filesUnmodified: 1, bytes: parent.size };
      run.add(result, path.toString());
      return { node: { ...node, content: parent.content, size: parent.size }, counts: result };
    }
    const saved = await readLargeFile(run, { path, name: node.name, counts });
    const result = { ...counts, bytes: saved.size, filesNew: parent ? 0 : 1, filesChanged: parent ? 1 : 0 };
    run.add({ ...noCounts(), bytes: saved.size, filesNew: result.filesNew, filesChanged: result.filesChanged });
    return { node: saved, counts: result };
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new AppError('ARCHIVE_SOURCE_MISSING', `${path.toString()} cannot be read: ${error.message}`, {
      hint: 'Check that it exists and that this process may read it.',
      cause: error,
    });
  }
}
