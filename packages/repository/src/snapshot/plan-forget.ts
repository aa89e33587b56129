// What `forget` would do: snapshots are divided into groups, and the policy is applied to each. Pure; restic's rules, and like
// restic it refuses what would take a group's last snapshot away.

import { AppError } from '@varve/base';
import { planRetention, type RetentionPlan, type RetentionPolicy } from './retention.ts';
import { sortSnapshots, type Snapshot } from './snapshot.ts';

export type GroupBy = 'host' | 'paths' | 'tags';

/** What the snapshots of a group have in common; absent when they are not grouped by it. */
export interface SnapshotGroupKey {
  readonly host?: string | undefined;
  readonly paths?: readonly string[] | undefined;
  readonly tags?: readonly string[] | undefined;
}

export interface ForgetGroup extends SnapshotGroupKey, RetentionPlan {}

export interface ForgetRules {
  readonly policy: RetentionPolicy;
  /** Host and paths when absent; an empty list makes one group of all. */
  readonly groupBy?: readonly GroupBy[] | undefined;
  /** Allows an empty policy, which then removes all that `snapshots` has. */
  readonly allowRemoveAll?: boolean | undefined;
  readonly now?: Date | undefined;
}

const defaultGroupBy: readonly GroupBy[] = ['host', 'paths'];

/**
 * One entry for each group, ordered by their keys. USAGE_INVALID for a policy without any rule, and for one that keeps
 * nothing of a group.
 */
export function planForget(snapshots: readonly Snapshot[], rules: ForgetRules): ForgetGroup[] {
  const { policy, groupBy = defaultGroupBy, allowRemoveAll = false, now } = rules;
  const removesAll = isEmptyPolicy(policy);
  if (removesAll && !allowRemoveAll) {
    throw new AppError('USAGE_INVALID', 'No policy was specified, no snapshots will be removed.', {
      hint: 'Say what to keep, for example --keep-daily 7 --keep-weekly 4, or name the snapshots to remove.',
    });
  }
  const groups: ForgetGroup[] = [];
  const byKey = Map.groupBy(snapshots, (snapshot) => JSON.stringify(groupKey(snapshot, groupBy)));
  for (const [key, members] of [...byKey].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const group = JSON.parse(key) as SnapshotGroupKey;
    // The planner takes an empty policy for "keep all"; here it was allowed to mean the contrary.
    const plan = removesAll
      ? { keep: [], remove: sortSnapshots(members).reverse() }
      : planRetention(members, policy, { now });
    if (plan.keep.length === 0 && !removesAll) {
      throw new AppError(
        'USAGE_INVALID',
        `The policy keeps none of the ${members.length} snapshots of ${describe(group)}.`,
        {
          hint: 'Nothing was removed. Keep at least one, or name the snapshots to remove.',
        },
      );
    }
    groups.push({ ...group, ...plan });
  }
  return groups;
}

/** Whether no rule says that something is kept. */
function isEmptyPolicy(policy: RetentionPolicy): boolean {
  return Object.values(policy).every((rule: unknown) => !rule || (Array.isArray(rule) && rule.length === 0));
}

function groupKey(snapshot: Snapshot, groupBy: readonly GroupBy[]): SnapshotGroupKey {
  return {
    ...(groupBy.includes('host') ? { host: snapshot.hostname ?? '' } : {}),
    ...(groupBy.includes('paths') ? { paths: snapshot.paths.toSorted() } : {}),
    ...(groupBy.includes('tags') ? { tags: (snapshot.tags ?? []).toSorted() } : {}),
  };
}

function describe({ host, paths, tags }: SnapshotGroupKey): string {
  const parts = [
    ...(host === undefined ? [] : [`host ${host}`]),
    ...(paths === undefined ? [] : [`paths ${paths.join(', ')}`]),
    ...(tags === undefined ? [] : [`tags ${tags.join(', ') || 'none'}`]),
  ];
  return parts.join(', ') || 'the repository';
}
