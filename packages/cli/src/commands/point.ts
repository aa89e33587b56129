// `varve point APP NAME`: a named restore point in the log of a captured database.

import { AppError, isAppError } from '@varve/base';
import type { Varve } from '@varve/app';
import type { MadeRestorePoint } from '@varve/contract';
import { examples, type AddCommand } from '../command.ts';
import { parseInput } from '../options/parse-input.ts';
import { wholeNumber } from '../options/numbers.ts';
import { printable } from '../output/text.ts';
import type { Session } from '../session.ts';

interface Options {
  readonly database?: string;
  readonly wait?: number | true;
}

const defaultWaitSeconds = 300;

export const addPointCommand: AddCommand = (parent, register) => {
  const command = parent
    .command('point')
    .description('write a named point into the log of a database, to which it can be brought back')
    .argument('<app>', 'id of the app')
    .argument('<name>', 'name of the point, e.g. "before import"; up to 63 bytes')
    .option('--database <name>', 'the database; needed when several are captured')
    .option(
      '--wait [seconds]',
      `until the point is in the repository; ${defaultWaitSeconds} s unless given`,
      wholeNumber({ min: 1, max: 86_400 }),
    )
    .addHelpText('after', examples(['Before something risky', 'varve point shop "before import" --wait']));
  register(command, async (session) => {
    const { newRestorePointSchema } = await import('@varve/contract');
    const { database, wait } = command.opts<Options>();
    const [appId = '', name = ''] = command.args;
    const wanted = { name, ...(database === undefined ? {} : { component: database }) };
    const input = parseInput(newRestorePointSchema, wanted);
    await using varve = await session.openVarve();
    const point = await varve.createRestorePoint(appId, input, { signal: session.signal });
    if (wait !== undefined) {
      session.say(`The server has written the point at ${point.lsn}. Waiting until it is in the repository …`);
      await waitFor(session, varve, { appId, point, seconds: wait === true ? defaultWaitSeconds : wait });
    }
    session.print({ ...point, stored: wait !== undefined }, () => [
      `Point "${printable(point.name)}" of ${point.component}: ${point.lsn}, ${point.at}, timeline ${point.timeline}.`,
      wait === undefined
        ? 'It can be recovered to once it is in the repository: varve timeline shows it then.'
        : 'It is in the repository.',
    ]);
    return 0;
  });
};

/** RESULT_PARTIAL when it takes longer: the point is made, but not stored. */
async function waitFor(
  session: Session,
  varve: Varve,
  options: { readonly appId: string; readonly point: MadeRestorePoint; readonly seconds: number },
): Promise<void> {
  const { appId, point, seconds } = options;
  const limit = AbortSignal.timeout(seconds * 1000);
  try {
    await varve.waitForRestorePoint(appId, point, { signal: AbortSignal.any([session.signal, limit]) });
  } catch (error) {
    if (session.signal.aborted || !limit.aborted || !isAppError(error, 'CANCELLED')) throw error;
    throw new AppError(
      'RESULT_PARTIAL',
      `The point at ${point.lsn} was made, and is not in the repository after ${seconds} s.`,
      { hint: 'It comes when the log is captured up to there: is a Varve server running? See varve timeline.' },
    );
  }
}
