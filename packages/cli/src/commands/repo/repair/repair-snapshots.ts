// `varve repo repair snapshots`: makes snapshots without what is lost.

import type { BrokenSnapshot, SnapshotRepairResult } from '@varve/repository';
import { examples, type AddCommand } from '../../../command.ts';
import { addFilterOptions, filterOf } from '../../../options/repository-options.ts';
import { affectedLines } from '../../../output/affected-files.ts';
import { repositoryProgress } from '../../../output/repository-progress.ts';
import { counted, firstLines, grouped } from '../../../output/text.ts';
import { addRepairOptions, openForRepair, type RepairOptions } from './repair-options.ts';

interface Options extends RepairOptions {
  readonly forget?: boolean;
}

export const addRepairSnapshotsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('snapshots')
    .description('make new snapshots without the files, or parts of files, that are lost')
    .argument('[snapshot...]', 'only these')
    .option('--forget', 'remove the broken snapshots when the new ones are there')
    .addHelpText(
      'after',
      examples(
        ['What is lost', 'varve repo repair snapshots --dry-run'],
        ['Put whole ones in place of broken ones', 'varve repo repair snapshots --forget'],
      ),
    );
  addFilterOptions(command);
  addRepairOptions(command);
  register(command, async (session) => {
    const { planSnapshotRepair } = await import('@varve/repository');
    const options = command.opts<Options>();
    const dryRun = options.dryRun ?? false;
    await using opened = await openForRepair(session, options);
    const { repository, signal } = opened;
    using progress = repositoryProgress(session, 'repair snapshots');
    const { onProgress } = progress;
    const repair = await planSnapshotRepair(repository, {
      names: command.args,
      filter: filterOf(command),
      forget: options.forget,
      signal,
      onProgress,
    });
    const result = dryRun ? null : await repair.run({ signal, onProgress });
    progress[Symbol.dispose]();
    const { plan } = repair;
    session.print({ message_type: 'summary', dry_run: dryRun, plan, result }, () => [
      ...affectedLines(plan, 'lost'),
      ...firstLines(
        plan.snapshots.map((broken) => snapshotLine(broken, result)),
        mostLines,
      ),
      `${result ? 'modified' : 'would modify'} ${counted(plan.snapshots.length, 'snapshot')} of ${grouped(plan.examined)}`,
    ]);
  });
};

/** Snapshots that are shown; --json has them all. */
const mostLines = 200;

function snapshotLine(
  { snapshotId, action, count, remove }: BrokenSnapshot,
  result: SnapshotRepairResult | null,
): string {
  const id = `snapshot ${snapshotId.slice(0, 8)}`;
  const fate = remove ? (result ? 'removed' : 'would be removed') : 'stays; --forget removes it';
  if (action === 'unreadable') return `${id}: its file cannot be read; ${fate}; varve repo recover finds its folders`;
  if (action === 'drop') return `${id}: its root cannot be read; ${fate}`;
  const made = result?.repaired.find((repaired) => repaired.snapshotId === snapshotId)?.newSnapshotId.slice(0, 8);
  const lost = counted(count, 'file or folder', 'files and folders');
  return `${id}: ${lost} lost; ${made === undefined ? 'would be saved anew' : `saved as ${made}`}; ${remove || !result ? fate : 'the broken one stays'}`;
}
