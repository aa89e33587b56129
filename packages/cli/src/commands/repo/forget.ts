// `varve repo forget`: removes snapshots by a policy, or those that are named; with --prune also the data that only they used.

import { AppError } from '@varve/base';
import type { ForgetGroup, GroupBy, Repository, Snapshot } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import { addKeepOptions, keepPolicyOf } from '../../options/keep-options.ts';
import { collect } from '../../options/numbers.ts';
import { addPruneOptions, pruneRulesOf } from '../../options/prune-options.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  lockOpened,
  openRepositoryFor,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { prunePlanJson, prunePlanLines, pruneResultJson, pruneResultLines } from '../../output/prune.ts';
import { snapshotJson } from '../../output/repository-json.ts';
import { tableLines } from '../../output/table.ts';
import { counted } from '../../output/text.ts';
import { absoluteTime } from '../../output/time.ts';
import type { Session } from '../../session.ts';
import { pruneExitCode, runPruneFor, showPlan } from './prune.ts';

interface Options extends LockCommandOptions {
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly compact?: boolean;
  readonly unsafeAllowRemoveAll?: boolean;
  readonly groupBy: readonly GroupBy[];
}

export const addRepoForgetCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('forget')
    .description('remove snapshots that a policy does not keep, or those that are named')
    .argument('[id...]', 'remove exactly these; no policy is applied')
    .option('-n, --dry-run', 'only show what would be removed')
    .option('--prune', 'then remove the data that no snapshot uses any more, if snapshots were removed')
    .option('-c, --compact', 'leave reasons and paths out of the lists')
    .option('--unsafe-allow-remove-all', 'without a policy, remove all snapshots that --host, --tag or --path choose')
    .option('--host <host>', 'only snapshots of this host (may be given several times)', collect)
    .option('--tag <tag,…>', 'only snapshots with all these tags (several times: any of the lists)', collect)
    .option('--path <path>', 'only snapshots of this path (may be given several times)', collect)
    .addHelpText(
      'after',
      examples(
        ['See what would go', 'varve repo forget --keep-daily 7 --keep-weekly 4 --dry-run'],
        ['A week of days, a month of weeks, and the space back', 'varve repo forget -d 7 -w 4 --prune'],
        ['One snapshot', 'varve repo forget 1a2b3c4d'],
      ),
    );
  addKeepOptions(command);
  addPruneOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const options = command.opts<Options>();
    if (!options.lock && !options.dryRun) {
      throw new AppError('USAGE_INVALID', 'Snapshots cannot be removed without a lock.', {
        hint: 'Leave --no-lock out, or add --dry-run.',
      });
    }
    await using opened = await openRepositoryFor(session, options);
    const { repository } = opened;
    const rules = pruneRulesOf(command);
    const plan = async (signal: AbortSignal): Promise<ForgetGroup[]> => {
      const groups = await planGroups(repository, { names: command.args, options, command, signal });
      const isNamed = command.args.length > 0;
      session.print(groups.map(groupJson), () =>
        isNamed ? [] : groups.flatMap((group) => groupLines(group, options)),
      );
      return groups;
    };
    if (options.dryRun) {
      await using locked = await lockOpened(session, repository, { ...options, exclusive: false });
      const removed = removedBy(await plan(locked.signal));
      sayRemoved(session, removed, { isDryRun: true });
      if (!options.prune || removed.length === 0) return 0;
      const prune = await showPlan(session, locked, { rules, withoutSnapshots: removed.map(({ id }) => id) });
      session.print({ message_type: 'summary', dry_run: true, ...prunePlanJson(prune) }, () => prunePlanLines(prune));
      return 0;
    }
    const removed = await forget(session, repository, { options, plan });
    if (!options.prune || removed.length === 0) return 0;
    const result = await runPruneFor(session, repository, { options, rules });
    const json = { message_type: 'summary', ...prunePlanJson(result.plan), ...pruneResultJson(result) };
    session.print(json, () => pruneResultLines(result));
    return pruneExitCode(result);
  });
};

/** Plans and removes under one exclusive lock, which is gone when this is done: a prune takes its own. */
async function forget(
  session: Session,
  repository: Repository,
  { options, plan }: { readonly options: Options; readonly plan: (signal: AbortSignal) => Promise<ForgetGroup[]> },
): Promise<Snapshot[]> {
  await using locked = await lockOpened(session, repository, { ...options, exclusive: true });
  const { signal } = locked;
  const removed = removedBy(await plan(signal));
  await repository.removeSnapshots(
    removed.map(({ id }) => id),
    { signal },
  );
  sayRemoved(session, removed, { isDryRun: false });
  return removed;
}

