// `varve repo …`: repositories without apps, with the names and options that users of restic know.

import { examples, type AddCommand } from '../../command.ts';
import { addBackupCommand } from './backup.ts';
import { addCheckCommand } from './check.ts';
import { addInitCommand } from './init.ts';
import { addLsCommand } from './ls.ts';
import { addRecoverCommand } from './recover.ts';
import { addRepairCommands } from './repair/index.ts';
import { addRepoRestoreCommand } from './restore.ts';
import { addRepoSnapshotsCommand } from './snapshots.ts';
import { addUnlockCommand } from './unlock.ts';
import { addValidateCommand } from './validate.ts';

export const addRepoCommands: AddCommand = (parent, register) => {
  const group = parent
    .command('repo')
    .description('work on a repository directly, with the commands and options of restic')
    .addHelpText(
      'after',
      examples(
        ['Make one', 'varve repo init --repo /srv/backup --password-file /root/backup.pass'],
        ['Save a folder', 'varve repo backup --repo /srv/backup --password-file /root/backup.pass /etc'],
        [
          'Bring it back',
          'varve repo restore latest --target /tmp/etc --repo /srv/backup --password-file /root/backup.pass',
        ],
      ),
    );
  addInitCommand(group, register);
  addBackupCommand(group, register);
  addRepoSnapshotsCommand(group, register);
  addLsCommand(group, register);
  addRepoRestoreCommand(group, register);
  addCheckCommand(group, register);
  addRepairCommands(group, register);
  addRecoverCommand(group, register);
  addUnlockCommand(group, register);
  addValidateCommand(group, register);
};
