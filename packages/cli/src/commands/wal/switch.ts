// `varve wal on APP`, `varve wal off APP`: whether the log of an app's databases is captured; `varve wal settings APP`: what a server
// needs for that where it is not streamed.

import type { Varve } from '@varve/app';
import type { WalArchive } from '@varve/contract';
import { leftFolderLines, walSettingsLines } from '../../output/wal-settings.ts';
import { addArchiveOptions, archiveFromOptions, type ArchiveOptions } from '../../options/archive-options.ts';
import { examples, type AddCommand } from '../../command.ts';

export const addSwitchCommands: AddCommand = (parent, register) => {
  const on = parent
    .command('on')
    .description('capture the log of the databases of an app, so that they can be brought back to any second')
    .argument('<app>', 'id of the app')
    .argument('[database]', 'name of one of its databases; all of them when absent');
  addArchiveOptions(on);
  on.addHelpText(
    'after',
    `
Refused when a server cannot be captured: wal_level minimal, no REPLICATION attribute, no free slot. It is captured while
varve server runs. To recover, base backups are needed too (--database-method base).

Where no replication connection can be had, the server's own archive_command copies the log into a folder, and Varve takes it
from there: varve wal settings shows the lines that the server needs. archive_mode needs a restart of the server, which
Varve never does.
${examples(
  ['All databases of an app', 'varve wal on shop'],
  ['Through a folder that is mounted at /wal-archive', 'varve wal on shop --archive-directory /wal-archive'],
)}`,
  );
  register(on, async (session) => {
    const archive = await archiveFromOptions(on.opts<ArchiveOptions>());
    await using varve = await session.openVarve();
    const before = await foldersOf(varve, on.args);
    const app = await setCapture(varve, on.args, { enabled: true, archive });
    session.print(app, () => [
      `The log of ${app.id} is captured while varve server runs. See: varve wal status ${app.id}`,
      ...leftFolderLines(before.filter((directory) => directory !== archive?.directory)),
    ]);
  });
  const settings = parent
    .command('settings')
    .description('show what a server needs so that its log comes into a folder by archive_command, and what is missing')
    .argument('<app>', 'id of the app')
    .argument('[database]', 'name of one of its databases, when there are several');
  addArchiveOptions(settings);
  settings.addHelpText(
    'after',
    `
Changes nothing. The folder has to belong to the user that the server runs as; in a container it is a mount of its own.
${examples(['Before it is turned on', 'varve wal settings shop --archive-directory /wal-archive'])}`,
  );
  register(settings, async (session) => {
    const archive = await archiveFromOptions(settings.opts<ArchiveOptions>());
    const [appId = '', component] = settings.args;
    await using varve = await session.openVarve();
    const found = await varve.walSettings(appId, { component, archive });
    session.print(found, () => walSettingsLines(appId, found));
  });
  const off = parent
    .command('off')
    .description('capture it no longer; the slot is dropped, what is in the repository stays')
    .argument('<app>', 'id of the app')
    .argument('[database]', 'name of one of its databases; all of them when absent')
    .addHelpText('after', examples(['All databases of an app', 'varve wal off shop']));
  register(off, async (session) => {
    await using varve = await session.openVarve();
    const before = await foldersOf(varve, off.args);
    const app = await setCapture(varve, off.args, { enabled: false });
    session.print(app, () => [
      `The log of ${app.id} is not captured any more. What was captured stays in the repository.`,
      ...leftFolderLines(before),
    ]);
  });
};

function setCapture(
  varve: Varve,
  [appId = '', component]: readonly string[],
  change: { readonly enabled: boolean; readonly archive?: WalArchive | undefined },
) {
  return varve.setWalCapture(appId, { ...change, component });
}

/** Folders through which the log of these databases comes now. */
async function foldersOf(varve: Varve, [appId = '', component]: readonly string[]): Promise<string[]> {
  const captures = await varve.listWalCaptures(appId);
  return captures.flatMap((capture) =>
    capture.archive && (component === undefined || capture.component === component) ? [capture.archive.directory] : [],
  );
}
