// `varve repo key add`: another password that opens the repository.

import { examples, type AddCommand } from '../../../command.ts';
import { addNewKeyOptions, readNewKey } from '../../../options/new-key-options.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  type LockCommandOptions,
} from '../../../options/repository-options.ts';

export const addKeyAddCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('add')
    .description('add a key: another password that opens the repository')
    .addHelpText(
      'after',
      examples(['For a colleague', 'varve repo key add --new-password-file anna.pass --user anna --host laptop']),
    );
  addRepositoryOptions(command);
  addNewKeyOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { addKey } = await import('@varve/repository');
    await using opened = await openLockedRepository(session, command.opts<LockCommandOptions>(), { exclusive: false });
    const { repository, signal } = opened;
    const id = await addKey(repository, { ...(await readNewKey(session, command)), clock: session.clock, signal });
    session.print({ id }, () => [`saved new key with ID ${id}`]);
  });
};
