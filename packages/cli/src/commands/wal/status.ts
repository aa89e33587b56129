// `varve wal status [APP]`: how the capture of databases stands.

import { examples, type AddCommand } from '../../command.ts';
import { walCaptureLines } from '../../output/wal-captures.ts';

export const addStatusCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('status')
    .description('show how the capture of the databases of apps stands: how far, how late, what is wrong')
    .argument('[app]', 'id of an app; all of them when absent')
    .addHelpText('after', examples(['All databases that are captured', 'varve wal status']));
  register(command, async (session) => {
    await using varve = await session.openVarve();
    const captures = await varve.listWalCaptures(command.args[0]);
    session.print(captures, () => walCaptureLines(captures, session.now));
  });
};
