// `varve repo diff SNAPSHOT SNAPSHOT`: what changed between two snapshots, or two folders of snapshots.

import { formatBytes } from '@varve/base';
import type { DiffStatistics, Repository, TreeChange } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  parseSnapshotPath,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { printable } from '../../output/text.ts';
import type { Session } from '../../session.ts';

export const addDiffCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('diff')
    .description(
      'show what changed from one snapshot to another: + added, - removed, M content, T type, U metadata, M? content with equal metadata',
    )
    .argument('<before>', 'an id, the beginning of one, or latest; ID:folder compares a folder')
    .argument('<after>', 'the same')
    .option('--metadata', 'changes of metadata (U) too')
    .addHelpText(
      'after',
      examples(
        ['Two snapshots', 'varve repo diff 1a2b3c4d latest'],
        ['One folder of them', 'varve repo diff 1a2b3c4d:/etc latest:/etc'],
      ),
    );
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { diffTrees } = await import('@varve/repository');
    const options = command.opts<LockCommandOptions & { metadata?: boolean }>();
    const [before = '', after = ''] = command.args;
    await using opened = await openLockedRepository(session, options, { exclusive: false });
    const { repository, signal } = opened;
    const left = await locate(repository, before, signal);
    const right = await locate(repository, after, signal);
    session.say(`comparing snapshot ${left.id.slice(0, 8)} to ${right.id.slice(0, 8)}:\n`);
    const changes = diffTrees(repository, {
      before: left.treeId,
      after: right.treeId,
      metadata: options.metadata,
      signal,
    });
    for (;;) {
      const next = await changes.next();
      if (session.io.out.isClosed) return;
      if (!next.done) {
        writeChange(session, next.value);
        continue;
      }
      if (session.json) session.printJson(statisticsJson(next.value, { before, after }));
      else session.io.out.write(`\n${statisticsLines(next.value).join('\n')}\n`);
      return;
    }
  });
};

async function locate(
  repository: Repository,
  text: string,
  signal: AbortSignal,
): Promise<{ readonly id: string; readonly treeId: string }> {
  const { findTree } = await import('@varve/repository');
  const { name, path } = parseSnapshotPath(text);
  const snapshot = await repository.findSnapshot(name, {}, { signal });
  await repository.loadIndex({ signal });
  return { id: snapshot.id, treeId: await findTree(repository, { treeId: snapshot.tree, path, signal }) };
}

function writeChange(session: Session, { path, jsonPath, modifier }: TreeChange): void {
  if (session.quiet) return;
  if (session.json) session.printJson({ message_type: 'change', path: jsonPath, modifier });
  else session.io.out.write(`${modifier.padEnd(5)}${printable(path)}\n`);
}

/** As the last line of `restic diff --json`. */
function statisticsJson(
  { changedFiles, added, removed }: DiffStatistics,
  names: { readonly before: string; readonly after: string },
): Record<string, unknown> {
  const side = ({ files, dirs, others, dataBlobs, treeBlobs, bytes }: typeof added): Record<string, number> => ({
    files,
    dirs,
    others,
    data_blobs: dataBlobs,
    tree_blobs: treeBlobs,
    bytes,
  });
  return {
    message_type: 'statistics',
    source_snapshot: names.before,
    target_snapshot: names.after,
    changed_files: changedFiles,
    added: side(added),
    removed: side(removed),
  };
}

function statisticsLines({ changedFiles, added, removed }: DiffStatistics): string[] {
  const counts = (label: string, key: 'files' | 'dirs' | 'others' | 'dataBlobs' | 'treeBlobs'): string =>
    `${label.padEnd(12)} ${String(added[key]).padStart(5)} new, ${String(removed[key]).padStart(5)} removed`;
  return [
    `${counts('Files:', 'files')}, ${String(changedFiles).padStart(5)} changed`,
    counts('Dirs:', 'dirs'),
    counts('Others:', 'others'),
    counts('Data Blobs:', 'dataBlobs'),
    counts('Tree Blobs:', 'treeBlobs'),
    `  Added:   ${formatBytes(added.bytes)}`,
    `  Removed: ${formatBytes(removed.bytes)}`,
  ];
}
