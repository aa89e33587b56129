// `varve app list`: all apps with their protection.

import { formatBytes } from '@varve/base';
import { examples, type AddCommand } from '../../command.ts';
import { protectionSentence } from '../../output/protection.ts';
import { tableLines } from '../../output/table.ts';
import { relativeTime } from '../../output/time.ts';

export const addListCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('list')
    .alias('ls')
    .description('list the apps and how well each is protected')
    .addHelpText('after', examples(['All apps', 'varve app list']));
  register(command, async (session) => {
    await using varve = await session.openVarve();
    const overviews = await varve.listApps();
    session.print(overviews, () =>
      overviews.length === 0
        ? ['No app is protected yet. Find some: varve app discover']
        : tableLines(
            [
              { title: 'APP' },
              { title: 'SNAPSHOTS', align: 'right' },
              { title: 'SIZE', align: 'right' },
              { title: 'NEXT' },
              { title: 'PROTECTION' },
            ],
            overviews.map((overview) => [
              overview.app.id,
              String(overview.protection.snapshotCount),
              overview.bytes === null ? '-' : formatBytes(overview.bytes),
              overview.protection.nextRunAt === null ? '-' : relativeTime(overview.protection.nextRunAt, session.now),
              protectionSentence(overview, session.now),
            ]),
          ),
    );
  });
};
