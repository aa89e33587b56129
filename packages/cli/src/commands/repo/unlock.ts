// `varve repo unlock`: removes locks that dead programs left behind.

import { examples, type AddCommand } from '../../command.ts';
import { addRepositoryOptions, openRepositoryFor, type RepositoryOptions } from '../../options/repository-options.ts';
import { counted } from '../../output/text.ts';

export const addUnlockCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('unlock')
    .description('remove stale locks of a repository')
    .option('--remove-all', 'remove all locks, even those of programs that may still run')
    .addHelpText('after', examples(['Stale locks only', 'varve repo unlock']));
  addRepositoryOptions(command);
  register(command, async (session) => {
    const { unlockRepository } = await import('@varve/repository');
    const options = command.opts<RepositoryOptions & { removeAll?: boolean }>();
    await using opened = await openRepositoryFor(session, options);
    const removed = await unlockRepository(opened.repository, {
      all: options.removeAll ?? false,
      signal: session.signal,
    });
    session.print({ removed }, () => [removed === 0 ? 'no locks to remove' : `removed ${counted(removed, 'lock')}`]);
  });
};
