// `varve wal slots …`: the replication slots of a server.

import type { AddCommand } from '../../../command.ts';
import { addSlotsDropCommand } from './drop.ts';
import { addSlotsListCommand } from './list.ts';

export const addSlotsCommands: AddCommand = (parent, register) => {
  const group = parent.command('slots').description('replication slots: what a server keeps for whom');
  addSlotsListCommand(group, register);
  addSlotsDropCommand(group, register);
};
