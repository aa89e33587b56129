// Waits until a server in a container takes ordinary sessions.

import { AppError, sleep } from '@varve/base';
import { runToEnd } from '@varve/postgres';
import type { DatabaseAccess } from './database-access.ts';

const pollMs = 500;
/** A server that listens on its socket only and does so this long is not in its first start any more. */
const socketOnlyMs = 20_000;

/**
 * The official image's first start runs a temporary server for its init scripts, which listens on the socket only and is
 * stopped again (docker-entrypoint.sh, docker_temp_server_start): an answer over TCP is what tells the real one. After
 * 20 s an answer on the socket alone counts as well. DATABASE_UNREACHABLE when the time is over.
 */
export async function waitForDatabase(
  access: DatabaseAccess,
  options: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<void> {
  const { signal, timeoutMs } = options;
  const start = performance.now();
  let socketSince: number | null = null;
  for (;;) {
    if (await answers(access, '127.0.0.1', signal)) return;
    const onSocket = await answers(access, undefined, signal);
    const now = performance.now();
    socketSince = onSocket ? (socketSince ?? now) : null;
    if (socketSince !== null && now - socketSince >= socketOnlyMs) return;
    if (now - start >= timeoutMs) {
      throw new AppError(
        'DATABASE_UNREACHABLE',
        `The database in container ${access.container?.name ?? access.target.host} does not answer after ${Math.round(timeoutMs / 1000)} s.`,
        {
          hint: 'Look at the log of the container.',
          retry: true,
        },
      );
    }
    await sleep(pollMs, { signal });
  }
}

async function answers(
  { runner, target }: DatabaseAccess,
  host: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  const where = host === undefined ? [] : ['--host', host];
  const port = target.port === undefined ? [] : ['--port', String(target.port)];
  try {
    const { exitCode } = await runToEnd(runner, {
      command: ['pg_isready', '--quiet', ...where, ...port],
      env: {},
      signal,
    });
    return exitCode === 0;
  } catch (error) {
    if (signal.aborted) throw error;
    // The container may restart between two questions.
    return false;
  }
}
