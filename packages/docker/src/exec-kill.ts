// Stops a process that an exec started. The Engine API has no call for it, so: a second exec of the same user looks through
// /proc for the marker in the environment (children inherit it) and signals what it finds. Where the image has no shell, or
// the process changed its user, and the engine is on this host, the same search is made in the host's /proc.

import { readdir, readFile } from 'node:fs/promises';
import type { Exec } from 'dockerode';
import { sleep } from '@varve/base';
import { abortable, type Connection } from './connection.ts';

export interface KillTarget {
  readonly connection: Connection;
  readonly containerId: string;
  readonly exec: Exec;
  readonly marker: string;
  readonly user: string | undefined;
}

const graceMs = 2000;
export const execMarkerName = 'VARVE_EXEC';
// $1: signal, $2: marker. No output is needed; processes may vanish between the steps.
const script = `for d in /proc/[0-9]*; do if grep -qs "${execMarkerName}=$2" "$d/environ"; then kill -"$1" "\${d#/proc/}"; fi; done 2>/dev/null`;

/** SIGTERM, then SIGKILL after 2 s. True when the process is known to be gone. Throws nothing; takes at most some 10 s. */
export async function killExec(target: KillTarget): Promise<boolean> {
  for (const name of ['TERM', 'KILL'] as const) {
    await signalInside(target, name);
    if (await isGone(target)) return true;
  }
  await signalFromHost(target);
  return isGone(target);
}

async function signalInside(target: KillTarget, name: string): Promise<void> {
  try {
    const exec = await target.connection.docker.getContainer(target.containerId).exec({
      Cmd: ['sh', '-c', script, 'sh', name, target.marker],
      ...(target.user === undefined ? {} : { User: target.user }),
      ...abortable(AbortSignal.timeout(graceMs)),
    });
    await exec.start({ Detach: true, ...abortable(AbortSignal.timeout(graceMs)) });
  } catch {
    // No shell, stopped, paused: isGone and the next way decide.
  }
}

async function isGone(target: KillTarget): Promise<boolean> {
  const deadline = Date.now() + graceMs;
  for (let delayMs = 10; ; delayMs = Math.min(200, delayMs * 2)) {
    const state = await stateOf(target);
    if (state === 'gone') return true;
    if (Date.now() > deadline) return false;
    await sleep(delayMs);
  }
}

async function stateOf(target: KillTarget): Promise<'gone' | 'running' | 'unknown'> {
  try {
    const state = await target.exec.inspect(abortable(AbortSignal.timeout(graceMs)));
    return state.Running ? 'running' : 'gone';
  } catch {
    return 'unknown';
  }
}

/** The marker proves that a process is ours: /proc may be that of another machine or container. */
async function signalFromHost(target: KillTarget): Promise<void> {
  if (target.connection.endpoint.kind !== 'unix') return;
  const pids = (await readdir('/proc').catch(() => [])).map(Number).filter((pid) => pid > 1);
  for (const pid of pids) {
    // Unreadable ones belong to others or are gone.
    const environ = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
    if (!environ.split('\0').includes(`${execMarkerName}=${target.marker}`)) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // Ended meanwhile, or not ours to signal: isGone decides.
    }
  }
}
