// `varve app remove APP`: stops protecting an app; its snapshots stay in the repository.

import { examples, type AddCommand } from '../../command.ts';

export const addRemoveCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('remove')
    .description('stop protecting an app; its snapshots stay in the repository')
    .argument('<app>', 'id of the app')
    .option('-y, --yes', 'do not ask')
    .addHelpText('after', examples(['Without a question', 'varve app remove shop --yes']));
  register(command, async (session) => {
    const appId = command.args[0] ?? '';
    const { yes } = command.opts<{ yes?: boolean }>();
    await using varve = await session.openVarve();
    await varve.getApp(appId);
    await session.confirm({ yes: yes ?? false, question: `Stop protecting ${appId}? Its snapshots stay.` });
    await varve.removeApp(appId);
    session.print({ removed: appId }, () => [`${appId} is no longer protected. Its snapshots stay in the repository.`]);
  });
};
