// `varve wal …`: PostgreSQL's write-ahead log, without an installation.

import type { AddCommand } from '../../command.ts';
import { addInspectCommand } from './inspect.ts';

export const addWalCommands: AddCommand = (parent, register) => {
  const group = parent.command('wal').description("look at PostgreSQL's write-ahead log");
  addInspectCommand(group, register);
};
