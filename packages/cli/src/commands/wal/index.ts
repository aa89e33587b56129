// `varve wal …`: the write-ahead log: of the databases of apps, and tools for a PostgreSQL server without any app.

import { examples, type AddCommand } from '../../command.ts';
import { addInspectCommand } from './inspect.ts';
import { addReceiveCommand } from './receive.ts';
import { addSlotsCommands } from './slots/index.ts';
import { addStatusCommand } from './status.ts';
import { addSwitchCommands } from './switch.ts';

export const addWalCommands: AddCommand = (parent, register) => {
  const group = parent
    .command('wal')
    .description(
      'the write-ahead log (WAL): capture of the databases of apps, low-level tools for any PostgreSQL server',
    )
    .addHelpText(
      'after',
      examples(
        ['How far the databases of all apps are captured', 'varve wal status'],
        [
          'Capture it into a folder until Ctrl-C',
          'varve wal receive --url-file /etc/varve/db.url --spool /srv/wal --slot varve --create-slot',
        ],
        ['What the server keeps for whom', 'varve wal slots list --url-file /etc/varve/db.url'],
      ),
    );
  addStatusCommand(group, register);
  addSwitchCommands(group, register);
  addInspectCommand(group, register);
  addReceiveCommand(group, register);
  addSlotsCommands(group, register);
};
