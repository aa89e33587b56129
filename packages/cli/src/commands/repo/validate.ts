// `varve repo validate`: whether a place does what a repository relies on, before anything is entrusted to it.

import { examples, type AddCommand } from '../../command.ts';
import { addRepositoryOptions, openStorageFor, type RepositoryOptions } from '../../options/repository-options.ts';
import { printStorageChecks } from '../../output/storage-checks.ts';

export const addValidateCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('validate')
    .description('try whether a place does what a repository relies on; exit code 5 when it does not')
    .addHelpText(
      'after',
      examples(
        ['A folder', 'varve repo validate --repo /srv/backup'],
        ['A server', 'varve repo validate --repo sftp:backup@nas.local:/volume1/varve'],
        [
          'With options of the storage',
          'varve repo validate --repo s3:s3.wasabisys.com/backups -o s3.region=eu-central-1',
        ],
      ),
    );
  addRepositoryOptions(command);
  register(command, async (session) => {
    const { storageChecks } = await import('@varve/storage');
    await using cleanup = new AsyncDisposableStack();
    const storage = await openStorageFor(session, command.opts<RepositoryOptions>());
    cleanup.defer(() => storage.close());
    const checks = storageChecks(storage, { signal: session.signal, clock: session.clock });
    return await printStorageChecks(session, storage.location, checks);
  });
};
