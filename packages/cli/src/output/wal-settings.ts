// What a server needs so that its log comes into a folder, for people.

import type { WalSettings } from '@varve/contract';
import { printable } from './text.ts';

export function walSettingsLines(appId: string, settings: WalSettings): string[] {
  const { component, directory, lines, needsRestart, obstacles } = settings;
  const restart =
    needsRestart === false
      ? 'Then: SELECT pg_reload_conf(); archive_mode is on already, so no restart is needed.'
      : 'Then restart the server: archive_mode is read at its start only. Varve does not do that for you.';
  const found = obstacles.flatMap(({ severity, message, hint }) => [
    `${severity === 'blocks' ? 'missing' : 'note'}: ${message}. ${hint}`,
  ]);
  const end =
    needsRestart === null
      ? ['The server could not be asked what it has of this.']
      : [obstacles.length === 0 ? 'The server has all of this.' : ''].filter(Boolean);
  return [
    `For ${appId}/${component}: a folder at ${directory} (as the server sees it) that belongs to the server's user, and in postgresql.conf:`,
    '',
    ...lines.map((line) => `  ${line}`),
    '',
    restart,
    'In a Compose file each $ of the command is written as $$.',
    'archive_timeout is how far the repository may be behind a quiet database.',
    ...found.map((line) => printable(line)),
    ...end,
  ];
}

/** What is to be done on a server whose log is not taken from its folder any more. */
export function leftFolderLines(directories: readonly string[]): string[] {
  return directories.map((directory) =>
    printable(
      `Its server still copies log into ${directory}, and nobody takes it from there. Set archive_command = '/bin/true' and reload, or archive_mode = off and restart the server. An empty archive_command would make it keep all log.`,
    ),
  );
}
