// `varve repo key passwd`: another password in place of the one that opened the repository.

import { examples, type AddCommand } from '../../../command.ts';
import { addNewKeyOptions, readNewKey } from '../../../options/new-key-options.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  type LockCommandOptions,
} from '../../../options/repository-options.ts';

export const addKeyPasswdCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('passwd')
    .description('change the password: add a key with the new one, prove that it opens, remove the key that was used')
    .addHelpText('after', examples(['From files', 'varve repo key passwd -p old.pass --new-password-file new.pass']));
  addRepositoryOptions(command);
  addNewKeyOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { changePassword } = await import('@varve/repository');
    await using opened = await openLockedRepository(session, command.opts<LockCommandOptions>(), { exclusive: true });
    const { repository, signal } = opened;
    const key = await readNewKey(session, command);
    const id = await changePassword(repository, { ...key, clock: session.clock, signal });
    session.print({ id }, () => [`saved new key as ${id}`]);
  });
};
