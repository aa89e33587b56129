// The settings of the installation as lines for people.

import type { MaintenanceSettings, Settings } from '@varve/contract';

export function maintenanceFacts(settings: MaintenanceSettings): [string, string][] {
  const { prune, check, checkEveryDays, readDataDays } = settings;
  const data = readDataDays === 0 ? 'no data is read' : `all data is read within ${readDataDays} days`;
  return [
    [
      'Space of removed snapshots',
      prune ? 'given back by itself, once a day at most' : 'given back by varve prune only',
    ],
    ['Check of the repository', check ? `every ${checkEveryDays} days; ${data}` : 'by varve check only'],
  ];
}

export function emailFacts({ email, emailPasswordSet }: Settings): [string, string][] {
  if (!email.enabled) return [['E-mail', 'off']];
  const user = email.user === '' ? 'no user' : `as ${email.user}, ${emailPasswordSet ? 'with' : 'without'} a password`;
  return [
    [
      'E-mail',
      `alerts go to ${email.to.join(', ') || 'nobody'}, in ${email.language === 'es' ? 'Spanish' : 'English'}`,
    ],
    ['Mail server', `${email.host}:${email.port}, ${email.security}, ${user}`],
    ['Sender', email.from],
  ];
}
