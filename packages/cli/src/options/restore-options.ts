// What `varve repo restore` is told to restore and how, with restic's names.

import { AppError } from '@varve/base';
import type { RestoreOptions } from '@varve/repository';
import { Option, type Command } from 'commander';
import { collect } from './numbers.ts';
import { readPatternFiles } from './pattern-files.ts';
import type { LockCommandOptions } from './repository-options.ts';

export interface RestoreCommandOptions extends LockCommandOptions {
  readonly target: string;
  readonly include?: readonly string[];
  readonly includeFile?: readonly string[];
  readonly iinclude?: readonly string[];
  readonly iincludeFile?: readonly string[];
  readonly exclude?: readonly string[];
  readonly excludeFile?: readonly string[];
  readonly iexclude?: readonly string[];
  readonly iexcludeFile?: readonly string[];
  readonly includeXattr?: readonly string[];
  readonly excludeXattr?: readonly string[];
  readonly mapUser?: readonly string[];
  readonly mapGroup?: readonly string[];
  readonly sparse?: boolean;
  readonly verify?: boolean;
  readonly overwrite: 'always' | 'if-changed' | 'if-newer' | 'never';
  readonly delete?: boolean;
  readonly dryRun?: boolean;
}

/** Adds everything but the repository's options. */
export function addRestoreOptions(command: Command): void {
  const select = (flags: string, text: string): Command =>
    command.addOption(
      new Option(flags, text).argParser(collect).helpGroup('Selection (each may be given several times):'),
    );
  command
    .requiredOption('-t, --target <dir>', 'folder to write into; made when missing')
    .addOption(
      new Option('--overwrite <when>', 'what happens to files that are there')
        .choices(['always', 'if-changed', 'if-newer', 'never'])
        .default('always'),
    )
    .option('--delete', 'remove what is in the folder but not in the snapshot; look with --dry-run -v first')
    .option('--sparse', 'leave out zeros, so that the file system stores holes')
    .addOption(new Option('--verify', 'read what was written and compare').conflicts('dryRun'))
    .option('-n, --dry-run', 'only say what would be done; with -v for every object, with -vv for unchanged ones too')
    .option('--map-user <old:new>', 'owner for files of a user, by name or number, like www-data:1000', collect)
    .option('--map-group <old:new>', 'the same for groups', collect);
  select('-i, --include <pattern>', 'only what matches');
  select('--include-file <file>', 'only what matches patterns in a file, one a line');
  select('--iinclude <pattern>', 'as --include, capital and small letters are the same');
  select('--iinclude-file <file>', 'as --include-file, capital and small letters are the same');
  select('-e, --exclude <pattern>', 'not what matches');
  select('--exclude-file <file>', 'not what matches patterns in a file');
  select('--iexclude <pattern>', 'as --exclude, capital and small letters are the same');
  select('--iexclude-file <file>', 'as --exclude-file, capital and small letters are the same');
  select('--include-xattr <pattern>', 'only extended attributes whose name matches');
  select('--exclude-xattr <pattern>', 'not extended attributes whose name matches');
}

type Chosen = Pick<
  RestoreOptions,
  | 'include'
  | 'includeIgnoringCase'
  | 'exclude'
  | 'excludeIgnoringCase'
  | 'attributes'
  | 'owners'
  | 'overwrite'
  | 'deleteOthers'
  | 'dryRun'
  | 'verify'
  | 'sparse'
>;

/** What the options say. `folder` is what relative names of files start from. USAGE_INVALID. */
export async function readRestoreOptions(options: RestoreCommandOptions, folder: string): Promise<Chosen> {
  const { parseOwnerRule } = await import('@varve/repository');
  const patterns = async (given: readonly string[] = [], files?: readonly string[]): Promise<string[]> => [
    ...given,
    ...(await readPatternFiles(folder, files)),
  ];
  const chosen = {
    include: await patterns(options.include, options.includeFile),
    includeIgnoringCase: await patterns(options.iinclude, options.iincludeFile),
    exclude: await patterns(options.exclude, options.excludeFile),
    excludeIgnoringCase: await patterns(options.iexclude, options.iexcludeFile),
    attributes: { include: options.includeXattr, exclude: options.excludeXattr },
    owners: {
      users: options.mapUser?.map((text) => parseOwnerRule(text, 'user')),
      groups: options.mapGroup?.map((text) => parseOwnerRule(text, 'group')),
    },
    overwrite: options.overwrite,
    deleteOthers: options.delete ?? false,
    dryRun: options.dryRun ?? false,
    verify: options.verify ?? false,
    sparse: options.sparse ?? false,
  };
  assertSafeDeletion(chosen, options.target);
  return chosen;
}

/** As restic: everything that a snapshot does not have is not removed from a whole system by mistake. */
function assertSafeDeletion(chosen: Chosen, target: string): void {
  const { include, includeIgnoringCase, exclude, excludeIgnoringCase, deleteOthers } = chosen;
  const patterns = [include, includeIgnoringCase, exclude, excludeIgnoringCase].flatMap((list) => list ?? []);
  if (!deleteOthers || patterns.length > 0 || !/^\/+$/.test(target)) return;
  throw new AppError(
    'USAGE_INVALID',
    '--delete with the target / would remove everything that is not in the snapshot.',
    {
      hint: 'Say with --include or --exclude what it may touch.',
    },
  );
}
