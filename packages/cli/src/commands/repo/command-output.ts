// The output of a program as a stream that fails when the program does: what is saved of a program that failed would look
// like its whole output.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { AppError, cancelledError, messageOf } from '@varve/base';
import type { Session } from '../../session.ts';

const killAfterMs = 5_000;

/** Yields what the program writes. COMMAND_FAILED when it does not start or does not end with 0; CANCELLED ends it. */
export async function* commandOutput(session: Session, command: readonly string[]): AsyncGenerator<Uint8Array> {
  const [program = '', ...args] = command;
  const { cwd, env, err } = session.io;
  const { signal } = session;
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  child.stderr.setEncoding('utf8').on('data', (text: string) => err.write(text));
  const ended = once(child, 'close').then(
    ([code, killedBy]: unknown[]) => ({ code, killedBy }),
    (error: unknown) => ({ error }),
  );
  const stop = (): void => {
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), killAfterMs).unref();
  };
  signal.addEventListener('abort', stop, { once: true });
  try {
    for await (const bytes of child.stdout as AsyncIterable<Uint8Array>) yield bytes;
    const end = await ended;
    if (signal.aborted) throw cancelledError(signal);
    if ('error' in end) throw commandFailed(`${program} could not be started: ${messageOf(end.error)}`, end.error);
    if (end.code === 0) return;
    const how = typeof end.code === 'number' ? `exit code ${end.code}` : `signal ${String(end.killedBy)}`;
    throw commandFailed(`${program} ended with ${how}.`, undefined);
  } finally {
    signal.removeEventListener('abort', stop);
    // Whoever reads gave up.
    if (child.exitCode === null && child.signalCode === null) stop();
    await ended;
  }
}

function commandFailed(message: string, cause: unknown): AppError {
  return new AppError('COMMAND_FAILED', message, {
    hint: 'No snapshot was made. Its messages are above; repair it and try again.',
    cause,
  });
}
