// The recovery kit as a text file. Pure.

import type { RecoveryKit } from '@varve/contract';
import type { Translate } from '../../i18n/messages.ts';

/** What is written into the file: everything needed to read the repository with restic alone. */
export function kitText(kit: RecoveryKit, t: Translate, date: string): string {
  const title = t('kit.fileTitle');
  return [
    title,
    '='.repeat(title.length),
    t('kit.fileDate', { date }),
    '',
    t('kit.fileWarning'),
    '',
    `${t('kit.location')}: ${kit.location}`,
    `${t('kit.repositoryPassword')}: ${kit.password}`,
    `${t('kit.repositoryId')}: ${kit.repositoryId}`,
    '',
    `${t('kit.commands')}:`,
    ...kit.commands.map((command) => `  ${command}`),
    '',
  ].join('\n');
}
