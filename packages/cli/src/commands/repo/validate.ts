// `varve repo validate`: whether a place does what a repository relies on, before anything is entrusted to it.

import { errorCodes } from '@varve/base';
import { examples, type AddCommand } from '../../command.ts';
import { addRepositoryOptions, openStorageFor, type RepositoryOptions } from '../../options/repository-options.ts';
import { printable } from '../../output/text.ts';

const marks = { passed: 'ok', failed: 'FAILED', skipped: 'skipped' } as const;

export const addValidateCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('validate')
    .description('try whether a place does what a repository relies on; exit code 5 when it does not')
    .addHelpText(
      'after',
      examples(
        ['A folder', 'varve repo validate --repo /srv/backup'],
        ['A server', 'varve repo validate --repo sftp:backup@nas.local:/volume1/varve'],
      ),
    );
  addRepositoryOptions(command);
  register(command, async (session) => {
    const { validateStorage } = await import('@varve/storage');
    await using cleanup = new AsyncDisposableStack();
    const storage = await openStorageFor(session, command.opts<RepositoryOptions>());
    cleanup.defer(() => storage.close());
    const checks = await validateStorage(storage, { signal: session.signal, clock: session.clock });
    const failed = checks.filter(({ outcome }) => outcome === 'failed');
    const result = { message_type: 'summary', location: storage.location, num_errors: failed.length, checks };
    session.print(result, () => [
      ...checks.map(({ name, outcome, detail }) => `${marks[outcome].padEnd(8)}${name.padEnd(19)}${printable(detail)}`),
      ...failed.flatMap(({ hint }) => (hint === undefined ? [] : [printable(hint)])),
      failed.length === 0
        ? `${storage.location} does what a repository relies on`
        : `${storage.location} is not fit for a repository`,
    ]);
    return failed.length === 0 ? 0 : errorCodes.STORAGE_UNREACHABLE.exit;
  });
};
