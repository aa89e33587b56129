// `varve repo repair index`: makes the index say what the packs hold.

import type { IndexRepairPlan, IndexRepairResult } from '@varve/repository';
import { examples, type AddCommand } from '../../../command.ts';
import { repositoryProgress } from '../../../output/repository-progress.ts';
import { counted, firstLines, grouped, printable } from '../../../output/text.ts';
import { addRepairOptions, openForRepair, type RepairOptions } from './repair-options.ts';

interface Options extends RepairOptions {
  readonly readAllPacks?: boolean;
}

export const addRepairIndexCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('index')
    .description('rebuild the index from the packs that are there')
    .option('--read-all-packs', 'read the headers of all packs, not only of those that the index does not know')
    .addHelpText(
      'after',
      examples(
        ['What would be done', 'varve repo repair index --dry-run'],
        ['Do it', 'varve repo repair index'],
        ['Trust no index file', 'varve repo repair index --read-all-packs'],
      ),
    );
  addRepairOptions(command);
  register(command, async (session) => {
    const { planIndexRepair } = await import('@varve/repository');
    const options = command.opts<Options>();
    const dryRun = options.dryRun ?? false;
    await using opened = await openForRepair(session, options);
    const { repository, signal } = opened;
    using progress = repositoryProgress(session, 'repair index');
    const { onProgress } = progress;
    const repair = await planIndexRepair(repository, { readAllPacks: options.readAllPacks, signal, onProgress });
    const result = dryRun || !repair.plan.isNeeded ? null : await repair.run({ signal });
    progress[Symbol.dispose]();
    const { plan } = repair;
    session.print({ message_type: 'summary', dry_run: dryRun, plan, result }, () => [
      ...planLines(plan),
      ...outcomeLines(plan, result),
    ]);
  });
};

/** Lines of one kind; --json has them all. */
const mostLines = 100;

function planLines(plan: IndexRepairPlan): string[] {
  const packs = (ids: readonly string[], what: string): string[] => ids.map((packId) => `pack ${packId}: ${what}`);
  const unreadable = plan.unreadablePacks.map(
    ({ packId, reason }) =>
      `pack ${packId}: ${printable(reason)} Salvage what is good: varve repo repair packs ${packId}`,
  );
  return [
    plan.damagedFiles.map(({ name, reason }) => `index file ${name}: ${printable(reason)}`),
    packs(plan.addedPacks, 'not in the index, is added'),
    packs(plan.changedPacks, 'holds other blobs than the index says'),
    packs(plan.duplicatePacks, 'in several index files'),
    packs(plan.missingPacks, 'missing, leaves the index'),
    unreadable,
  ].flatMap((lines) => firstLines(lines, mostLines));
}

function outcomeLines(plan: IndexRepairPlan, result: IndexRepairResult | null): string[] {
  if (!plan.isNeeded) return [`the index of ${counted(plan.packs, 'pack')} is as it should be`];
  const after = plan.missingPacks.length > 0 ? ['see what is lost: varve repo check'] : [];
  if (!result) return [`would replace ${counted(plan.obsoleteFiles.length, 'index file')}`, ...after];
  const { filesWritten, filesRemoved } = result;
  return [`wrote ${counted(filesWritten, 'index file')}, removed ${grouped(filesRemoved)}`, ...after];
}
