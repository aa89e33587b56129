// `varve repo key remove`: a password that no longer opens the repository.

import { examples, type AddCommand } from '../../../command.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  type LockCommandOptions,
} from '../../../options/repository-options.ts';

export const addKeyRemoveCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('remove')
    .description('remove a key, but never the one that opens the repository now')
    .argument('<id>', 'id of the key, or the beginning of it')
    .addHelpText('after', examples(['Somebody left', 'varve repo key remove 3f2a91c0']));
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { removeKey } = await import('@varve/repository');
    await using opened = await openLockedRepository(session, command.opts<LockCommandOptions>(), { exclusive: true });
    const id = await removeKey(opened.repository, command.args[0] ?? '', { signal: opened.signal });
    session.print({ id, removed: true }, () => [
      `removed key ${id}`,
      'Who has read the repository with it may know the master key, which no password change renews.',
    ]);
  });
};
