// `varve repo find PATTERN…`: files in snapshots, or what uses a blob, a tree or a pack.

import { AppError, errorCodes } from '@varve/base';
import type { FindHit, FindNodesOptions, Repository, Snapshot } from '@varve/repository';
import { Option } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { collect } from '../../options/numbers.ts';
import {
  addFilterOptions,
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  openLockedRepository,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { selectSnapshots } from '../../options/snapshot-selection.ts';
import { parseBackupTime } from '../../options/time.ts';
import { FindOutput } from '../../output/find-output.ts';
import type { Session } from '../../session.ts';

interface Options extends LockCommandOptions {
  readonly oldest?: string;
  readonly newest?: string;
  readonly ignoreCase?: boolean;
  readonly long?: boolean;
  readonly humanReadable?: boolean;
  readonly reverse?: boolean;
  readonly snapshot?: readonly string[];
  readonly blob?: boolean;
  readonly tree?: boolean;
  readonly pack?: boolean;
  readonly showPackId?: boolean;
}

export const addFindCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('find')
    .description('find files in snapshots, the newest snapshot first; exit code 3 when folders could not be read')
    .argument('<pattern...>', 'names or paths with *, ?, [a-z] and **; ids with --blob, --tree and --pack')
    .option('-i, --ignore-case', 'capital and small letters are the same')
    .option('-O, --oldest <time>', 'only what was modified at this time or later')
    .option('-N, --newest <time>', 'only what was modified at this time or earlier')
    .option('-l, --long', 'modes, owners, sizes and times too')
    .option('--human-readable', 'sizes in units')
    .option('-R, --reverse', 'the oldest snapshot first')
    .option('-s, --snapshot <id>', 'search in this snapshot only (may be given several times)', collect)
    .addOption(new Option('--blob', 'the patterns are ids of blobs').conflicts(['tree', 'pack']))
    .addOption(new Option('--tree', 'the patterns are ids of trees').conflicts(['blob', 'pack']))
    .addOption(new Option('--pack', 'the patterns are ids of packs').conflicts(['blob', 'tree']))
    .option('--show-pack-id', 'with --blob or --tree: in which pack each is')
    .addHelpText(
      'after',
      examples(
        ['Every version of a file', 'varve repo find -l wp-config.php'],
        ['What was changed in a month', 'varve repo find --oldest 2026-10-01 --newest 2026-11-01 "*.sql"'],
        ['Which files a damaged pack holds', 'varve repo find --pack 025c1d06'],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const options = command.opts<Options>();
    await using opened = await openLockedRepository(session, options, { exclusive: false });
    const { repository, signal } = opened;
    const names = options.snapshot ?? [];
    const oldestFirst = byTime(
      await selectSnapshots(repository, { names, filter: filterOf(command), signal, warn: session.logger().error }),
    );
    const snapshots = options.reverse ? oldestFirst : oldestFirst.reverse();
    await repository.loadIndex({ signal });
    const { goText } = await import('@varve/repository');
    const output = new FindOutput(session, {
      long: options.long ?? false,
      humanReadable: options.humanReadable ?? false,
      text: goText,
    });
    let isPartial = false;
    const onDamaged = ({ snapshot, path, treeId }: { snapshot: Snapshot; path: string; treeId: string }): void => {
      isPartial = true;
      session.logger().error(`${path} of snapshot ${snapshot.id.slice(0, 8)} cannot be read (tree ${treeId})`);
    };
    const search = { repository, snapshots, signal, onDamaged };
    for await (const hit of await start(search, { options, patterns: command.args })) {
      if (session.io.out.isClosed) return 0;
      output.add(hit);
    }
    output.end();
    if (options.showPackId && !session.json) showPacks(session, { repository, objects: output.objects });
    return isPartial ? errorCodes.RESULT_PARTIAL.exit : 0;
  });
};

type Search = Pick<FindNodesOptions, 'snapshots' | 'signal' | 'onDamaged'> & { readonly repository: Repository };

async function start(
  search: Search,
  { options, patterns }: { readonly options: Options; readonly patterns: readonly string[] },
): Promise<AsyncGenerator<FindHit>> {
  const { FindPatterns, findNodes, findObjects, objectsOfPacks } = await import('@varve/repository');
  const { repository, ...common } = search;
  if (options.blob) return findObjects(repository, { ...common, blobs: asIds(patterns) });
  if (options.tree) return findObjects(repository, { ...common, trees: asIds(patterns) });
  if (options.pack) {
    const objects = await objectsOfPacks(repository, asIds(patterns), { signal: search.signal });
    return findObjects(repository, { ...common, ...objects });
  }
  const oldestNs = timeNs(options.oldest);
  const newestNs = timeNs(options.newest);
  if (oldestNs !== undefined && newestNs !== undefined && oldestNs > newestNs) {
    throw new AppError('USAGE_INVALID', 'The time of --oldest is after that of --newest.');
  }
  return findNodes(repository, {
    ...common,
    patterns: new FindPatterns(patterns, { ignoreCase: options.ignoreCase }),
    oldestNs,
    newestNs,
  });
}

function asIds(patterns: readonly string[]): readonly string[] {
  const wrong = patterns.find((pattern) => !/^[0-9a-f]{4,64}$/.test(pattern));
  if (wrong === undefined) return patterns;
  throw new AppError('USAGE_INVALID', `"${wrong}" is not an id, nor the beginning of one.`, {
    hint: 'An id has 64 hexadecimal digits; 4 at least are needed.',
  });
}

function timeNs(text: string | undefined): bigint | undefined {
  return text === undefined ? undefined : BigInt(parseBackupTime(text).getTime()) * 1_000_000n;
}

function byTime(snapshots: readonly Snapshot[]): Snapshot[] {
  return snapshots.toSorted((a, b) => new Date(a.time).getTime() - new Date(b.time).getTime());
}

function showPacks(
  session: Session,
  found: { readonly repository: Repository; readonly objects: ReadonlyMap<string, 'blob' | 'tree'> },
): void {
  for (const [id, objectType] of found.objects) {
    for (const copy of found.repository.index.lookupAll(objectType === 'blob' ? 'data' : 'tree', id)) {
      session.io.out.write(`Object ${id} belongs to pack ${copy.packId}\n`);
      session.io.out.write(` ... offset ${copy.offset}, length ${copy.length}\n`);
    }
  }
}
