// `varve repo init`: makes a repository.

import { examples, type AddCommand } from '../../command.ts';
import { readPassword } from '../../options/password.ts';
import { addRepositoryOptions, openStorageFor, type RepositoryOptions } from '../../options/repository-options.ts';
import { printable } from '../../output/text.ts';

export const addInitCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('init')
    .description('make a repository of format 2')
    .addHelpText(
      'after',
      examples(['In a folder', 'varve repo init --repo /srv/backup --password-file /root/backup.pass']),
    );
  addRepositoryOptions(command);
  register(command, async (session) => {
    const { createRepository } = await import('@varve/repository');
    const options = command.opts<RepositoryOptions>();
    await using cleanup = new AsyncDisposableStack();
    const storage = await openStorageFor(session, options);
    cleanup.defer(() => storage.close());
    const password = await readPassword(session, { ...options, isNew: true });
    const repository = cleanup.use(await createRepository({ storage, password, signal: session.signal }));
    const result = { message_type: 'initialized', id: repository.id, repository: storage.location };
    session.print(result, () => [
      `created repository ${repository.id.slice(0, 10)} at ${printable(storage.location)}`,
      '',
      'Keep the password: without it nothing in the repository can be read, by nobody.',
    ]);
  });
};
