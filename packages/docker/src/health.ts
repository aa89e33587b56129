// Waits until containers are up: healthy where they have a healthcheck, else running without a restart for a while. A
// container that did its work and ended with 0 counts as up.

import { AppError, mapConcurrently, sleep } from '@varve/base';
import type { Connection } from './connection.ts';
import { containerFromInspect, type Container } from './container.ts';
import { logTail } from './control.ts';
import { inspectRaw } from './discovery.ts';

export interface WaitHealthyOptions {
  readonly timeoutMs: number;
  /** How long a container without healthcheck must have run without a restart. Default 3 s. */
  readonly steadyMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const pollMs = 250;
const maxParallel = 16;
const logLines = 20;

/** DOCKER_UNHEALTHY names the container, its state and its last log lines; DOCKER_NOT_FOUND when one is removed meanwhile. */
export async function waitHealthy(
  connection: Connection,
  ids: readonly string[],
  options: WaitHealthyOptions,
): Promise<void> {
  const deadline = performance.now() + options.timeoutMs;
  await mapConcurrently(ids, maxParallel, (id) => waitForOne(connection, id, deadline, options));
}

async function waitForOne(
  connection: Connection,
  id: string,
  deadline: number,
  options: WaitHealthyOptions,
): Promise<void> {
  const { signal, steadyMs = 3000 } = options;
  let steadyMark = '';
  let steadySince = 0;
  for (;;) {
    const container = containerFromInspect(await inspectRaw(connection, id, { signal }), undefined);
    const now = performance.now();
    const mark = `${container.state} ${container.startedAt} ${container.restartCount}`;
    if (mark !== steadyMark) {
      steadyMark = mark;
      steadySince = now;
    }
    const verdict = judge(container, now - steadySince >= steadyMs);
    if (verdict === 'up') return;
    if (verdict === 'down' || now >= deadline)
      throw await unhealthyError(connection, container, {
        isTimeout: verdict !== 'down',
        timeoutMs: options.timeoutMs,
      });
    await sleep(Math.min(pollMs, Math.max(1, deadline - now)), { signal });
  }
}

function judge(container: Container, isSteady: boolean): 'up' | 'down' | 'unsure' {
  if (container.state === 'dead' || container.state === 'removing') return 'down';
  if (container.state === 'exited') {
    if (
      container.exitCode === 0 &&
      container.restartPolicy !== 'always' &&
      container.restartPolicy !== 'unless-stopped'
    )
      return 'up';
    // With a restart policy the engine may be about to start it again.
    return container.restartPolicy === 'no' || isSteady ? 'down' : 'unsure';
  }
  if (container.state !== 'running') return 'unsure';
  // "unhealthy" may still turn: a database in recovery fails its first checks.
  if (container.hasHealthcheck) return container.health === 'healthy' ? 'up' : 'unsure';
  return isSteady ? 'up' : 'unsure';
}

async function unhealthyError(
  connection: Connection,
  container: Container,
  facts: { isTimeout: boolean; timeoutMs: number },
): Promise<AppError> {
  const log = await logTail(connection, container.id, { lines: logLines }).catch(() => '');
  const state = container.hasHealthcheck ? `${container.state}, ${container.health}` : container.state;
  const ending = facts.isTimeout
    ? `is not up after ${facts.timeoutMs / 1000} s`
    : `ended with exit code ${container.exitCode}`;
  return new AppError(
    'DOCKER_UNHEALTHY',
    `Container ${container.name} ${ending} (${state}).${log.trim() ? ` Its last lines:\n${log.trim()}` : ''}`,
    {
      hint: `Read its log: \`docker logs ${container.name}\`.`,
      context: {
        container: container.name,
        state: container.state,
        health: container.health,
        exitCode: container.exitCode,
        restartCount: container.restartCount,
      },
    },
  );
}
