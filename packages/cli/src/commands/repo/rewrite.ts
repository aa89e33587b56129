// `varve repo rewrite`: changed versions of snapshots: without some files, with another host name or time.

import { AppError } from '@varve/base';
import type { RewrittenSnapshot } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import { selectSnapshots } from '../../options/snapshot-selection.ts';
import { readPatternFiles } from '../../options/pattern-files.ts';
import { collect } from '../../options/numbers.ts';
import {
  addFilterOptions,
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  openLockedRepository,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { parseBackupTime } from '../../options/time.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import { counted, printable } from '../../output/text.ts';
import type { Session } from '../../session.ts';

interface Options extends LockCommandOptions {
  readonly exclude?: readonly string[];
  readonly iexclude?: readonly string[];
  readonly excludeFile?: readonly string[];
  readonly iexcludeFile?: readonly string[];
  readonly newHost?: string;
  readonly newTime?: string;
  readonly snapshotSummary?: boolean;
  readonly forget?: boolean;
  readonly dryRun?: boolean;
}

export const addRewriteCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('rewrite')
    .description('make changed versions of snapshots: without some files, with another host name or time')
    .argument('[snapshot...]', 'only these; all that match when absent')
    .option('-e, --exclude <pattern>', 'leave out what matches (may be given several times)', collect)
    .option('--exclude-file <file>', 'patterns to leave out, one a line (may be given several times)', collect)
    .option('--iexclude <pattern>', 'as --exclude, whatever the case of letters', collect)
    .option('--iexclude-file <file>', 'as --exclude-file, whatever the case of letters', collect)
    .option('--new-host <host>', 'another host name')
    .option('--new-time <time>', 'another time, e.g. "2026-11-23 04:05:06"')
    .option('-s, --snapshot-summary', 'note number and size of the files in snapshots where that is missing or wrong')
    .option(
      '--forget',
      'remove the old versions (their data goes with the next prune); else new ones get the tag rewrite',
    )
    .option('-n, --dry-run', 'only say what would be changed')
    .addHelpText(
      'after',
      examples(
        ['See what would go', 'varve repo rewrite --exclude "*.iso" --dry-run --verbose'],
        ['Take secrets out of all snapshots', 'varve repo rewrite --exclude /etc/ssl/private --forget'],
        ['A host got a new name', 'varve repo rewrite --host web1 --new-host web2 --forget'],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { rewriteSnapshots } = await import('@varve/repository');
    const options = command.opts<Options>();
    const patterns = await patternsOf(session, options);
    const { newHost, newTime, snapshotSummary, forget = false, dryRun = false } = options;
    assertSomething(patterns, options);
    const time = newTime === undefined ? undefined : parseBackupTime(newTime);
    const lockOptions = { ...options, lock: options.lock && !dryRun };
    await using opened = await openLockedRepository(session, lockOptions, { exclusive: forget });
    const { repository, signal } = opened;
    const snapshots = await selectSnapshots(repository, { names: command.args, filter: filterOf(command), signal });
    using progress = repositoryProgress(session, 'rewrite');
    const rewritten = await rewriteSnapshots(repository, {
      snapshots,
      ...patterns,
      newHostname: newHost,
      newTime: time,
      snapshotSummary,
      forget,
      dryRun,
      signal,
      onProgress: progress.onProgress,
      onExcluded: (path) => session.verbose && session.say(`excluding ${printable(path)}`),
    });
    progress[Symbol.dispose]();
    report(session, rewritten, { forget, dryRun });
  });
};

interface Patterns {
  readonly excludes: readonly string[];
  readonly iexcludes: readonly string[];
}

async function patternsOf(session: Session, options: Options): Promise<Patterns> {
  return {
    excludes: [...(options.exclude ?? []), ...(await readPatternFiles(session.io.cwd, options.excludeFile ?? []))],
    iexcludes: [...(options.iexclude ?? []), ...(await readPatternFiles(session.io.cwd, options.iexcludeFile ?? []))],
  };
}

function assertSomething({ excludes, iexcludes }: Patterns, { newHost, newTime, snapshotSummary }: Options): void {
  if (excludes.length > 0 || iexcludes.length > 0 || newHost || newTime || snapshotSummary) return;
  throw new AppError('USAGE_INVALID', 'There is nothing to do: no pattern, host name or time was given.', {
    hint: 'Give --exclude, --new-host, --new-time or --snapshot-summary.',
  });
}

function report(
  session: Session,
  rewritten: readonly RewrittenSnapshot[],
  { forget, dryRun }: { readonly forget: boolean; readonly dryRun: boolean },
): void {
  if (session.json) {
    for (const { old, next, excluded } of rewritten) {
      const ids = { old_snapshot_id: old.id, new_snapshot_id: next?.id ?? null };
      session.printJson({ message_type: 'changed', ...ids, excluded, removed_old: forget && !dryRun });
    }
    session.printJson({ message_type: 'summary', changed_snapshots: rewritten.length, dry_run: dryRun });
    return;
  }
  for (const { old, next, excluded } of rewritten) {
    const what = next ? `saved as ${next.id.slice(0, 8)}` : 'would be saved anew';
    const rest = forget ? (dryRun ? ', and the old version removed' : ', old version removed') : '';
    session.say(`snapshot ${old.id.slice(0, 8)}: ${what}${rest}; ${counted(excluded, 'item')} left out`);
  }
  const verb = dryRun ? 'would modify' : 'modified';
  const none = dryRun ? 'no snapshots would be modified' : 'no snapshots were modified';
  session.io.out.write(`${rewritten.length === 0 ? none : `${verb} ${counted(rewritten.length, 'snapshot')}`}\n`);
}
