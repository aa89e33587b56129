// `varve repo restore SNAPSHOT --target DIR`: writes the files of a snapshot into a folder.

import { resolve } from 'node:path';
import { errorCodes, formatBytes } from '@varve/base';
import type { RestoredItem, RestoreOptions, RestoreResult, Snapshot } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import {
  addFilterOptions,
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  openLockedRepository,
  parseSnapshotPath,
} from '../../options/repository-options.ts';
import { addRestoreOptions, readRestoreOptions, type RestoreCommandOptions } from '../../options/restore-options.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import { counted, printable } from '../../output/text.ts';
import type { Session } from '../../session.ts';

export const addRepoRestoreCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('restore')
    .description('write the files of a snapshot into a folder; exit code 3 when some could not be restored')
    .argument('<snapshot>', 'an id, the beginning of one, or latest; ID:folder takes the content of a folder')
    .addHelpText(
      'after',
      examples(
        ['Everything', 'varve repo restore latest --target /tmp/restored'],
        ['One folder of a snapshot', 'varve repo restore 1a2b3c4d:/etc/ssh --target /tmp/ssh'],
        [
          'What making a folder equal to the snapshot would change',
          'varve repo restore latest:/srv/app --target /srv/app --delete --dry-run -v',
        ],
        ['Files of one user for another', 'varve repo restore latest --target /srv --map-user www-data:1000'],
      ),
    );
  addRestoreOptions(command);
  addFilterOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { restoreTree } = await import('@varve/repository');
    const options = command.opts<RestoreCommandOptions>();
    const chosen = await readRestoreOptions(options, session.io.cwd);
    const { name, path } = parseSnapshotPath(command.args[0] ?? '');
    const target = resolve(session.io.cwd, options.target);
    await using opened = await openLockedRepository(session, options, { exclusive: false });
    const { repository, signal } = opened;
    const snapshot = await repository.findSnapshot(name, filterOf(command), { signal });
    await repository.loadIndex({ signal });
    using progress = repositoryProgress(session, 'restore');
    const startedAt = performance.now();
    const result = await restoreTree(repository, {
      ...chosen,
      treeId: snapshot.tree,
      path,
      relativePaths: true,
      target,
      signal,
      expected: path === '/' ? expectedOf(snapshot, chosen) : undefined,
      onProgress: progress.onProgress,
      onItem: session.verbosity > 0 ? (item) => showItem(session, item) : undefined,
    });
    progress[Symbol.dispose]();
    const seconds = (performance.now() - startedAt) / 1000;
    report(session, result, { snapshotId: snapshot.id, target, seconds, isDry: options.dryRun ?? false });
    return result.problems.length === 0 ? 0 : errorCodes.RESULT_PARTIAL.exit;
  });
};

/** What a restore of everything comes to, as the snapshot says; patterns make that unknown. */
function expectedOf(
  { summary }: Snapshot,
  chosen: Partial<RestoreOptions>,
): { files: number; bytes: number } | undefined {
  const { include, includeIgnoringCase, exclude, excludeIgnoringCase } = chosen;
  const isSelective = [include, includeIgnoringCase, exclude, excludeIgnoringCase].some((list) => list?.length);
  if (isSelective || !summary) return undefined;
  return { files: summary.totalFilesProcessed, bytes: summary.totalBytesProcessed };
}

/** What becomes of one object; of what stays as it is only when asked for twice. */
function showItem(session: Session, { action, path, sizeBytes }: RestoredItem): void {
  if (action === 'unchanged' && session.verbosity < 2) return;
  if (session.json) session.printJson({ message_type: 'verbose_status', action, item: path, size: sizeBytes });
  else {
    const size = sizeBytes > 0 ? ` with size ${formatBytes(sizeBytes)}` : '';
    session.io.out.write(`${action.padEnd(9)} ${printable(path)}${size}\n`);
  }
}

function report(
  session: Session,
  result: RestoreResult,
  facts: { readonly snapshotId: string; readonly target: string; readonly seconds: number; readonly isDry: boolean },
): void {
  const { files, dirs, problems } = result;
  const { snapshotId, target, seconds, isDry } = facts;
  session.print(summaryJson(result, facts), () => [
    ...problems.map((problem) => `problem: ${printable(problem.path)}: ${printable(problem.message)}`),
    `${isDry ? 'would restore' : 'restored'} ${counted(files, 'file')} and ${counted(dirs, 'folder')} (${formatBytes(result.restoredBytes)}${isDry ? '' : `, ${formatBytes(result.bytes)} written`}) of snapshot ${snapshotId.slice(0, 8)} to ${printable(target)} in ${seconds.toFixed(1)} s`,
    ...(result.unchanged > 0
      ? [`${counted(result.unchanged, 'file')} unchanged (${formatBytes(result.unchangedBytes)})`]
      : []),
    ...(result.deleted > 0 ? [`${counted(result.deleted, 'other')} ${isDry ? 'would be ' : ''}deleted`] : []),
  ]);
}

/** As the last line of `restic restore --json`, whose files are folders too; and some facts more. */
function summaryJson(
  { files, dirs, unchanged, deleted, bytes, restoredBytes, unchangedBytes, problems }: RestoreResult,
  facts: { readonly snapshotId: string; readonly target: string; readonly seconds: number },
): Record<string, unknown> {
  return {
    message_type: 'summary',
    seconds_elapsed: Math.floor(facts.seconds) || undefined,
    total_files: files + dirs,
    files_restored: files + dirs,
    files_skipped: unchanged || undefined,
    files_deleted: deleted || undefined,
    total_bytes: restoredBytes,
    bytes_restored: restoredBytes,
    bytes_skipped: unchangedBytes || undefined,
    bytes_written: bytes,
    snapshot_id: facts.snapshotId,
    target: facts.target,
    problems,
  };
}
