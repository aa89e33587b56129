// `varve recovery-kit`: all that is needed to read the repository without Varve.

import { examples, type AddCommand } from '../command.ts';
import { factLines } from '../output/table.ts';

export const addRecoveryKitCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('recovery-kit')
    .description('print location and password of the repository; keep them away from this machine')
    .option('--confirm', 'say that the kit is stored elsewhere, so that Varve stops reminding')
    .addHelpText(
      'after',
      examples(['Print it', 'varve recovery-kit'], ['Say that it is stored elsewhere', 'varve recovery-kit --confirm']),
    );
  register(command, async (session) => {
    const { confirm } = command.opts<{ confirm?: boolean }>();
    await using varve = await session.openVarve();
    if (confirm) {
      await varve.confirmRecoveryKit();
      session.print({ confirmed: true }, () => ['Noted: the recovery kit is stored elsewhere.']);
      return;
    }
    const kit = await varve.recoveryKit();
    session.print(kit, () => [
      'Recovery kit of this Varve installation. Whoever has it can read every backup: store it safely, not on this machine.',
      '',
      ...factLines([
        ['Repository', kit.location],
        ['Repository id', kit.repositoryId],
        ['Password', kit.password],
      ]),
      '',
      'Without Varve, restic reads it:',
      ...kit.commands.map((line) => `  ${line}`),
    ]);
  });
};
