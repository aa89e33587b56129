// `varve doctor`: what is right and wrong with this installation and its host.

import { errorCodes } from '@varve/base';
import { examples, type AddCommand } from '../command.ts';
import { printable, styled } from '../output/text.ts';

const labels = { ok: 'ok', warning: 'warning', failed: 'FAILED' } as const;
const styles = { ok: 'green', warning: 'yellow', failed: 'red' } as const;

export const addDoctorCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('doctor')
    .description('look at what Varve needs on this host and say what is missing; exit code 1 when something failed')
    .addHelpText('after', examples(['All checks', 'varve doctor']));
  register(command, async (session) => {
    await using varve = await session.openVarve();
    const checks = await varve.doctor();
    session.print(checks, () =>
      checks.flatMap((check) => {
        const label = styled(session.io.out, styles[check.state], labels[check.state].padEnd(7));
        const line = `${label}  ${printable(check.name)}: ${printable(check.message)}`;
        return check.hint === null ? [line] : [line, `         ${printable(check.hint)}`];
      }),
    );
    return checks.some((check) => check.state === 'failed') ? errorCodes.INTERNAL.exit : 0;
  });
};
