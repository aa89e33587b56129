// What `varve repo backup` tells: every file with -v, notices, problems, the summary; in JSON as restic's messages.

import { formatBytes, formatDuration } from '@varve/base';
import type { ArchiveOutcome, Item, Notice } from '@varve/repository';
import type { Session } from '../session.ts';
import { summaryJson } from './repository-json.ts';
import { counted, printable } from './text.ts';

/** A line or message for a file or folder. */
export function reportItem(session: Session, item: Item): void {
  const path = item.kind === 'dir' && item.path !== '/' ? `${item.path}/` : item.path;
  const isFile = item.kind === 'file';
  if (session.json) {
    session.printJson({
      message_type: 'verbose_status',
      action: item.action,
      item: path,
      duration: item.durationMs / 1000,
      data_size: isFile ? item.bytesAdded : 0,
      data_size_in_repo: isFile ? item.bytesAddedPacked : 0,
      metadata_size: isFile ? 0 : item.bytesAdded,
      metadata_size_in_repo: isFile ? 0 : item.bytesAddedPacked,
      total_files: 0,
    });
    return;
  }
  const seconds = (item.durationMs / 1000).toFixed(3);
  const added = `${formatBytes(item.bytesAdded)} added, ${formatBytes(item.bytesAddedPacked)} stored`;
  const cost = item.action === 'unchanged' ? '' : `, saved in ${seconds}s (${added})`;
  session.say(`${item.action.padEnd(9)} ${printable(path)}${cost}`);
}

export interface ReportOptions {
  readonly outcome: ArchiveOutcome;
  readonly durationMs: number;
  readonly dryRun: boolean;
}

export function reportBackup(session: Session, { outcome, durationMs, dryRun }: ReportOptions): void {
  const { snapshot, summary, problems, notices } = outcome;
  if (session.json) {
    for (const { path, message } of problems) {
      const error = { message_type: 'error', error: { message }, during: 'archival', item: path };
      session.io.err.write(`${JSON.stringify(error)}\n`);
    }
    session.printJson({
      message_type: 'summary',
      ...(dryRun ? { dry_run: true } : {}),
      ...summaryJson(summary),
      backup_start: summary.backupStart,
      backup_end: summary.backupEnd,
      total_duration: durationMs / 1000,
      snapshot_id: snapshot?.id,
    });
    return;
  }
  for (const notice of notices) reportNotice(session, notice);
  for (const { path, message } of problems) session.logger().error(`${path}: ${message}`);
  session.say(`Files: ${summary.filesNew} new, ${summary.filesChanged} changed, ${summary.filesUnmodified} unmodified`);
  session.say(`Dirs:  ${summary.dirsNew} new, ${summary.dirsChanged} changed, ${summary.dirsUnmodified} unmodified`);
  const stored = `${formatBytes(summary.dataAdded)} (${formatBytes(summary.dataAddedPacked)} stored)`;
  session.say(`${dryRun ? 'Would be added' : 'Added'}: ${stored}`);
  session.say(
    `processed ${counted(summary.totalFilesProcessed, 'file')}, ${formatBytes(summary.totalBytesProcessed)} in ${formatDuration(durationMs)}`,
  );
  if (snapshot) session.io.out.write(`snapshot ${printable(snapshot.id.slice(0, 8))} saved\n`);
  else if (!dryRun) session.say('nothing changed, no snapshot was made');
  if (problems.length > 0) session.logger().error(`${counted(problems.length, 'problem')}: the snapshot is partial`);
}

/** Logs grow all the time: that is told to whoever wants to know more. */
function reportNotice(session: Session, { kind, path, message }: Notice): void {
  if (kind === 'grew') session.logger().info(`${path}: ${message}`);
  else session.logger().warn(`${path}: ${message}`);
}
