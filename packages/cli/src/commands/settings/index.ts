// `varve settings …`: what holds for the whole installation.

import type { Settings } from '@varve/contract';
import { examples, type AddCommand } from '../../command.ts';
import { factLines } from '../../output/table.ts';
import { emailFacts, maintenanceFacts } from '../../output/settings.ts';
import { addEmailCommand } from './email.ts';
import { addMaintenanceCommand } from './maintenance.ts';

export const addSettingsCommands: AddCommand = (parent, register) => {
  const group = parent
    .command('settings')
    .description('what holds for the whole installation: care of the repository, e-mail')
    .addHelpText(
      'after',
      examples(
        ['All of them', 'varve settings show'],
        ['Read all data once a quarter', 'varve settings maintenance --read-data-days 90'],
      ),
    );
  const show = group
    .command('show')
    .description('show all settings')
    .addHelpText('after', examples(['All settings', 'varve settings show'], ['As JSON', 'varve settings show --json']));
  register(show, async (session) => {
    await using varve = await session.openVarve();
    const settings = await varve.getSettings();
    session.print(settings, () => settingsLines(settings));
  });
  addMaintenanceCommand(group, register);
  addEmailCommand(group, register);
};

function settingsLines(settings: Settings): string[] {
  return factLines([...maintenanceFacts(settings.maintenance), ...emailFacts(settings)]);
}
