// `varve repo …`: repositories without apps, with the names and options that users of restic know.

import { addNamed, examples, type AddCommand } from '../../command.ts';
import { addBackupCommand } from './backup.ts';
import { addCacheCommand } from './cache.ts';
import { addCatCommand } from './cat.ts';
import { addCheckCommand } from './check.ts';
import { addCopyCommand } from './copy.ts';
import { addDiffCommand } from './diff.ts';
import { addDumpCommand } from './dump.ts';
import { addFindCommand } from './find.ts';
import { addRepoForgetCommand } from './forget.ts';
import { addInitCommand } from './init.ts';
import { addKeyCommands } from './key/index.ts';
import { addListCommand } from './list.ts';
import { addLsCommand } from './ls.ts';
import { addMigrateCommand } from './migrate.ts';
import { addPruneCommand } from './prune.ts';
import { addRecoverCommand } from './recover.ts';
import { addRepairCommands } from './repair/index.ts';
import { addRepoRestoreCommand } from './restore.ts';
import { addRewriteCommand } from './rewrite.ts';
import { addRepoSnapshotsCommand } from './snapshots.ts';
import { addStatsCommand } from './stats.ts';
import { addTagCommand } from './tag.ts';
import { addUnlockCommand } from './unlock.ts';
import { addValidateCommand } from './validate.ts';

/** In the order of the help. */
const commands: Readonly<Record<string, AddCommand>> = {
  init: addInitCommand,
  backup: addBackupCommand,
  snapshots: addRepoSnapshotsCommand,
  ls: addLsCommand,
  find: addFindCommand,
  diff: addDiffCommand,
  stats: addStatsCommand,
  dump: addDumpCommand,
  cat: addCatCommand,
  list: addListCommand,
  restore: addRepoRestoreCommand,
  forget: addRepoForgetCommand,
  prune: addPruneCommand,
  check: addCheckCommand,
  copy: addCopyCommand,
  tag: addTagCommand,
  rewrite: addRewriteCommand,
  key: addKeyCommands,
  migrate: addMigrateCommand,
  repair: addRepairCommands,
  recover: addRecoverCommand,
  unlock: addUnlockCommand,
  cache: addCacheCommand,
  validate: addValidateCommand,
};

export const addRepoCommands: AddCommand = (parent, register, words) => {
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
  addNamed(group, register, { words, commands });
};
