// `varve repo list TYPE`: the ids of all objects of a type.

import { AppError } from '@varve/base';
import type { FileKind } from '@varve/repository';
import { examples, type AddCommand } from '../../command.ts';
import {
  addLockOptions,
  addRepositoryOptions,
  openLockedRepository,
  type LockCommandOptions,
} from '../../options/repository-options.ts';

const kinds = new Map<string, FileKind | 'blob'>([
  ['blobs', 'blob'],
  ['packs', 'pack'],
  ['index', 'index'],
  ['snapshots', 'snapshot'],
  ['keys', 'key'],
  ['locks', 'lock'],
]);

export const addListCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('list')
    .description('print the ids of all objects of a type, one a line')
    .argument('<type>', [...kinds.keys()].join(', '))
    .addHelpText('after', examples(['How many packs there are', 'varve repo list packs | wc -l']));
  addRepositoryOptions(command);
  addLockOptions(command);
  register(command, async (session) => {
    const { listBlobs, listFileIds } = await import('@varve/repository');
    const options = command.opts<LockCommandOptions>();
    const [type = ''] = command.args;
    const kind = kinds.get(type);
    if (!kind) {
      throw new AppError('USAGE_INVALID', `"${type}" is not a type of objects.`, {
        hint: `There are: ${[...kinds.keys()].join(', ')}.`,
      });
    }
    // Who looks at the locks does not want to see an own one.
    const lock = options.lock && kind !== 'lock';
    await using opened = await openLockedRepository(session, { ...options, lock }, { exclusive: false });
    const { repository, signal } = opened;
    const { out } = session.io;
    if (kind !== 'blob') {
      for (const id of await listFileIds(repository, kind, { signal })) out.write(`${id}\n`);
      return;
    }
    await repository.loadIndex({ signal });
    for (const blob of listBlobs(repository)) {
      if (out.isClosed) return;
      out.write(`${blob.type} ${blob.id}\n`);
    }
  });
};
