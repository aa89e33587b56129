// `varve wal on APP`, `varve wal off APP`: whether the log of an app's databases is captured.

import type { Varve } from '@varve/app';
import { examples, type AddCommand } from '../../command.ts';

export const addSwitchCommands: AddCommand = (parent, register) => {
  const on = parent
    .command('on')
    .description('capture the log of the databases of an app, so that they can be brought back to any second')
    .argument('<app>', 'id of the app')
    .argument('[database]', 'name of one of its databases; all of them when absent')
    .addHelpText(
      'after',
      `
Refused when a server cannot be captured: wal_level minimal, no REPLICATION attribute, no free slot. It is captured while
varve server runs. To recover, base backups are needed too (--database-method base).
${examples(['All databases of an app', 'varve wal on shop'])}`,
    );
  register(on, async (session) => {
    await using varve = await session.openVarve();
    const app = await setCapture(varve, on.args, true);
    session.print(app, () => [
      `The log of ${app.id} is captured while varve server runs. See: varve wal status ${app.id}`,
    ]);
  });
  const off = parent
    .command('off')
    .description('capture it no longer; the slot is dropped, what is in the repository stays')
    .argument('<app>', 'id of the app')
    .argument('[database]', 'name of one of its databases; all of them when absent')
    .addHelpText('after', examples(['All databases of an app', 'varve wal off shop']));
  register(off, async (session) => {
    await using varve = await session.openVarve();
    const app = await setCapture(varve, off.args, false);
    session.print(app, () => [
      `The log of ${app.id} is not captured any more. What was captured stays in the repository.`,
    ]);
  });
};

function setCapture(varve: Varve, [appId = '', component]: readonly string[], enabled: boolean) {
  return varve.setWalCapture(appId, { enabled, component });
}
