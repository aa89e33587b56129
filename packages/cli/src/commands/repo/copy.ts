// `varve repo copy`: takes snapshots from one repository to another.

import { formatBytes, formatDuration } from '@varve/base';
import type { CopyResult, Snapshot } from '@varve/repository';
import { Option } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { selectSnapshots } from '../../options/snapshot-selection.ts';
import {
  addFilterOptions,
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  openLockedRepository,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { addSourceOptions, sourceOptions } from '../../options/source-options.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import { counted, printable } from '../../output/text.ts';
import { absoluteTime } from '../../output/time.ts';
import type { Session } from '../../session.ts';

interface Options extends LockCommandOptions {
  readonly dryRun?: boolean;
  readonly compression: 'auto' | 'off' | 'max';
}

export const addCopyCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('copy')
    .description('copy snapshots from another repository into this one, where they are not there yet')
    .argument('[snapshot...]', 'only these; all that match when absent')
    .option('-n, --dry-run', 'only say what would be copied')
    .addOption(
      new Option('--compression <mode>', 'how hard to compress what is not compressed in the source')
        .choices(['auto', 'off', 'max'])
        .default('auto'),
    )
    .addHelpText(
      'after',
      examples(
        [
          'To another place, every night',
          'varve repo copy --repo s3:https://s3.example.com/backup --password-file s3.pass --from-repo /srv/backup --from-password-file srv.pass',
        ],
        ['What that would take', 'varve repo copy --from-repo /srv/backup --dry-run'],
        ['The last one of a host', 'varve repo copy --from-repo /srv/backup latest --host web1'],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  addSourceOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { copySnapshots } = await import('@varve/repository');
    const options = command.opts<Options>();
    const { lock, retryLock } = options;
    const locking = { lock, ...(retryLock === undefined ? {} : { retryLock }) };
    await using from = await openLockedRepository(
      session,
      { ...sourceOptions(command), ...locking },
      { exclusive: false, role: 'source' },
    );
    // A dry run may look at a repository that it cannot write to.
    const target = { ...options, lock: lock && !options.dryRun };
    await using to = await openLockedRepository(session, target, { exclusive: false });
    const signal = AbortSignal.any([from.signal, to.signal]);
    const snapshots = await selectSnapshots(from.repository, {
      names: command.args,
      filter: filterOf(command),
      signal,
    });
    const startedAt = performance.now();
    using progress = repositoryProgress(session, 'copy');
    const result = await copySnapshots({
      source: from.repository,
      destination: to.repository,
      snapshots,
      dryRun: options.dryRun ?? false,
      compression: options.compression,
      signal,
      onProgress: progress.onProgress,
      onCopied: ({ source, copy }) => {
        if (session.json && copy) session.printJson(copiedJson(source, copy));
      },
    });
    progress[Symbol.dispose]();
    report(session, result, { durationMs: performance.now() - startedAt, dryRun: options.dryRun ?? false });
  });
};

function copiedJson(source: Snapshot, copy: Snapshot): Record<string, unknown> {
  return { message_type: 'copied', source_snapshot_id: source.id, snapshot_id: copy.id };
}

function report(
  session: Session,
  result: CopyResult,
  { durationMs, dryRun }: { readonly durationMs: number; readonly dryRun: boolean },
): void {
  const { copied, skipped } = result;
  if (session.json) {
    session.printJson({
      message_type: 'summary',
      dry_run: dryRun,
      snapshots_copied: copied.length,
      snapshots_skipped: skipped.length,
      data_blobs: result.dataBlobs,
      tree_blobs: result.treeBlobs,
      bytes_read: result.bytesRead,
      data_added: result.bytesAdded,
      data_added_packed: result.bytesStored,
      total_duration: durationMs / 1000,
    });
    return;
  }
  for (const { source, existing } of skipped) {
    if (session.verbose) session.say(`${describe(source)}: is there already as ${existing.id.slice(0, 8)}`);
  }
  for (const { source, copy } of copied) {
    session.say(`${describe(source)}: ${copy ? `saved as ${copy.id.slice(0, 8)}` : 'would be copied'}`);
  }
  const blobs = counted(result.dataBlobs + result.treeBlobs, 'blob');
  const amount = dryRun
    ? `would read ${formatBytes(result.bytesRead)} of ${blobs}`
    : `${blobs}, ${formatBytes(result.bytesAdded)} (${formatBytes(result.bytesStored)} stored) in ${formatDuration(durationMs)}`;
  session.io.out.write(
    `${counted(copied.length, 'snapshot')} ${dryRun ? 'to copy' : 'copied'}, ${skipped.length} there already; ${amount}\n`,
  );
}

function describe(snapshot: Snapshot): string {
  const who = [snapshot.username, snapshot.hostname].filter((part) => part !== undefined).join('@');
  return printable(
    `snapshot ${snapshot.id.slice(0, 8)} of ${snapshot.paths.join(' ')} at ${absoluteTime(snapshot.time)} by ${who}`,
  );
}
