// Binds the process's streams and signals to runCli and ends with its exit code.

import { errorCodes } from '@varve/base';
import { textOutput, type Io } from './io.ts';
import { runCli } from './run.ts';
import { cancelOnSignals } from './signals.ts';

/** Runs the command line of this process. */
export async function runProcess(): Promise<never> {
  const out = textOutput(process.stdout, process.env);
  const err = textOutput(process.stderr, process.env);
  const io: Io = { env: process.env, cwd: process.cwd(), stdin: process.stdin, out, err };

  using cancellation = cancelOnSignals({
    onFirst: () => {
      if (err.isTerminal) err.write('\nStopping cleanly … press Ctrl-C again to stop at once.\n');
    },
    onSecond: () => process.exit(errorCodes.CANCELLED.exit),
  });

  const exitCode = await runCli({ argv: process.argv.slice(2), io, signal: cancellation.signal });
  await new Promise<void>((resolve) => {
    if (out.isClosed) resolve();
    else process.stdout.write('', () => resolve());
  });
  process.exit(exitCode);
}
