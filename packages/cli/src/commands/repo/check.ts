// `varve repo check`: whether everything in a repository is there and good, and which files damage has reached.

import { AppError, errorCodes, formatBytes } from '@varve/base';
import type { CheckReport } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { affectedLines } from '../../output/affected-files.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import { counted, printable } from '../../output/text.ts';

interface Options extends LockCommandOptions {
  readonly readData?: boolean;
  readonly readDataSubset?: string;
}

export const addCheckCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('check')
    .description('check a repository for errors; exit code 6 when there are some')
    .option('--read-data', 'read and verify all data too')
    .option(
      '--read-data-subset <subset>',
      'read and verify a part of the data: n/t for a fixed part, x% or a size (500M) for a random one',
    )
    .option('--with-cache', 'as in restic; this check always reads the repository itself')
    .addHelpText(
      'after',
      examples(
        ['Structure only', 'varve repo check'],
        ['Every byte', 'varve repo check --read-data'],
        ['A seventh of the data each day of the week', 'varve repo check --read-data-subset "$(date +%u)/7"'],
        ['What is lost, for a script', "varve repo check --read-data --json | jq '.affected[]'"],
      ),
    );
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { checkRepository, parseDataSubset } = await import('@varve/repository');
    const options = command.opts<Options>();
    const { readData = false, readDataSubset } = options;
    if (readData && readDataSubset !== undefined) {
      throw new AppError('USAGE_INVALID', '--read-data and --read-data-subset exclude each other.');
    }
    const subset = readDataSubset === undefined ? undefined : parseDataSubset(readDataSubset);
    await using opened = await openLockedRepository(session, options, { exclusive: true });
    const { repository, signal } = opened;
    using progress = repositoryProgress(session, 'check');
    const report = await checkRepository(repository, {
      readData,
      readDataSubset: subset,
      clock: session.clock,
      signal,
      onProgress: progress.onProgress,
    });
    progress[Symbol.dispose]();
    session.print(summaryOf(report), () => [
      ...report.errors.map((error) => `error: ${printable(error.message)} [${error.code}]`),
      ...more(report.errorCount - report.errors.length, 'error'),
      ...report.warnings.map((warning) => `warning: ${printable(warning.message)}`),
      ...more(report.warningCount - report.warnings.length, 'warning'),
      ...affectedLines(report, 'affected'),
      `${counted(report.snapshots, 'snapshot')}, ${counted(report.packs, 'pack')}, ${counted(report.blobs, 'blob')}, ${formatBytes(report.bytesRead)} read`,
      ...(report.errorCount === 0
        ? ['no errors were found']
        : [`${counted(report.errorCount, 'error')} found`, ...advice(report)]),
    ]);
    return report.errorCount === 0 ? 0 : errorCodes.REPOSITORY_DAMAGED.exit;
  });
};

const mostPacksShown = 50;
const wastes: ReadonlySet<string> = new Set(['PACK_MIXED', 'PACK_NOT_INDEXED']);

/** restic's summary, and the whole report. */
function summaryOf(report: CheckReport): Record<string, unknown> {
  const { brokenPacks, needsIndexRepair, warnings } = report;
  return {
    message_type: 'summary',
    num_errors: report.errorCount,
    broken_packs: brokenPacks,
    suggest_repair_index: needsIndexRepair,
    // Never while the index is wrong: prune would take what it does not list for waste.
    suggest_prune: !needsIndexRepair && warnings.some(({ code }) => wastes.has(code)),
    ...report,
  };
}

function more(count: number, noun: string): string[] {
  return count > 0 ? [`… and ${counted(count, `more ${noun}`)}`] : [];
}

/** In the order in which repairs have to be made. */
function advice({ brokenPacks, needsIndexRepair, affectedCount, errors, bytesRead }: CheckReport): string[] {
  const steps = ['Copy the repository, and look for the cause (disk, memory) before you repair it. Then:'];
  if (needsIndexRepair) steps.push('  varve repo repair index');
  const isTreeDamaged = errors.some(({ code }) => code === 'TREE_DAMAGED');
  if (isTreeDamaged && bytesRead === 0) steps.push('  varve repo check --read-data, which names damaged packs');
  if (brokenPacks.length > 0) steps.push(packAdvice(brokenPacks));
  if (affectedCount > 0) {
    steps.push('  back up again: what is still there heals the snapshots');
    steps.push('  varve repo repair snapshots --forget --dry-run');
  }
  return steps.length > 1 ? steps : [];
}

/** More than a command line holds is left to a script. */
function packAdvice(brokenPacks: readonly string[]): string {
  const command = '  varve repo repair packs';
  if (brokenPacks.length <= mostPacksShown) return `${command} ${brokenPacks.join(' ')}`;
  return `${command} ID… for the ${counted(brokenPacks.length, 'pack')} that --json lists as broken_packs`;
}
