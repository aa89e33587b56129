// The options of `varve repo backup`, named as restic's, and what they ask of the repository room.

import { AppError } from '@varve/base';
import type { Compression, ExcludeRules, FolderMark, ParentGroup } from '@varve/repository';
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Session } from '../session.ts';
import { byteSize, collect, duration, wholeNumber } from './numbers.ts';
import { readPatternFiles } from './path-lists.ts';
import type { RepositoryOptions } from './repository-options.ts';

export interface BackupOptions extends RepositoryOptions {
  readonly tag?: readonly string[];
  readonly exclude?: readonly string[];
  readonly excludeFile?: readonly string[];
  readonly iexclude?: readonly string[];
  readonly iexcludeFile?: readonly string[];
  readonly excludeCaches?: boolean;
  readonly excludeIfPresent?: readonly FolderMark[];
  readonly excludeLargerThan?: number;
  readonly oneFileSystem?: boolean;
  readonly filesFrom?: readonly string[];
  readonly filesFromVerbatim?: readonly string[];
  readonly filesFromRaw?: readonly string[];
  readonly host?: string;
  readonly time?: string;
  readonly parent?: string;
  readonly groupBy?: ParentGroup;
  readonly force?: boolean;
  readonly ignoreInode?: boolean;
  readonly ignoreCtime?: boolean;
  readonly withAtime?: boolean;
  readonly extraVerify?: boolean;
  readonly skipIfUnchanged?: boolean;
  readonly dryRun?: boolean;
  /** False with `--no-scan`. */
  readonly scan: boolean;
  readonly readConcurrency?: number;
  readonly packSize?: number;
  readonly compression?: Compression;
  readonly retryLock?: number;
  readonly stdin?: boolean;
  readonly stdinFromCommand?: boolean;
  readonly stdinFilename: string;
}

const compressions: readonly Compression[] = ['off', 'fastest', 'auto', 'better', 'max'];
const packSizeMiB = { min: 4, max: 128 } as const;
const readers = { min: 1, max: 64 } as const;
const mebibyte = 1024 * 1024;

export function addBackupOptions(command: Command): void {
  const option = (flags: string, description: string): Option => new Option(flags, description);
  const group = (heading: string, ...options: readonly Option[]): void => {
    for (const each of options) command.addOption(each.helpGroup(heading));
  };
  group(
    'What to save:',
    option('-e, --exclude <pattern>', 'leave out what matches; "!pattern" takes it back').argParser(collect),
    option('--iexclude <pattern>', 'the same, upper and lower case alike').argParser(collect),
    option('--exclude-file <file>', 'patterns to leave out, one a line; $NAME is expanded').argParser(collect),
    option('--iexclude-file <file>', 'the same, upper and lower case alike').argParser(collect),
    option('--exclude-caches', 'leave out the content of folders with a CACHEDIR.TAG'),
    option('--exclude-if-present <name[:header]>', 'leave out the content of folders with such a file').argParser(
      collectMark,
    ),
    option('--exclude-larger-than <size>', 'leave out larger files, e.g. 500M').argParser(byteSize),
    option('-x, --one-file-system', 'leave out what is mounted below'),
    option('--files-from <file>', 'what to save, one pattern a line ("-": standard input)').argParser(collect),
    option('--files-from-verbatim <file>', 'what to save, one path a line').argParser(collect),
    option('--files-from-raw <file>', 'what to save, every path followed by a NUL').argParser(collect),
    option('--stdin', 'save standard input as one file'),
    option('--stdin-from-command', 'save the output of the command after "--"; no snapshot when it fails'),
    option('--stdin-filename <name>', 'name of that file').default('stdin'),
  );
  group(
    'The snapshot:',
    option('--tag <tag,…>', 'tags of the snapshot').argParser(collect),
    option('-H, --host <host>', 'host name of the snapshot; this host when absent (RESTIC_HOST)'),
    option('--time <time>', 'time of the snapshot, e.g. "2026-11-23 04:05:06"; now when absent'),
    option('--parent <snapshot>', 'compare with this snapshot; the last of the same group when absent'),
    option('-g, --group-by <host,paths,tags>', 'what a snapshot to compare with has in common').argParser(parseGroup),
    option('-f, --force', 'read every file, compare with no snapshot'),
    option('--ignore-inode', 'do not compare inode numbers and times of status change'),
    option('--ignore-ctime', 'do not compare times of status change'),
    option('--with-atime', 'note access times'),
    option('--extra-verify', 'read every blob back before it is stored, against bad memory'),
    option('--skip-if-unchanged', 'make no snapshot when it would be as the one that is compared with'),
  );
  group(
    'How:',
    option('-n, --dry-run', 'store nothing, tell what would be done; -v lists every file'),
    option('--no-scan', 'do not count the files for the progress'),
    option('--read-concurrency <n>', 'files read at once (RESTIC_READ_CONCURRENCY)').argParser(wholeNumber(readers)),
    option('--pack-size <mib>', 'size of the files in the repository (RESTIC_PACK_SIZE)').argParser(
      wholeNumber(packSizeMiB),
    ),
    option('--compression <mode>', 'how hard to compress; auto when absent (RESTIC_COMPRESSION)').choices(compressions),
    option('--retry-lock <duration>', 'wait this long for the locks of others, e.g. 5m').argParser(duration),
  );
}

