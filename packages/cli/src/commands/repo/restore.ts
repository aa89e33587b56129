// `varve repo restore SNAPSHOT --target DIR`: writes the files of a snapshot into a folder.

import { resolve } from 'node:path';
import { errorCodes, formatBytes } from '@varve/base';
import { Option } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { collect } from '../../options/numbers.ts';
import {
  addFilterOptions,
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  openLockedRepository,
  parseSnapshotPath,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import { counted, printable } from '../../output/text.ts';

interface Options extends LockCommandOptions {
  readonly target: string;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly verify?: boolean;
  readonly overwrite: 'always' | 'if-changed' | 'if-newer' | 'never';
  readonly delete?: boolean;
  readonly dryRun?: boolean;
}

export const addRepoRestoreCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('restore')
    .description('write the files of a snapshot into a folder')
    .argument('<snapshot>', 'an id, the beginning of one, or latest; ID:folder takes the content of a folder')
    .requiredOption('-t, --target <dir>', 'folder to write into; made when missing')
    .option('-i, --include <pattern>', 'only what matches (may be given several times)', collect)
    .option('-e, --exclude <pattern>', 'not what matches (may be given several times)', collect)
    .addOption(
      new Option('--overwrite <when>', 'what happens to files that are there')
        .choices(['always', 'if-changed', 'if-newer', 'never'])
        .default('always'),
    )
    .option('--delete', 'remove what is in the folder but not in the snapshot')
    .option('--verify', 'read what was written and compare')
    .option('-n, --dry-run', 'only say what would be done')
    .addHelpText(
      'after',
      examples(
        ['Everything', 'varve repo restore latest --target /tmp/restored'],
        ['One folder of a snapshot', 'varve repo restore 1a2b3c4d:/etc/ssh --target /tmp/ssh'],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { restoreTree } = await import('@varve/repository');
    const options = command.opts<Options>();
    const { name, path } = parseSnapshotPath(command.args[0] ?? '');
    const target = resolve(session.io.cwd, options.target);
    await using opened = await openLockedRepository(session, options, { exclusive: false });
    const { repository, signal } = opened;
    const snapshot = await repository.findSnapshot(name, filterOf(command), { signal });
    await repository.loadIndex({ signal });
    using progress = repositoryProgress(session, 'restore');
    const result = await restoreTree(repository, {
      treeId: snapshot.tree,
      path,
      target,
      include: options.include,
      exclude: options.exclude,
      overwrite: options.overwrite,
      deleteOthers: options.delete ?? false,
      verify: options.verify ?? false,
      dryRun: options.dryRun ?? false,
      signal,
      onProgress: progress.onProgress,
    });
    progress[Symbol.dispose]();
    const { problems } = result;
    session.print({ message_type: 'summary', snapshot_id: snapshot.id, target, ...result }, () => [
      ...problems.map((problem) => `problem: ${printable(problem.path)}: ${printable(problem.message)}`),
      `${options.dryRun ? 'would restore' : 'restored'} ${counted(result.files, 'file')} and ${counted(result.dirs, 'folder')} (${formatBytes(result.bytes)}) of snapshot ${snapshot.id.slice(0, 8)} to ${printable(target)}`,
      ...(result.unchanged > 0 ? [`${counted(result.unchanged, 'file')} unchanged`] : []),
      ...(result.deleted > 0 ? [`${counted(result.deleted, 'other')} deleted`] : []),
    ]);
    return problems.length === 0 ? 0 : errorCodes.RESULT_PARTIAL.exit;
  });
};
