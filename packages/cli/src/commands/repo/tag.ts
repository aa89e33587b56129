// `varve repo tag`: changes the tags of snapshots.

import { AppError } from '@varve/base';
import type { TagChange } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import { selectSnapshots } from '../../options/snapshot-selection.ts';
import { collect } from '../../options/numbers.ts';
import {
  addFilterOptions,
  addLockOptions,
  addRepositoryOptions,
  filterOf,
  openLockedRepository,
  type LockCommandOptions,
} from '../../options/repository-options.ts';
import { counted } from '../../output/text.ts';

interface Options extends LockCommandOptions {
  readonly set?: readonly string[];
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
}

export const addTagCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('tag')
    .description(
      'change the tags of snapshots; a changed snapshot gets a new id and keeps its first one as its original',
    )
    .argument('[snapshot...]', 'only these; all that match when absent')
    .option('--add <tag,…>', 'tags to add (may be given several times)', collect)
    .option('--remove <tag,…>', 'tags to remove (may be given several times)', collect)
    .option('--set <tag,…>', 'tags in place of those that are there; an empty text for none', collect)
    .addHelpText(
      'after',
      examples(
        ['Keep what a release was made from', 'varve repo tag --add release-1.4 latest --host build'],
        ['No tags on any snapshot of a host', "varve repo tag --set '' --host old"],
      ),
    );
  addFilterOptions(command);
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { tagSnapshots } = await import('@varve/repository');
    const options = command.opts<Options>();
    const change = changeOf(options);
    await using opened = await openLockedRepository(session, options, { exclusive: true });
    const { repository, signal } = opened;
    const snapshots = await selectSnapshots(repository, { names: command.args, filter: filterOf(command), signal });
    const changed = await tagSnapshots(repository, snapshots, {
      change,
      signal,
      onChanged: ({ old, next }) => {
        if (session.json) {
          session.printJson({ message_type: 'changed', old_snapshot_id: old.id, new_snapshot_id: next.id });
        } else session.say(`snapshot ${old.id.slice(0, 8)} is now ${next.id.slice(0, 8)}`);
      },
    });
    if (session.json) session.printJson({ message_type: 'summary', changed_snapshots: changed.length });
    else {
      const text =
        changed.length === 0 ? 'no snapshots were modified' : `modified ${counted(changed.length, 'snapshot')}`;
      session.io.out.write(`${text}\n`);
    }
  });
};

function changeOf({ set, add, remove }: Options): TagChange {
  if (!set && !add && !remove) {
    throw new AppError('USAGE_INVALID', 'There is nothing to do.', { hint: 'Give --add, --remove or --set.' });
  }
  if (!set) return { add: namesIn(add), remove: namesIn(remove) };
  if (add || remove) throw new AppError('USAGE_INVALID', '--set cannot be given together with --add or --remove.');
  return { set: namesIn(set) };
}

function namesIn(lists: readonly string[] = []): string[] {
  return lists
    .flatMap((list) => list.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
