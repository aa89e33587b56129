// `varve repo ls`: the files of a snapshot.

import { AppError } from '@varve/base';
import type { WalkedNode } from '@varve/repository';
import { Option } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import {
  addFilterOptions,
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  openLockedRepository,
  parseSnapshotPath,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { lsPrinter, sortModes, type SortMode } from '../../output/ls-printer.ts';

interface Options extends LockCommandOptions {
  readonly long?: boolean;
  readonly recursive?: boolean;
  readonly humanReadable?: boolean;
  readonly sort: SortMode;
  readonly reverse?: boolean;
  readonly ncdu?: boolean;
}

export const addLsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('ls')
    .description('list the files of a snapshot, all of them or those in some folders')
    .argument('<snapshot>', 'an id, the beginning of one, or latest; ID:folder starts in a folder')
    .argument('[folder...]', 'only these folders of the snapshot, or files, and what is in them')
    .option('-l, --long', 'modes, owners, sizes and times too')
    .option('--recursive', 'with folders: what is below them too')
    .option('--human-readable', 'sizes in units')
    .addOption(new Option('-s, --sort <by>', 'order of the list').choices(sortModes).default('name'))
    .option('--reverse', 'the other way round')
    .option('--ncdu', 'in the format of the disk usage viewer ncdu')
    .addHelpText(
      'after',
      examples(
        ['Everything', 'varve repo ls latest'],
        ['One folder, in detail', 'varve repo ls -l latest /etc/ssh'],
        ['What takes up the space', 'varve repo ls --ncdu latest | ncdu -f -'],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { walkTree, findTree, parseTime } = await import('@varve/repository');
    const options = command.opts<Options>();
    const [text = '', ...given] = command.args;
    const folders = given.map(asFolder);
    if (options.ncdu && (session.json || options.reverse || options.sort !== 'name')) {
      throw new AppError('USAGE_INVALID', '--ncdu has a format and an order of its own.', {
        hint: 'Leave out --json, --sort and --reverse.',
      });
    }
    const { name, path } = parseSnapshotPath(text);
    await using opened = await openLockedRepository(session, options, { exclusive: false });
    const { repository, signal } = opened;
    const snapshot = await repository.findSnapshot(name, filterOf(command), { signal });
    await repository.loadIndex({ signal });
    const treeId = await findTree(repository, { treeId: snapshot.tree, path, signal });
    const printer = lsPrinter(session, { ...options, timeNs: parseTime });
    const wanted = new WantedFolders(folders, options.recursive ?? false);
    printer.begin({ ...snapshot, tree: treeId }, folders);
    const enters = (folder: { readonly path: string }): boolean => wanted.enters(folder.path);
    for await (const step of walkTree(repository, { treeId, enters, signal })) {
      if (session.io.out.isClosed) return;
      if (step.kind === 'leave') printer.leave();
      else printNode(step, { wanted, printer });
    }
    wanted.assertAllFound();
    printer.end();
  });
};

function asFolder(text: string): string {
  if (text.startsWith('/')) return text.replace(/\/+$/, '') || '/';
  throw new AppError('USAGE_INVALID', `The path ${text} is not absolute.`, { hint: `Give it as /${text}` });
}

function printNode(
  step: WalkedNode,
  { wanted, printer }: { readonly wanted: WantedFolders; readonly printer: ReturnType<typeof lsPrinter> },
): void {
  const isShown = wanted.has(step.path);
  const isEntered = step.node.type === 'dir' && wanted.enters(step.path);
  if (isShown) printer.node(step);
  else if (isEntered) printer.passed(step);
  if (isShown && step.node.type === 'dir' && !isEntered) printer.leave();
}

/** The folders that were asked for: what is listed and where to look. */
class WantedFolders {
  readonly #folders: readonly string[];
  readonly #isRecursive: boolean;
  readonly #missing: Set<string>;

  constructor(folders: readonly string[], isRecursive: boolean) {
    this.#folders = folders;
    this.#isRecursive = isRecursive;
    this.#missing = new Set(folders.filter((folder) => folder !== '/'));
  }

  /** One of the folders, or in one. */
  has(path: string): boolean {
    this.#missing.delete(path);
    return this.#folders.length === 0 || this.#folders.some((folder) => isBelow(path, folder));
  }

  enters(path: string): boolean {
    if (this.#folders.length === 0) return true;
    return this.#folders.some((folder) => isBelow(folder, path) || (this.#isRecursive && isBelow(path, folder)));
  }

  /** PATH_NOT_FOUND when a folder that was asked for did not come by. */
  assertAllFound(): void {
    const [missing] = this.#missing;
    if (missing === undefined) return;
    throw new AppError('PATH_NOT_FOUND', `The snapshot holds no ${missing}.`, {
      hint: 'List the snapshot without folders to see what it holds.',
    });
  }
}

function isBelow(path: string, folder: string): boolean {
  return folder === '/' || path === folder || path.startsWith(`${folder}/`);
}
