// `varve repo snapshots`: lists what is in a repository.

import type { Snapshot, SnapshotGroup } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import { wholeNumber } from '../../options/numbers.ts';
import {
  addFilterOptions,
  addRepositoryOptions,
  filterOf,
  openRepositoryFor,
  type RepositoryOptions,
} from '../../options/repository-options.ts';
import { selectSnapshots } from '../../options/snapshot-selection.ts';
import { snapshotJson } from '../../output/repository-json.ts';
import { tableLines } from '../../output/table.ts';
import { counted, printable } from '../../output/text.ts';
import { absoluteTime, relativeTime } from '../../output/time.ts';

interface Options extends RepositoryOptions {
  readonly latest?: number;
  readonly groupBy?: string;
  readonly compact?: boolean;
}

export const addRepoSnapshotsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('snapshots')
    .description('list the snapshots of a repository, oldest first')
    .argument('[id...]', 'only these')
    .option('--latest <n>', 'only the last n of each host and paths', wholeNumber({ min: 1, max: 1_000_000 }))
    .option('-g, --group-by <fields>', 'in groups of the same host, paths, tags (a list with commas)')
    .option('-c, --compact', 'without ages and paths')
    .addHelpText(
      'after',
      examples(
        ['All', 'varve repo snapshots'],
        ['The last of each app', 'varve repo snapshots --tag varve --latest 1'],
        ['Host by host', 'varve repo snapshots --group-by host'],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  register(command, async (session) => {
    const { groupSnapshots, parseGroupBy } = await import('@varve/repository');
    const { latest, groupBy = '', compact = false, ...options } = command.opts<Options>();
    const fields = parseGroupBy(groupBy);
    await using opened = await openRepositoryFor(session, options);
    const { signal } = session;
    const chosen = await selectSnapshots(opened.repository, {
      names: command.args,
      filter: filterOf(command),
      signal,
      warn: session.logger().error,
    });
    const groups: SnapshotGroup[] = [];
    for (const group of groupSnapshots(chosen, fields)) {
      groups.push(latest === undefined ? group : { ...group, snapshots: lastOfEach(group.snapshots, latest) });
    }
    const isGrouped = fields.length > 0;
    const snapshots = groups.flatMap((group) => group.snapshots);
    session.print(isGrouped ? groups.map(groupJson) : snapshots.map(snapshotJson), () => {
      if (snapshots.length === 0) return ['no snapshots'];
      const table = { now: session.now, compact };
      if (!isGrouped) return [...snapshotLines(snapshots, table), counted(snapshots.length, 'snapshot')];
      const lines: string[] = [];
      for (const group of groups) {
        lines.push(`snapshots for (${groupTitle(group)}):`);
        lines.push(...snapshotLines(group.snapshots, table), counted(group.snapshots.length, 'snapshot'));
      }
      return lines;
    });
  });
};

/** As restic's JSON of grouped snapshots. */
function groupJson({ hostname, paths, tags, snapshots }: SnapshotGroup): Record<string, unknown> {
  return {
    group_key: { hostname: hostname ?? '', paths: paths ?? null, tags: tags?.length ? tags : null },
    snapshots: snapshots.map(snapshotJson),
  };
}

function groupTitle({ hostname, paths, tags }: SnapshotGroup): string {
  const parts = [
    hostname === undefined ? '' : `host [${hostname}]`,
    tags?.length ? `tags [${tags.join(', ')}]` : '',
    paths === undefined ? '' : `paths [${paths.join(', ')}]`,
  ];
  return printable(parts.filter((part) => part !== '').join(', '));
}

/** The last n of each host and list of paths, in the order they came in. */
function lastOfEach(snapshots: readonly Snapshot[], count: number): Snapshot[] {
  const groups = Map.groupBy(snapshots, ({ hostname, paths }) => JSON.stringify([hostname, [...paths].sort()]));
  const kept = new Set([...groups.values()].flatMap((group) => group.slice(-count)));
  return snapshots.filter((snapshot) => kept.has(snapshot));
}

function snapshotLines(
  snapshots: readonly Snapshot[],
  { now, compact }: { readonly now: Date; readonly compact: boolean },
): string[] {
  const columns = [
    { title: 'ID', value: ({ id }: Snapshot) => id.slice(0, 8) },
    { title: 'Time', value: ({ time }: Snapshot) => absoluteTime(time) },
    ...(compact ? [] : [{ title: 'Age', value: ({ time }: Snapshot) => relativeTime(time, now) }]),
    { title: 'Host', value: ({ hostname = '' }: Snapshot) => hostname },
    { title: 'Tags', value: ({ tags = [] }: Snapshot) => tags.join(',') },
    ...(compact ? [] : [{ title: 'Paths', value: ({ paths }: Snapshot) => paths.join(' ') }]),
  ];
  return tableLines(
    columns,
    snapshots.map((snapshot) => columns.map(({ value }) => value(snapshot))),
  );
}
