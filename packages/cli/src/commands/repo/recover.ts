// `varve repo recover`: makes a snapshot of the folders that no snapshot leads to.

import type { RecoverableRoot, RecoverPlan, RecoverResult } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import { counted, firstLines, printable } from '../../output/text.ts';
import { addRepairOptions, openForRepair, type RepairOptions } from './repair/repair-options.ts';

export const addRecoverCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('recover')
    .description('make a snapshot of all folders that no snapshot leads to, e.g. after one was forgotten by accident')
    .addHelpText(
      'after',
      examples(
        ['What there is', 'varve repo recover --dry-run'],
        ['Make the snapshot, and look into it', 'varve repo recover && varve repo ls latest --tag recovered'],
      ),
    );
  addRepairOptions(command);
  register(command, async (session) => {
    const { planRecovery } = await import('@varve/repository');
    const options = command.opts<RepairOptions>();
    const dryRun = options.dryRun ?? false;
    await using opened = await openForRepair(session, options);
    const { repository, signal } = opened;
    using progress = repositoryProgress(session, 'recover');
    const { onProgress } = progress;
    const recovery = await planRecovery(repository, { clock: session.clock, signal, onProgress });
    const result = dryRun ? null : await recovery.run({ signal });
    progress[Symbol.dispose]();
    const { plan } = recovery;
    const summary = { message_type: 'summary', dry_run: dryRun, plan, snapshot_id: result?.snapshotId ?? null };
    session.print(summary, () => [
      ...firstLines(plan.roots.map(rootLine), mostRootLines),
      ...outcomeLines(plan, result),
    ]);
  });
};

/** Folders that are shown; --json has them all. */
const mostRootLines = 100;

function rootLine({ name, entries, firstEntries }: RecoverableRoot): string {
  const rest = entries > firstEntries.length ? ', …' : '';
  return `  ${name}: ${counted(entries, 'entry', 'entries')} (${printable(firstEntries.join(', '))}${rest})`;
}

function outcomeLines({ roots, index, unreadableTrees }: RecoverPlan, result: RecoverResult | null): string[] {
  const lines = [`found ${counted(roots.length, 'folder')} that no snapshot leads to`];
  if (index.isNeeded) lines.push(result ? 'the index was repaired before' : 'the index would be repaired before');
  if (unreadableTrees > 0) lines.push(`${counted(unreadableTrees, 'folder')} cannot be read`);
  if (roots.length === 0) lines.push('no snapshot to write');
  else if (!result) lines.push('would save a snapshot of them');
  else if (result.snapshotId !== null) lines.push(`saved new snapshot ${result.snapshotId.slice(0, 8)}`);
  return lines;
}