async function planGroups(
  repository: Repository,
  forgetting: {
    readonly names: readonly string[];
    readonly options: Options;
    readonly command: Parameters<typeof keepPolicyOf>[0];
    readonly signal: AbortSignal;
  },
): Promise<ForgetGroup[]> {
  const { planForget, matchesFilter } = await import('@varve/repository');
  const { names, options, command, signal } = forgetting;
  const filter = filterOf(command);
  if (names.length > 0) {
    // All are looked up before any is removed; ids count whatever the filter says, `latest` is the latest that matches.
    const found = [];
    for (const name of names) found.push(await repository.findSnapshot(name, filter, { signal }));
    const remove = [...new Map(found.map((snapshot) => [snapshot.id, snapshot])).values()];
    return [{ keep: [], remove }];
  }
  const hasFilter = [filter.hosts, filter.tags, filter.paths].some((list) => list !== undefined && list.length > 0);
  const allowRemoveAll = options.unsafeAllowRemoveAll ?? false;
  if (allowRemoveAll && !hasFilter) {
    throw new AppError('USAGE_INVALID', '--unsafe-allow-remove-all needs --host, --tag or --path.', {
      hint: 'To remove every snapshot of a repository, remove the repository.',
    });
  }
  const snapshots = (await repository.listSnapshots({ signal })).filter((snapshot) => matchesFilter(snapshot, filter));
  return planForget(snapshots, { policy: keepPolicyOf(command), groupBy: options.groupBy, allowRemoveAll });
}

function removedBy(groups: readonly ForgetGroup[]): Snapshot[] {
  return groups.flatMap(({ remove }) => remove);
}

function sayRemoved(
  session: Session,
  removed: readonly Snapshot[],
  { isDryRun }: { readonly isDryRun: boolean },
): void {
  const ids = removed.map(({ id }) => id.slice(0, 8)).join(' ');
  if (removed.length === 0) session.say('no snapshots to remove');
  else session.say(`${isDryRun ? 'would have removed' : 'removed'} ${counted(removed.length, 'snapshot')}: ${ids}`);
}

/** As in `restic forget --json`, where Go writes null for what is empty. */
function groupJson({ host, paths, tags, keep, remove }: ForgetGroup): Record<string, unknown> {
  const list = <T>(items: readonly T[]): readonly T[] | null => (items.length > 0 ? items : null);
  return {
    tags: tags ?? null,
    host: host ?? '',
    paths: paths ?? null,
    keep: list(keep.map(({ snapshot }) => snapshotJson(snapshot))),
    remove: list(remove.map(snapshotJson)),
    reasons: list(keep.map(({ snapshot, reasons }) => ({ snapshot: snapshotJson(snapshot), matches: reasons }))),
  };
}

function groupLines({ host, paths, tags, keep, remove }: ForgetGroup, { compact = false }: Options): string[] {
  const names = [
    ...(host === undefined ? [] : [`host ${host}`]),
    ...(tags === undefined ? [] : [`tags ${tags.join(',') || '-'}`]),
    ...(paths === undefined ? [] : [`paths ${paths.join(', ')}`]),
  ];
  const lines = [`snapshots of ${names.join(', ') || 'the repository'}`];
  if (keep.length > 0) lines.push(`keep ${counted(keep.length, 'snapshot')}:`, ...snapshotTable(keep, compact));
  if (remove.length > 0) {
    const rows = remove.map((snapshot) => ({ snapshot, reasons: [] }));
    lines.push(`remove ${counted(remove.length, 'snapshot')}:`, ...snapshotTable(rows, compact));
  }
  return [...lines, ''];
}

function snapshotTable(
  rows: readonly { readonly snapshot: Snapshot; readonly reasons: readonly string[] }[],
  compact: boolean,
): string[] {
  const hasReasons = rows.some(({ reasons }) => reasons.length > 0);
  const columns = [{ title: 'ID' }, { title: 'Time' }, { title: 'Host' }, { title: 'Tags' }];
  if (!compact) columns.push({ title: 'Paths' });
  if (!compact && hasReasons) columns.push({ title: 'Reasons' });
  const cells = rows.toReversed().map(({ snapshot, reasons }) => {
    const { id, time, hostname = '', tags = [], paths } = snapshot;
    return [id.slice(0, 8), absoluteTime(time), hostname, tags.join(','), paths.join(' '), reasons.join(', ')];
  });
  return tableLines(
    columns,
    cells.map((row) => row.slice(0, columns.length)),
  );
}
