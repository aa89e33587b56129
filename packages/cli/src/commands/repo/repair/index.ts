// `varve repo repair …`: mends what a check found, as restic's repair commands do.

import { examples, type AddCommand } from '../../../command.ts';
import { addRepairIndexCommand } from './repair-index.ts';
import { addRepairPacksCommand } from './repair-packs.ts';
import { addRepairSnapshotsCommand } from './repair-snapshots.ts';

export const addRepairCommands: AddCommand = (parent, register) => {
  const group = parent
    .command('repair')
    .description('repair a damaged repository: first the index, then packs, then snapshots')
    .addHelpText(
      'after',
      examples(
        ['What is wrong', 'varve repo check --read-data'],
        ['1. An index that is right', 'varve repo repair index'],
        ['2. What is good in damaged packs', 'varve repo repair packs 5fd1…'],
        ['3. Snapshots without what is lost', 'varve repo repair snapshots --forget'],
      ),
    );
  addRepairIndexCommand(group, register);
  addRepairPacksCommand(group, register);
  addRepairSnapshotsCommand(group, register);
};
