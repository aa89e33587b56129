// `varve repo key …`: the passwords that open a repository.

import { examples, type AddCommand } from '../../../command.ts';
import { addKeyAddCommand } from './add.ts';
import { addKeyListCommand } from './list.ts';
import { addKeyPasswdCommand } from './passwd.ts';
import { addKeyRemoveCommand } from './remove.ts';

export const addKeyCommands: AddCommand = (parent, register) => {
  const group = parent
    .command('key')
    .description('list, add, remove and change the keys (passwords) of a repository')
    .addHelpText(
      'after',
      examples(
        ['Who can open it', 'varve repo key list'],
        ['Change the password', 'varve repo key passwd --new-password-file /root/new.pass'],
      ),
    );
  addKeyListCommand(group, register);
  addKeyAddCommand(group, register);
  addKeyRemoveCommand(group, register);
  addKeyPasswdCommand(group, register);
};
