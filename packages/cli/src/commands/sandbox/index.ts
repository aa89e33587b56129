// `varve sandbox …`: servers beside the apps that recoveries have made.

import { examples, type AddCommand } from '../../command.ts';
import { sandboxLines, sandboxTable } from '../../output/recovery-plan.ts';

export const addSandboxCommands: AddCommand = (parent, register) => {
  const group = parent
    .command('sandbox')
    .description('list, promote and remove the sandboxes that were made by varve restore --sandbox')
    .addHelpText(
      'after',
      examples(
        ['Make one', 'varve restore shop --to "2026-11-25 14:30:05+01:00" --sandbox'],
        ['Which there are', 'varve sandbox list'],
      ),
    );
  const list = group.command('list').description('list the sandboxes, the newest first');
  register(list, async (session) => {
    await using varve = await session.openVarve();
    const sandboxes = await varve.listSandboxes();
    session.print(sandboxes, () => (sandboxes.length === 0 ? ['No sandboxes.'] : sandboxTable(sandboxes, session.now)));
  });
  const promote = group
    .command('promote')
    .description('end the pause of a sandbox: from then on it takes changes')
    .argument('<id>', 'id of the sandbox');
  register(promote, async (session) => {
    await using varve = await session.openVarve();
    const sandbox = await varve.promoteSandbox(promote.args[0] ?? '');
    session.print(sandbox, () => sandboxLines(sandbox));
  });
  const remove = group
    .command('remove')
    .description('stop the server of a sandbox and delete all of it')
    .argument('<id>', 'id of the sandbox')
    .option('-y, --yes', 'do not ask');
  register(remove, async (session) => {
    const { yes } = remove.opts<{ yes?: boolean }>();
    const id = remove.args[0] ?? '';
    session.assertCanConfirm(yes ?? false);
    await using varve = await session.openVarve();
    await session.confirm({ yes: yes ?? false, question: `Delete the sandbox ${id} and what was changed in it?` });
    await varve.removeSandbox(id);
    session.print({ removed: id }, () => [`The sandbox ${id} is removed.`]);
  });
};
