// `varve repo backup PATH…`: saves files, folders, standard input or the output of a program as a snapshot.

import { hostname } from 'node:os';
import { AppError, errorCodes, type OnProgress } from '@varve/base';
import type { ArchiveOutcome, Item, Repository } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import {
  addBackupOptions,
  archiveSettings,
  excludeRules,
  tagsOf,
  type BackupOptions,
} from '../../options/backup-options.ts';
import { readPathLists } from '../../options/path-lists.ts';
import { addRepositoryOptions, openRepositoryFor } from '../../options/repository-options.ts';
import { parseBackupTime } from '../../options/time.ts';
import { reportBackup, reportItem } from '../../output/backup-report.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import type { Session } from '../../session.ts';
import { readVersion } from '../../version.ts';
import { commandOutput } from './command-output.ts';

export const addBackupCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('backup')
    .description('save files, folders, standard input or a program’s output; exit code 3 when some could not be read')
    .argument('[path...]', 'what to save; after --stdin-from-command: the program and its arguments')
    .addHelpText(
      'after',
      examples(
        ['A folder', 'varve repo backup --tag nightly --exclude "*.tmp" /etc'],
        ['What would be saved, and how much', 'varve repo backup --dry-run -v --exclude-caches -x /home'],
        ['The output of a program, if it succeeds', 'varve repo backup --stdin-from-command -- pg_dumpall -U postgres'],
        ['Standard input', 'zcat dump.gz | varve repo backup --stdin --stdin-filename all.sql'],
        [
          'Files that another program lists',
          'find /srv -newer /srv/mark -print0 | varve repo backup --files-from-raw -',
        ],
      ),
    );
  addBackupOptions(command);
  addRepositoryOptions(command);
  register(command, async (session) => {
    const options = command.opts<BackupOptions>();
    assertSources(command.args, options);
    const paths = isStream(options) ? [] : await pathsToSave(session, options, command.args);
    const time = options.time === undefined ? session.now : parseBackupTime(options.time);
    const stdinIsData = options.stdin === true || listsOf(options).includes('-');
    await using opened = await openRepositoryFor(session, { ...options, stdinIsData });
    using progress = repositoryProgress(session, 'backup');
    const startedAt = performance.now();
    const { repository } = opened;
    const job: BackupJob = { session, options, repository, time, onProgress: progress.onProgress };
    const outcome = isStream(options) ? await backupStream(job, command.args) : await backupFiles(job, paths);
    progress[Symbol.dispose]();
    reportBackup(session, { outcome, durationMs: performance.now() - startedAt, dryRun: options.dryRun ?? false });
    return outcome.problems.length === 0 ? 0 : errorCodes.RESULT_PARTIAL.exit;
  });
};

interface BackupJob {
  readonly session: Session;
  readonly options: BackupOptions;
  readonly repository: Repository;
  readonly time: Date;
  readonly onProgress: OnProgress;
}

function isStream({ stdin, stdinFromCommand }: BackupOptions): boolean {
  return stdin === true || stdinFromCommand === true;
}

function listsOf({ filesFrom = [], filesFromVerbatim = [], filesFromRaw = [] }: BackupOptions): string[] {
  return [...filesFrom, ...filesFromVerbatim, ...filesFromRaw];
}

function assertSources(args: readonly string[], options: BackupOptions): void {
  const lists = listsOf(options);
  if (options.stdin && options.stdinFromCommand)
    throw new AppError('USAGE_INVALID', 'Give --stdin or --stdin-from-command, not both.');
  if (options.stdinFromCommand && args.length === 0) {
    throw new AppError('USAGE_INVALID', 'The command for --stdin-from-command is missing.', {
      hint: 'Give it after "--": varve repo backup --stdin-from-command -- pg_dumpall',
    });
  }
  if (isStream(options) && lists.length > 0)
    throw new AppError('USAGE_INVALID', 'Give --files-from or a stream to save, not both.');
  if (options.stdin && args.length > 0) throw new AppError('USAGE_INVALID', 'Give paths or --stdin, not both.');
  if (isStream(options) || args.length > 0 || lists.length > 0) return;
  throw new AppError('USAGE_INVALID', 'Nothing to save was named.', {
    hint: 'Give the paths of files or folders, --files-from, or --stdin.',
  });
}

async function pathsToSave(
  session: Session,
  options: BackupOptions,
  args: readonly string[],
): Promise<(string | Buffer)[]> {
  const { filesFrom = [], filesFromVerbatim = [], filesFromRaw = [] } = options;
  const lists = { patterns: filesFrom, verbatim: filesFromVerbatim, raw: filesFromRaw };
  const listed = await readPathLists(session, lists, (pattern) => {
    session.logger().warn(`no file matches the pattern ${pattern}`);
  });
  if (listed.length + args.length > 0) return [...listed, ...args];
  throw new AppError('USAGE_INVALID', 'The lists of --files-from name nothing to save.');
}

/** What every kind of backup is given. */
function settingsOf({ session, options, onProgress }: BackupJob) {
  // As restic: in JSON with -v, for people with -vv.
  const tellsItems = session.verbosity >= (session.json || options.dryRun ? 1 : 2);
  const onItem = tellsItems ? (item: Item) => reportItem(session, item) : undefined;
  const { extraVerify } = options;
  return { ...archiveSettings(session.io, options), extraVerify, signal: session.signal, onProgress, onItem };
}

function identityOf({ session, options, time }: BackupJob) {
  const host = options.host ?? (session.io.env['RESTIC_HOST'] || hostname());
  return { time, hostname: host, tags: tagsOf(options), programVersion: `varve ${readVersion()}` };
}

async function backupFiles(job: BackupJob, paths: readonly (string | Buffer)[]): Promise<ArchiveOutcome> {
  const { backupPaths } = await import('@varve/repository');
  const { session, options, repository } = job;
  const { signal } = session;
  const parent = options.parent === undefined ? 'auto' : await repository.findSnapshot(options.parent, {}, { signal });
  return backupPaths(repository, {
    ...settingsOf(job),
    ...identityOf(job),
    ...(await excludeRules(session, options)),
    paths,
    cwd: session.io.cwd,
    parent: options.force ? null : parent,
    groupBy: options.groupBy,
    skipIfUnchanged: options.skipIfUnchanged,
    comparison: {
      ignoreInode: options.ignoreInode ?? false,
      // Where inode numbers are not to be trusted (FUSE), these times are not either.
      ignoreCtime: (options.ignoreCtime ?? false) || (options.ignoreInode ?? false),
    },
    withAccessTimes: options.withAtime,
    measure: options.scan && !session.quiet,
  });
}

async function backupStream(job: BackupJob, command: readonly string[]): Promise<ArchiveOutcome> {
  const { startArchive } = await import('@varve/repository');
  const { session, options, repository, time } = job;
  const target = `/${options.stdinFilename.replace(/^\/+/, '')}`;
  await using archive = await startArchive(repository, settingsOf(job));
  const source = options.stdinFromCommand ? commandOutput(session, command) : session.io.stdin;
  await archive.addStream({ target, source, modifiedAt: time });
  return await archive.finish({ ...identityOf(job), paths: [target] });
}
