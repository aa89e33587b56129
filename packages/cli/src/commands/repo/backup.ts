// `varve repo backup PATH…`: saves files, folders or standard input as a snapshot.

import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { AppError, errorCodes, formatBytes, formatDuration, messageOf, type OnProgress } from '@varve/base';
import type { ArchiveResult, Repository } from '@varve/repository';
import { Option } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { collect } from '../../options/numbers.ts';
import { addRepositoryOptions, openRepositoryFor, type RepositoryOptions } from '../../options/repository-options.ts';
import { parseBackupTime } from '../../options/time.ts';
import { repositoryProgress } from '../../output/repository-progress.ts';
import { summaryJson } from '../../output/repository-json.ts';
import { counted, printable } from '../../output/text.ts';
import type { Session } from '../../session.ts';
import { readVersion } from '../../version.ts';

interface Options extends RepositoryOptions {
  readonly tag?: readonly string[];
  readonly exclude?: readonly string[];
  readonly excludeFile?: readonly string[];
  readonly host?: string;
  readonly time?: string;
  readonly parent?: string;
  readonly force?: boolean;
  readonly stdin?: boolean;
  readonly stdinFilename: string;
  readonly compression: 'auto' | 'off' | 'max';
}

export const addBackupCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('backup')
    .description('save files, folders or standard input as a snapshot; exit code 3 when some could not be read')
    .argument('[path...]', 'what to save')
    .option('--tag <tag,…>', 'tags of the snapshot (may be given several times)', collect)
    .option('-e, --exclude <pattern>', 'leave out what matches (may be given several times)', collect)
    .option('--exclude-file <file>', 'patterns to leave out, one a line (may be given several times)', collect)
    .option('-H, --host <host>', 'host name of the snapshot; this host when absent')
    .option('--time <time>', 'time of the snapshot, e.g. "2026-11-23 04:05:06"; now when absent')
    .option('--parent <snapshot>', 'compare with this snapshot; the last of the same paths when absent')
    .option('-f, --force', 'read every file, compare with no snapshot')
    .option('--stdin', 'save standard input as one file')
    .option('--stdin-filename <name>', 'name of that file', 'stdin')
    .addOption(
      new Option('--compression <mode>', 'how hard to compress').choices(['auto', 'off', 'max']).default('auto'),
    )
    .addHelpText(
      'after',
      examples(
        ['A folder', 'varve repo backup --tag nightly --exclude "*.tmp" /etc'],
        ['The output of a program', 'pg_dumpall | varve repo backup --stdin --stdin-filename all.sql'],
      ),
    );
  addRepositoryOptions(command);
  register(command, async (session) => {
    const options = command.opts<Options>();
    const stdin = options.stdin ?? false;
    assertSources(command.args, stdin);
    const time = options.time === undefined ? session.now : parseBackupTime(options.time);
    const excludes = [...(options.exclude ?? []), ...(await readExcludeFiles(session, options.excludeFile ?? []))];
    await using opened = await openRepositoryFor(session, { ...options, stdinIsData: stdin });
    using progress = repositoryProgress(session, 'backup');
    const startedAt = performance.now();
    const job: BackupJob = { options, repository: opened.repository, time, excludes, onProgress: progress.onProgress };
    const result = stdin ? await backupStdin(session, job) : await backupFiles(session, job, command.args);
    progress[Symbol.dispose]();
    report(session, result, performance.now() - startedAt);
    return result.problems.length === 0 ? 0 : errorCodes.RESULT_PARTIAL.exit;
  });
};

interface BackupJob {
  readonly options: Options;
  readonly repository: Repository;
  readonly time: Date;
  readonly excludes: readonly string[];
  readonly onProgress: OnProgress;
}

function assertSources(paths: readonly string[], stdin: boolean): void {
  if (stdin && paths.length > 0) throw new AppError('USAGE_INVALID', 'Give paths or --stdin, not both.');
  if (stdin || paths.length > 0) return;
  throw new AppError('USAGE_INVALID', 'Nothing to save was named.', {
    hint: 'Give the paths of files or folders, or --stdin.',
  });
}

async function backupFiles(session: Session, job: BackupJob, paths: readonly string[]): Promise<ArchiveResult> {
  const { backupPaths } = await import('@varve/repository');
  const { options, repository, time, excludes, onProgress } = job;
  const parent =
    options.parent === undefined
      ? 'auto'
      : await repository.findSnapshot(options.parent, {}, { signal: session.signal });
  return backupPaths(repository, {
    paths,
    excludes,
    tags: tagsOf(options),
    hostname: options.host ?? hostname(),
    time,
    parent: options.force ? null : parent,
    compression: options.compression,
    programVersion: `varve ${readVersion()}`,
    signal: session.signal,
    onProgress,
    measure: !session.quiet,
  });
}

async function backupStdin(session: Session, job: BackupJob): Promise<ArchiveResult> {
  const { startArchive } = await import('@varve/repository');
  const { options, repository, time, onProgress } = job;
  const { signal } = session;
  const target = `/${options.stdinFilename.replace(/^\/+/, '')}`;
  await using archive = await startArchive(repository, { signal, onProgress, compression: options.compression });
  await archive.addStream({ target, source: session.io.stdin, modifiedAt: time });
  return await archive.commit({
    time,
    hostname: options.host ?? hostname(),
    paths: [target],
    tags: tagsOf(options),
    programVersion: `varve ${readVersion()}`,
  });
}

function tagsOf(options: Options): string[] {
  const names = (options.tag ?? []).flatMap((list) => list.split(',')).map((name) => name.trim());
  return [...new Set(names.filter((name) => name !== ''))];
}

async function readExcludeFiles(session: Session, files: readonly string[]): Promise<string[]> {
  const patterns: string[] = [];
  for (const file of files) {
    const path = resolve(session.io.cwd, file);
    try {
      const lines = (await readFile(path, 'utf8')).split('\n').map((line) => line.trim());
      patterns.push(...lines.filter((line) => line !== '' && !line.startsWith('#')));
    } catch (error) {
      throw new AppError('USAGE_INVALID', `The exclude file ${path} cannot be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }
  return patterns;
}

function report(session: Session, result: ArchiveResult, durationMs: number): void {
  const { snapshot, summary, problems } = result;
  if (session.json) {
    for (const { path, message } of problems) {
      session.printJson({ message_type: 'error', error: { message }, during: 'archival', item: path });
    }
    session.printJson({
      message_type: 'summary',
      ...summaryJson(summary),
      total_duration: durationMs / 1000,
      snapshot_id: snapshot.id,
    });
    return;
  }
  for (const { path, message } of problems) session.logger().error(`${path}: ${message}`);
  session.say(`Files: ${summary.filesNew} new, ${summary.filesChanged} changed, ${summary.filesUnmodified} unmodified`);
  session.say(`Dirs:  ${summary.dirsNew} new, ${summary.dirsChanged} changed, ${summary.dirsUnmodified} unmodified`);
  session.say(`Added: ${formatBytes(summary.dataAdded)} (${formatBytes(summary.dataAddedPacked)} stored)`);
  session.say(
    `processed ${counted(summary.totalFilesProcessed, 'file')}, ${formatBytes(summary.totalBytesProcessed)} in ${formatDuration(durationMs)}`,
  );
  session.io.out.write(`snapshot ${printable(snapshot.id.slice(0, 8))} saved\n`);
  if (problems.length > 0)
    session.logger().error(`${counted(problems.length, 'item')} could not be read: the snapshot is partial`);
}
