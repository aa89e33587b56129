// `varve repo snapshots`: lists what is in a repository.

import type { Repository, Snapshot, SnapshotFilter } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import { wholeNumber } from '../../options/numbers.ts';
import {
  addFilterOptions,
  addRepositoryOptions,
  filterOf,
  openRepositoryFor,
  type RepositoryOptions,
} from '../../options/repository-options.ts';
import { snapshotJson } from '../../output/repository-json.ts';
import { tableLines } from '../../output/table.ts';
import { counted } from '../../output/text.ts';
import { absoluteTime, relativeTime } from '../../output/time.ts';

export const addRepoSnapshotsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('snapshots')
    .description('list the snapshots of a repository, oldest first')
    .argument('[id...]', 'only these')
    .option('--latest <n>', 'only the last n of each host and paths', wholeNumber({ min: 1, max: 1_000_000 }))
    .addHelpText(
      'after',
      examples(
        ['All', 'varve repo snapshots'],
        ['The last of each app', 'varve repo snapshots --tag varve --latest 1'],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  register(command, async (session) => {
    const options = command.opts<RepositoryOptions & { latest?: number }>();
    await using opened = await openRepositoryFor(session, options);
    const chosen = await choose(opened.repository, {
      names: command.args,
      filter: filterOf(command),
      signal: session.signal,
    });
    const snapshots = options.latest === undefined ? chosen : lastOfEach(chosen, options.latest);
    session.print(snapshots.map(snapshotJson), () =>
      snapshots.length === 0
        ? ['no snapshots']
        : [...snapshotLines(snapshots, session.now), counted(snapshots.length, 'snapshot')],
    );
  });
};

async function choose(
  repository: Repository,
  options: { readonly names: readonly string[]; readonly filter: SnapshotFilter; readonly signal: AbortSignal },
): Promise<Snapshot[]> {
  const { names, filter, signal } = options;
  if (names.length > 0) {
    const found = await Promise.all(names.map((name) => repository.findSnapshot(name, filter, { signal })));
    return [...new Map(found.map((snapshot) => [snapshot.id, snapshot])).values()];
  }
  const all = await repository.listSnapshots({ signal });
  return all.filter((snapshot) => isMatch(snapshot, filter));
}

/** As restic's options: one of the hosts, all of one list of tags, all paths. */
function isMatch(snapshot: Snapshot, { hosts, tags, paths }: SnapshotFilter): boolean {
  if (hosts?.length && !hosts.includes(snapshot.hostname ?? '')) return false;
  if (paths?.some((path) => !snapshot.paths.includes(path))) return false;
  const own = snapshot.tags ?? [];
  const hasAll = (list: string | readonly string[]): boolean =>
    [list].flat().every((tag) => own.includes(tag) || (tag === '' && own.length === 0));
  return !tags?.length || tags.some(hasAll);
}

/** The last n of each host and list of paths, in the order they came in. */
function lastOfEach(snapshots: readonly Snapshot[], count: number): Snapshot[] {
  const groups = Map.groupBy(snapshots, ({ hostname, paths }) => JSON.stringify([hostname, [...paths].sort()]));
  const kept = new Set([...groups.values()].flatMap((group) => group.slice(-count)));
  return snapshots.filter((snapshot) => kept.has(snapshot));
}

function snapshotLines(snapshots: readonly Snapshot[], now: Date): string[] {
  return tableLines(
    [{ title: 'ID' }, { title: 'Time' }, { title: 'Age' }, { title: 'Host' }, { title: 'Tags' }, { title: 'Paths' }],
    snapshots.map((snapshot) => [
      snapshot.id.slice(0, 8),
      absoluteTime(snapshot.time),
      relativeTime(snapshot.time, now),
      snapshot.hostname ?? '',
      (snapshot.tags ?? []).join(','),
      snapshot.paths.join(' '),
    ]),
  );
}
