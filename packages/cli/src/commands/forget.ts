// `varve forget APP`: shows what the retention policy removes and why, then removes exactly that.

import { formatBytes } from '@varve/base';
import type { RetentionPreview } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { followJob } from '../follow-job.ts';
import { tableLines } from '../output/table.ts';
import { counted } from '../output/text.ts';
import { absoluteTime, relativeTime } from '../output/time.ts';

export const addForgetCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('forget')
    .description('remove the snapshots of an app that its retention policy no longer keeps')
    .argument('<app>', 'id of the app')
    .option('-n, --dry-run', 'only show what would be removed')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', examples(['See what would go, and why the rest stays', 'varve forget shop --dry-run']));
  register(command, async (session) => {
    const { dryRun, yes } = command.opts<{ dryRun?: boolean; yes?: boolean }>();
    const appId = command.args[0] ?? '';
    if (!dryRun) session.assertCanConfirm(yes ?? false);
    await using varve = await session.openVarve();
    const preview = await varve.previewRetention(appId);
    if (dryRun || preview.remove.length + preview.removeWal.length === 0) {
      session.print(preview, () => [...previewLines(preview, session.now), closingLine(preview)]);
      return 0;
    }
    if (!session.json) for (const line of previewLines(preview, session.now)) session.say(line);
    const question = `Remove ${whatGoes(preview)}? This cannot be undone.`;
    await session.confirm({ yes: yes ?? false, question });
    const job = await varve.startForget(appId, { fingerprint: preview.fingerprint }, 'cli');
    return await followJob(session, varve, job, () => `Removed ${whatGoes(preview)}.`);
  });
};

function closingLine(preview: RetentionPreview): string {
  return preview.remove.length + preview.removeWal.length === 0
    ? `Nothing to remove: the policy keeps all ${counted(preview.keep.length, 'snapshot')}.`
    : `${whatGoes(preview)} would be removed, ${counted(preview.keep.length, 'snapshot')} kept.`;
}

/** `3 snapshots and 12 blocks of write-ahead log` */
function whatGoes({ remove, removeWal }: RetentionPreview): string {
  const blocks = removeWal.reduce((sum, wal) => sum + wal.blocks, 0);
  return [
    ...(remove.length > 0 || blocks === 0 ? [counted(remove.length, 'snapshot')] : []),
    ...(blocks > 0 ? [`${counted(blocks, 'block')} of write-ahead log`] : []),
  ].join(' and ');
}

function walLines({ removeWal }: RetentionPreview): string[] {
  return removeWal.map(({ component, blocks, bytes, fromAt, toAt }) => {
    const times = fromAt === null || toAt === null ? '' : `, ${absoluteTime(fromAt)} to ${absoluteTime(toAt)}`;
    return `Write-ahead log of ${component}: ${counted(blocks, 'block')} (${formatBytes(bytes)})${times} is older than the point-in-time window.`;
  });
}

function previewLines(preview: RetentionPreview, now: Date): string[] {
  const rows = [
    ...preview.keep.map(({ snapshot, reasons }) => ({ snapshot, fate: 'keep', why: reasons.join(', ') })),
    ...preview.remove.map((snapshot) => ({ snapshot, fate: 'remove', why: 'no rule keeps it' })),
  ].toSorted((a, b) => b.snapshot.time.localeCompare(a.snapshot.time));
  const table = tableLines(
    [{ title: 'SNAPSHOT' }, { title: 'TIME' }, { title: 'AGE' }, { title: 'KIND' }, { title: '' }, { title: 'WHY' }],
    rows.map(({ snapshot, fate, why }) => [
      snapshot.id.slice(0, 8),
      absoluteTime(snapshot.time),
      relativeTime(snapshot.time, now),
      snapshot.kind,
      fate,
      why,
    ]),
  );
  return [...(rows.length > 0 ? table : []), ...walLines(preview)];
}
