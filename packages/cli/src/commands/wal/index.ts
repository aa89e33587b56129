// `varve wal …`: the write-ahead log of a PostgreSQL server without any app: tools for people who know pg_receivewal.

import { examples, type AddCommand } from '../../command.ts';
import { addInspectCommand } from './inspect.ts';
import { addReceiveCommand } from './receive.ts';
import { addSlotsCommands } from './slots/index.ts';

export const addWalCommands: AddCommand = (parent, register) => {
  const group = parent
    .command('wal')
    .description('low-level tools for the write-ahead log (WAL) of a PostgreSQL server')
    .addHelpText(
      'after',
      examples(
        [
          'Capture it into a folder until Ctrl-C',
          'varve wal receive --url-file /root/db.url --spool /srv/wal --slot varve --create-slot',
        ],
        ['What the server keeps for whom', 'varve wal slots list --url-file /root/db.url'],
      ),
    );
  addInspectCommand(group, register);
  addReceiveCommand(group, register);
  addSlotsCommands(group, register);
};
