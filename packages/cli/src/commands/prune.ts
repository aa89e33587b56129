// `varve prune`: shows how much space comes back and what stays, then gives back the space of what no snapshot uses.

import { formatBytes } from '@varve/base';
import type { Job, PrunePreview } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { followJob } from '../follow-job.ts';
import { factLines } from '../output/table.ts';
import { counted } from '../output/text.ts';

export const addPruneCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('prune')
    .description('give back the space of forgotten snapshots in the repository of this installation')
    .option('-n, --dry-run', 'only show what would be removed')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      examples(
        ['How much space would come back', 'varve prune --dry-run'],
        ['Without a question, e.g. from a script', 'varve prune --yes'],
      ),
    );
  register(command, async (session) => {
    const { dryRun, yes } = command.opts<{ dryRun?: boolean; yes?: boolean }>();
    if (!dryRun) session.assertCanConfirm(yes ?? false);
    await using varve = await session.openVarve();
    const preview = await varve.previewPrune({ signal: session.signal });
    if (dryRun || isNothing(preview)) {
      session.print(preview, () => [...previewLines(preview), closingLine(preview)]);
      return 0;
    }
    if (!session.json) for (const line of previewLines(preview)) session.say(line);
    const question = `Free ${formatBytes(preview.freedBytes)}? No snapshot is touched.`;
    await session.confirm({ yes: yes ?? false, question });
    return await followJob(session, varve, await varve.startPrune('cli'), doneLine);
  });
};

function isNothing({ remove, repack, unreferenced }: PrunePreview): boolean {
  return remove.packs + repack.packs + unreferenced.packs === 0;
}

function closingLine(preview: PrunePreview): string {
  return isNothing(preview)
    ? 'Nothing to free: all that is stored is used, but for what is not worth rewriting.'
    : `${formatBytes(preview.freedBytes)} would be freed.`;
}

function previewLines(preview: PrunePreview): string[] {
  const { remove, repack, unreferenced } = preview;
  const packs = (amount: { readonly packs: number; readonly bytes: number }): string =>
    `${counted(amount.packs, 'pack')}, ${formatBytes(amount.bytes)}`;
  return factLines([
    ['Used', `${formatBytes(preview.usedBytes)} by ${counted(preview.snapshots, 'snapshot')}; stays`],
    ['Unused', `${packs(remove)}; removed`],
    ['Partly used', `${packs(repack)}, of which ${formatBytes(repack.unusedBytes)} are unused; rewritten`],
    ['Left over', `${packs(unreferenced)} of interrupted runs; removed`],
    [
      'Not worth it',
      `${formatBytes(preview.unusedAfterBytes)} unused among used data stay (at most ${preview.maxUnusedPercent} %)`,
    ],
    ['Repository', `${formatBytes(preview.sizeBytes)}, then ${formatBytes(preview.sizeAfterBytes)}`],
  ]);
}

function doneLine({ result }: Job): string {
  if (result?.type !== 'prune') return 'Done.';
  const freed = Math.max(0, result.bytesRemoved - result.bytesWritten);
  return `Freed ${formatBytes(freed)}: removed ${counted(result.packsRemoved, 'pack')}, wrote ${result.packsWritten}.`;
}
