// Saves a single file that is an input of its own: from the parent snapshot when it did not change, otherwise by reading it.

import { lstatSync } from 'node:fs';
import { AppError } from '@varve/base';
import { isSystemError } from '../filesystem/system-error.ts';
import type { TreeNode } from '../tree/tree-node.ts';
import type { ArchiveRun } from './archive-run.ts';
import { readLargeFile } from './large-file.ts';
import { remarksOn } from './stable-read.ts';
import { compareWithParent, incompleteNotice } from './unchanged.ts';
import { noCounts, type Counts, type Item, type Notice, type Problem } from './worker-protocol.ts';

export interface FileInput {
  readonly path: Buffer;
  readonly shown: string;
  /** The file's, without content. */
  readonly node: TreeNode;
  readonly parent: TreeNode | undefined;
  readonly pageChunkBytes: number;
  readonly onItem?: ((item: Item) => void) | undefined;
}

export interface SavedFile {
  readonly node: TreeNode;
  readonly counts: Counts;
  readonly problems: readonly Problem[];
  readonly notices: readonly Notice[];
}

/** ARCHIVE_SOURCE_MISSING when it cannot be read. */
export async function saveFile(run: ArchiveRun, input: FileInput): Promise<SavedFile> {
  const { path, shown, node, parent, pageChunkBytes, onItem } = input;
  const counts = noCounts();
  const startedMs = performance.now();
  const tell = (action: Item['action'], { bytesAdded, bytesAddedPacked }: Counts): void => {
    const durationMs = performance.now() - startedMs;
    onItem?.({ kind: 'file', action, path: shown, durationMs, bytesAdded, bytesAddedPacked });
  };
  try {
    const stat = lstatSync(path, { bigint: true });
    const { index } = run.repository;
    const compared = parent ? compareWithParent(parent, { stat, node, index, comparison: run.comparison }) : 'changed';
    if (parent && compared === 'unchanged') {
      const result = { ...counts, filesUnmodified: 1, bytes: parent.size };
      run.add(result, shown);
      tell('unchanged', result);
      return {
        node: { ...node, content: parent.content, size: parent.size },
        counts: result,
        problems: [],
        notices: [],
      };
    }
    const saved = await readLargeFile(run, { path, name: node.name, counts, pageChunkBytes });
    const { size } = saved.node;
    const files = { filesNew: parent ? 0 : 1, filesChanged: parent ? 1 : 0 };
    run.add({ ...noCounts(), ...files });
    tell(parent ? 'modified' : 'new', counts);
    const { problem, notice } = remarksOn(shown, saved.outcome);
    const notices = compared === 'incomplete' ? [incompleteNotice(shown)] : [];
    if (notice) notices.push(notice);
    const problems = problem ? [problem] : [];
    return { node: saved.node, counts: { ...counts, ...files, bytes: size }, problems, notices };
  } catch (error) {
    if (!isSystemError(error)) throw error;
    throw new AppError('ARCHIVE_SOURCE_MISSING', `${shown} cannot be read: ${error.message}`, {
      hint: 'Check that it exists and that this process may read it.',
      cause: error,
    });
  }
}
