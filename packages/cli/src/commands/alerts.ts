// `varve alerts`: what is wrong with the protection.

import type { Alert } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { tableLines } from '../output/table.ts';
import { timeForPeople } from '../output/time.ts';

export const addAlertsCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('alerts')
    .description('show what is wrong with the protection of the apps')
    .option('--all', 'closed alerts too')
    .addHelpText(
      'after',
      examples(['Open alerts', 'varve alerts'], ['Open and closed ones, as JSON', 'varve alerts --all --json']),
    );
  register(command, async (session) => {
    const { all } = command.opts<{ all?: boolean }>();
    await using varve = await session.openVarve();
    const alerts = await varve.listAlerts(all ? {} : { open: true });
    session.print(alerts, () => (alerts.length === 0 ? ['No open alerts.'] : alertLines(alerts, session.now)));
  });
};

function alertLines(alerts: readonly Alert[], now: Date): string[] {
  return tableLines(
    [{ title: 'APP' }, { title: 'ALERT' }, { title: 'STATE' }, { title: 'OPENED' }, { title: 'MESSAGE' }],
    alerts.map((alert) => [
      alert.appId ?? '-',
      alert.code,
      alert.closedAt === null ? 'open' : 'closed',
      timeForPeople(alert.openedAt, now),
      alert.notifyProblem === null ? alert.message : `${alert.message} (no e-mail: ${alert.notifyProblem})`,
    ]),
  );
}
