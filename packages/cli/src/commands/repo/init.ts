// `varve repo init`: makes a repository.

import { AppError } from '@varve/base';
import type { Command } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { readPassword } from '../../options/password.ts';
import {
  addRepositoryOptions,
  openRepositoryFor,
  openStorageFor,
  type RepositoryOptions,
} from '../../options/repository-options.ts';
import { addSourceOptions, sourceOptions } from '../../options/source-options.ts';
import { printable } from '../../output/text.ts';
import type { Session } from '../../session.ts';

export const addInitCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('init')
    .description('make a repository of format 2')
    .option(
      '--copy-chunker-params',
      'cut files as the repository to copy from does, so that copies are not stored twice',
    )
    .addHelpText(
      'after',
      examples(
        ['In a folder', 'varve repo init --repo /srv/backup --password-file /root/backup.pass'],
        [
          'As the target of copies from another one',
          'varve repo init --repo s3:https://s3.example.com/backup --from-repo /srv/backup --copy-chunker-params',
        ],
      ),
    );
  addRepositoryOptions(command);
  addSourceOptions(command);
  register(command, async (session) => {
    const { createRepository } = await import('@varve/repository');
    const options = command.opts<RepositoryOptions & { copyChunkerParams?: boolean }>();
    const chunkerPolynomial = options.copyChunkerParams
      ? await polynomialOf(session, sourceOptions(command))
      : undefined;
    if (chunkerPolynomial === undefined) refuseSource(command);
    await using cleanup = new AsyncDisposableStack();
    const storage = await openStorageFor(session, options);
    cleanup.defer(() => storage.close());
    const password = await readPassword(session, { ...options, isNew: true });
    const repository = cleanup.use(
      await createRepository({ storage, password, chunkerPolynomial, signal: session.signal }),
    );
    const origin = chunkerPolynomial === undefined ? '' : ' with the chunker parameters of the repository to copy from';
    const result = { message_type: 'initialized', id: repository.id, repository: storage.location };
    session.print(result, () => [
      `created repository ${repository.id.slice(0, 10)} at ${printable(storage.location)}${origin}`,
      '',
      'Keep the password: without it nothing in the repository can be read, by nobody.',
    ]);
  });
};

async function polynomialOf(session: Session, options: RepositoryOptions): Promise<bigint> {
  await using source = await openRepositoryFor(session, options, 'source');
  return source.repository.config.chunkerPolynomial;
}

/** A repository to copy from without anything that is taken from it is a mistake. */
function refuseSource(command: Command): void {
  if (Object.keys(sourceOptions(command)).length === 0) return;
  throw new AppError('USAGE_INVALID', 'A repository to copy from was named, but nothing is to be taken from it.', {
    hint: 'Add --copy-chunker-params.',
  });
}
