// `varve repo cache`: what this machine keeps of repositories, and removing what is no longer used.

import { AppError, formatBytes, mapConcurrently } from '@varve/base';
import { examples, type AddCommand } from '../../command.ts';
import { wholeNumber } from '../../options/numbers.ts';
import { addCacheDirOption, cacheRootFor } from '../../options/repository-options.ts';
import { tableLines } from '../../output/table.ts';
import { counted } from '../../output/text.ts';
import { relativeTime } from '../../output/time.ts';

interface CacheOptions {
  readonly cacheDir?: string;
  readonly cleanup?: boolean;
  readonly maxAge: number;
  /** False with `--no-size`. */
  readonly size: boolean;
}

const defaultMaxAgeDays = 30;
const cachesAtOnce = 4;

export const addCacheCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('cache')
    .description('list the caches of repositories on this machine, or remove old ones')
    .option('--cleanup', 'remove the caches that were not used for so long')
    .option(
      '--max-age <days>',
      'days after which a cache is old',
      wholeNumber({ min: 0, max: 36_500 }),
      defaultMaxAgeDays,
    )
    .option('--no-size', 'do not measure the caches')
    .addHelpText('after', examples(['All', 'varve repo cache'], ['Remove old ones', 'varve repo cache --cleanup']));
  addCacheDirOption(command);
  register(command, async (session) => {
    const { cacheSizeBytes, isUnused, listCaches, removeUnused } = await import('@varve/storage');
    const options = command.opts<CacheOptions>();
    const root = await cacheRootFor(session, options);
    if (root === null) {
      throw new AppError('USAGE_INVALID', 'There is no folder for caches: HOME and XDG_CACHE_HOME are not set.', {
        hint: 'Name one with --cache-dir.',
      });
    }
    const age = { now: session.now, maxAgeDays: options.maxAge };
    if (options.cleanup) {
      const removed = await removeUnused(root, age);
      session.print({ folder: root, removed: removed.map(({ repositoryId }) => repositoryId) }, () => [
        removed.length === 0 ? `no old caches in ${root}` : `removed ${counted(removed.length, 'cache')} from ${root}`,
      ]);
      return;
    }
    const found = (await listCaches(root)).sort((a, b) => a.usedAt.getTime() - b.usedAt.getTime());
    const caches = await mapConcurrently(found, cachesAtOnce, async ({ repositoryId, path, usedAt }) => ({
      id: repositoryId,
      last_used: usedAt.toISOString(),
      old: isUnused({ usedAt }, age),
      size: options.size ? await cacheSizeBytes(path) : undefined,
    }));
    session.print({ folder: root, caches }, () => {
      if (caches.length === 0) return [`no caches in ${root}`];
      const rows = caches.map(({ id, last_used: usedAt, old: isOld, size }) => [
        id.slice(0, 10),
        relativeTime(usedAt, session.now),
        isOld ? 'yes' : '',
        size === undefined ? '' : formatBytes(size),
      ]);
      const titles = [{ title: 'Repository' }, { title: 'Last used' }, { title: 'Old' }];
      return [
        ...tableLines([...titles, { title: 'Size', align: 'right' }], rows),
        `${counted(caches.length, 'cache')} in ${root}`,
      ];
    });
  });
};
