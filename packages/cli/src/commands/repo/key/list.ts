// `varve repo key list`: the keys of a repository.

import { examples, type AddCommand } from '../../../command.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  type LockCommandOptions,
} from '../../../options/repository-options.ts';
import { tableLines } from '../../../output/table.ts';
import { absoluteTime } from '../../../output/time.ts';

export const addKeyListCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('list')
    .description('list the keys; a star marks the one that opened the repository')
    .addHelpText('after', examples(['All', 'varve repo key list']));
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { listKeys } = await import('@varve/repository');
    await using opened = await openLockedRepository(session, command.opts<LockCommandOptions>(), { exclusive: false });
    const { keys, failures } = await listKeys(opened.repository, { signal: opened.signal });
    for (const { message } of failures) session.logger().warn(message);
    session.print(
      keys.map(({ isCurrent, id, username, hostname, created }) => ({
        current: isCurrent,
        id,
        userName: username,
        hostName: hostname,
        created: shownTime(created),
      })),
      () =>
        tableLines(
          [{ title: ' ID' }, { title: 'User' }, { title: 'Host' }, { title: 'Created' }],
          keys.map(({ isCurrent, id, username, hostname, created }) => [
            `${isCurrent ? '*' : ' '}${id.slice(0, 8)}`,
            username,
            hostname,
            shownTime(created),
          ]),
        ),
    );
  });
};

function shownTime(created: string): string {
  return created === '' ? '' : absoluteTime(created);
}