/** How a snapshot is made, from options or environment. */
export function archiveSettings(
  { env }: Session['io'],
  options: BackupOptions,
): {
  compression: Compression;
  packSizeBytes: number | undefined;
  workers: number | undefined;
  dryRun: boolean;
  lockWaitMs: number | undefined;
} {
  const fromEnv = <Value>(name: string, parse: (text: string) => Value): Value | undefined => {
    const text = env[name];
    if (!text) return undefined;
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof InvalidArgumentError)) throw error;
      throw new AppError('USAGE_INVALID', `${name} is "${text}". ${error.message}`, { cause: error });
    }
  };
  const packSize = options.packSize ?? fromEnv('RESTIC_PACK_SIZE', wholeNumber(packSizeMiB));
  return {
    compression: options.compression ?? fromEnv('RESTIC_COMPRESSION', parseCompression) ?? 'auto',
    packSizeBytes: packSize === undefined ? undefined : packSize * mebibyte,
    workers: options.readConcurrency ?? fromEnv('RESTIC_READ_CONCURRENCY', wholeNumber(readers)),
    dryRun: options.dryRun ?? false,
    lockWaitMs: options.retryLock,
  };
}

/** What to leave out. */
export async function excludeRules(
  session: Session,
  options: BackupOptions,
): Promise<ExcludeRules & { readonly excludes: readonly string[] }> {
  const { cacheMark } = await import('@varve/repository');
  const marks = [...(options.excludeIfPresent ?? []), ...(options.excludeCaches ? [cacheMark] : [])];
  return {
    excludes: [...(options.exclude ?? []), ...(await readPatternFiles(session, options.excludeFile ?? []))],
    excludesIgnoringCase: [
      ...(options.iexclude ?? []),
      ...(await readPatternFiles(session, options.iexcludeFile ?? [])),
    ],
    excludeIfPresent: marks,
    excludeLargerThanBytes: options.excludeLargerThan,
    oneFileSystem: options.oneFileSystem,
  };
}

export function tagsOf({ tag = [] }: Pick<BackupOptions, 'tag'>): string[] {
  const names = tag.flatMap((list) => list.split(',')).map((name) => name.trim());
  return [...new Set(names.filter((name) => name !== ''))];
}

function parseCompression(text: string): Compression {
  const mode = compressions.find((known) => known === text);
  if (mode === undefined) throw new InvalidArgumentError(`It must be one of ${compressions.join(', ')}.`);
  return mode;
}

function collectMark(text: string, previous: readonly FolderMark[] = []): FolderMark[] {
  const [, name, header] = /^([^:]+)(?::(.*))?$/s.exec(text) ?? [];
  if (name === undefined) throw new InvalidArgumentError('It must be a name, or NAME:HEADER.');
  return [...previous, { name, header }];
}

function parseGroup(text: string): ParentGroup {
  const names = text === '' ? [] : text.split(',').map((name) => name.trim().toLowerCase());
  const unknown = names.find((name) => !/^(hosts?|paths?|tags?)$/.test(name));
  if (unknown !== undefined) throw new InvalidArgumentError('It must be a list of host, paths, tags, or empty.');
  const has = (name: string): boolean => names.some((given) => given === name || given === `${name}s`);
  return { host: has('host'), paths: has('path'), tags: has('tag') };
}
