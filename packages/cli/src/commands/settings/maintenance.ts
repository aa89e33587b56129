// `varve settings maintenance`: what the server does for the repository by itself.

import { Option } from 'commander';
import { examples, type AddCommand } from '../../command.ts';
import { wholeNumber } from '../../options/numbers.ts';
import { parseInput } from '../../options/parse-input.ts';
import { maintenanceFacts } from '../../output/settings.ts';
import { factLines } from '../../output/table.ts';

interface Options {
  readonly prune?: 'on' | 'off';
  readonly check?: 'on' | 'off';
  readonly checkEveryDays?: number;
  readonly readDataDays?: number;
}

export const addMaintenanceCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('maintenance')
    .description('show what the server does for the repository by itself, or change the parts that options name')
    .addOption(
      new Option('--prune <on|off>', 'give back the space of removed snapshots, once a day at most').choices([
        'on',
        'off',
      ]),
    )
    .addOption(new Option('--check <on|off>', 'check the repository').choices(['on', 'off']))
    .option('--check-every-days <n>', 'how often it is checked', wholeNumber({ min: 1, max: 90 }))
    .option(
      '--read-data-days <n>',
      'all data is read within so many days, a part with each check; 0: never',
      wholeNumber({ min: 0, max: 3650 }),
    )
    .addHelpText(
      'after',
      examples(
        ['Show them', 'varve settings maintenance'],
        [
          'A check a month, all data once a year',
          'varve settings maintenance --check-every-days 30 --read-data-days 360',
        ],
      ),
    );
  register(command, async (session) => {
    const { prune, check, checkEveryDays, readDataDays } = command.opts<Options>();
    const change = {
      ...(prune === undefined ? {} : { prune: prune === 'on' }),
      ...(check === undefined ? {} : { check: check === 'on' }),
      ...(checkEveryDays === undefined ? {} : { checkEveryDays }),
      ...(readDataDays === undefined ? {} : { readDataDays }),
    };
    await using varve = await session.openVarve();
    const current = await varve.getSettings();
    const { maintenanceSettingsSchema } = await import('@varve/contract');
    const { maintenance } =
      Object.keys(change).length === 0
        ? current
        : await varve.updateSettings({
            maintenance: parseInput(maintenanceSettingsSchema, { ...current.maintenance, ...change }),
          });
    session.print(maintenance, () => factLines(maintenanceFacts(maintenance)));
  });
};
