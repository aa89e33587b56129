// `varve app …`: the apps that Varve protects.

import { examples, type AddCommand } from '../../command.ts';
import { addAddCommand } from './add.ts';
import { addDatabaseCommand } from './database.ts';
import { addDiscoverCommand } from './discover.ts';
import { addListCommand } from './list.ts';
import { addPolicyCommand } from './policy.ts';
import { addRemoveCommand } from './remove.ts';
import { addShowCommand } from './show.ts';

export const addAppCommands: AddCommand = (parent, register) => {
  const group = parent
    .command('app')
    .description('find, add and look after the apps that Varve protects')
    .addHelpText('after', examples(['What runs here', 'varve app discover'], ['Protect it', 'varve app add shop']));
  addDiscoverCommand(group, register);
  addAddCommand(group, register);
  addListCommand(group, register);
  addShowCommand(group, register);
  addPolicyCommand(group, register);
  addDatabaseCommand(group, register);
  addRemoveCommand(group, register);
};
