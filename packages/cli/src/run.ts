// Runs one command line from its parameters to its exit code. Nothing is thrown.

import { AppError } from '@varve/base';
import { CommanderError } from 'commander';
import type { Io } from './io.ts';
import { reportError } from './output/errors.ts';
import { buildProgram, outcomeOf } from './program.ts';

export interface RunOptions {
  /** Without the program and script. */
  readonly argv: readonly string[];
  readonly io: Io;
  /** Aborts the command, which cleans up and ends with exit code 130. */
  readonly signal: AbortSignal;
}

/** Yields the exit code that docs/errors.md lists. */
export async function runCli(options: RunOptions): Promise<number> {
  const { argv, io, signal } = options;
  let exitCode = 0;
  try {
    const program = buildProgram({
      argv,
      io,
      signal,
      onResult: (result) => {
        exitCode = result;
      },
    });
    await program.parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    const outcome = error instanceof CommanderError ? outcomeOf(error) : error;
    if (typeof outcome === 'number') return outcome;
    return reportError(interruption(outcome, signal), { output: io.err, json: argv.includes('--json') });
  }
}

/** What fails because the user interrupted it is an interruption. */
function interruption(error: unknown, signal: AbortSignal): unknown {
  const isAbort = error instanceof Error && error.name === 'AbortError';
  return signal.aborted && isAbort ? new AppError('CANCELLED', 'Interrupted.') : error;
}
