// `varve repo repair packs`: saves what is good in damaged packs.

import { resolve } from 'node:path';
import { formatBytes } from '@varve/base';
import type { DamagedPack, PackRepairPlan, PackRepairResult } from '@varve/repository';
import { examples, type AddCommand } from '../../../command.ts';
import { affectedLines } from '../../../output/affected-files.ts';
import { repositoryProgress } from '../../../output/repository-progress.ts';
import { counted, firstLines, printable } from '../../../output/text.ts';
import { addRepairOptions, openForRepair, type RepairOptions } from './repair-options.ts';

interface Options extends RepairOptions {
  readonly backupDir?: string;
}

export const addRepairPacksCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('packs')
    .description('save the good blobs of damaged packs into new ones and remove the damaged ones')
    .argument('<pack...>', 'whole ids, as check --read-data names them')
    .option('--backup-dir <dir>', 'where a copy of each damaged pack is kept; the current folder when absent')
    .addHelpText(
      'after',
      examples(
        ['What is good, and which files lose content', 'varve repo repair packs 5fd1… --dry-run'],
        ['Do it', 'varve repo repair packs 5fd1… --backup-dir /var/tmp'],
      ),
    );
  addRepairOptions(command);
  register(command, async (session) => {
    const { keepPackCopy, planPackRepair } = await import('@varve/repository');
    const options = command.opts<Options>();
    const dryRun = options.dryRun ?? false;
    const folder = resolve(session.io.cwd, options.backupDir ?? '.');
    await using opened = await openForRepair(session, options);
    const { repository, signal } = opened;
    using progress = repositoryProgress(session, 'repair packs');
    const { onProgress } = progress;
    const repair = await planPackRepair(repository, { packIds: command.args, signal, onProgress });
    const copies: string[] = [];
    const keepCopy = async (packId: string, bytes: Uint8Array): Promise<void> => {
      copies.push(await keepPackCopy(folder, packId, bytes));
    };
    const result = dryRun ? null : await repair.run({ keepCopy, signal, onProgress });
    progress[Symbol.dispose]();
    const { plan } = repair;
    session.print({ message_type: 'summary', dry_run: dryRun, plan, copies, result }, () => [
      ...plan.packs.flatMap(packLines),
      ...affectedLines(plan, 'lost'),
      ...copies.map((path) => `kept the damaged pack as ${printable(path)}`),
      ...outcomeLines(plan, result),
    ]);
  });
};

/** Lost blobs of a pack that are shown; --json has them all. */
const mostLostLines = 20;

function packLines({ packId, state, headerProblem, blobs, salvaged, elsewhere, lost }: DamagedPack): string[] {
  if (state === 'intact') return [`pack ${packId}: intact, stays as it is`];
  if (state === 'unknown') return [`pack ${packId}: there is none, perhaps since an earlier repair`];
  const header = headerProblem === null ? [] : [`pack ${packId}: ${printable(headerProblem)}`];
  const facts = `${counted(blobs, 'blob')}: ${salvaged} good, ${elsewhere} good elsewhere, ${lost.length} lost`;
  const lines = lost.map(({ type, id }) => `  lost: ${type} blob ${id}`);
  return [...header, `pack ${packId}: ${facts}`, ...firstLines(lines, mostLostLines)];
}

function outcomeLines(plan: PackRepairPlan, result: PackRepairResult | null): string[] {
  const after =
    plan.affectedCount > 0 ? ['back up again to heal what is still there, then: varve repo repair snapshots'] : [];
  const saved = `${counted(plan.salvagedBlobs, 'blob')} (${formatBytes(plan.salvagedBytes)})`;
  if (!result) return [`would save ${saved}`, ...after];
  return [`saved ${saved}, removed ${counted(result.packsRemoved, 'damaged pack')}`, ...after];
}
