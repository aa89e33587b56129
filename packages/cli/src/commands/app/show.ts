// `varve app show APP`: one app, its components, policy and protection.

import { formatBytes } from '@varve/base';
import type { AppOverview } from '@varve/contract';
import { examples, type AddCommand } from '../../command.ts';
import { componentLine } from '../../output/component.ts';
import { policyFacts } from '../../output/policy.ts';
import { protectionSentence } from '../../output/protection.ts';
import { factLines } from '../../output/table.ts';
import { timeForPeople } from '../../output/time.ts';

export const addShowCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('show')
    .description('show an app: what is saved of it, when, and how well it is protected')
    .argument('<app>', 'id of the app')
    .addHelpText('after', examples(['One app', 'varve app show shop']));
  register(command, async (session) => {
    await using varve = await session.openVarve();
    const overview = await varve.getApp(command.args[0] ?? '');
    session.print(overview, () => overviewLines(overview, session.now));
  });
};

function overviewLines(overview: AppOverview, now: Date): string[] {
  const { app, protection, bytes } = overview;
  const time = (value: string | null): string => (value === null ? '-' : timeForPeople(value, now));
  return [
    ...factLines([
      ['App', app.id === app.name ? app.id : `${app.id} (${app.name})`],
      [
        'Kind',
        app.origin.type === 'docker' ? `Docker project ${app.origin.project}` : 'folders and databases of this host',
      ],
      ['Protection', protectionSentence(overview, now)],
      ['Snapshots', String(protection.snapshotCount)],
      ['Last snapshot', time(protection.lastSnapshotAt)],
      ['Oldest snapshot', time(protection.oldestSnapshotAt)],
      ['Next snapshot', time(protection.nextRunAt)],
      ['Size', bytes === null ? '-' : formatBytes(bytes)],
      ['Added', time(app.createdAt)],
      ...policyFacts(app.policy),
    ]),
    'Components:',
    ...app.components.map((component) => `  ${componentLine(component)}`),
  ];
}
