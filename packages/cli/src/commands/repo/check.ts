// `varve repo check`: whether everything in a repository is there and good.

import { errorCodes, formatBytes } from '@varve/base';
import { examples, type AddCommand } from '../../command.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import { counted, printable } from '../../output/text.ts';

interface Options extends LockCommandOptions {
  readonly readData?: boolean;
}

export const addCheckCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('check')
    .description('check a repository for errors; exit code 6 when there are some')
    .option('--read-data', 'read and verify all data too')
    .addHelpText(
      'after',
      examples(['Structure only', 'varve repo check'], ['Every byte', 'varve repo check --read-data']),
    );
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { checkRepository } = await import('@varve/repository');
    const options = command.opts<Options>();
    await using opened = await openLockedRepository(session, options, { exclusive: true });
    const { repository, signal } = opened;
    using progress = repositoryProgress(session, 'check');
    const report = await checkRepository(repository, {
      readData: options.readData ?? false,
      signal,
      onProgress: progress.onProgress,
    });
    progress[Symbol.dispose]();
    const result = { message_type: 'summary', num_errors: report.errors.length, ...report };
    session.print(result, () => [
      ...report.errors.map((error) => `error: ${printable(error.message)} [${error.code}]`),
      ...report.warnings.map((warning) => `warning: ${printable(warning.message)}`),
      `${counted(report.snapshots, 'snapshot')}, ${counted(report.packs, 'pack')}, ${counted(report.blobs, 'blob')}, ${formatBytes(report.bytesRead)} read`,
      report.errors.length === 0 ? 'no errors were found' : `${counted(report.errors.length, 'error')} found`,
    ]);
    return report.errors.length === 0 ? 0 : errorCodes.REPOSITORY_DAMAGED.exit;
  });
};
