// SIGKILL to all processes of a PostgreSQL server at once, as the kernel does when memory runs out or a machine goes down.

import { readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { PostgresServer } from '@varve/testing';

/** Resolves when none of them is left. It can be started again; crash recovery is then the server's business. */
export async function killServer({ dataDir }: Pick<PostgresServer, 'dataDir'>): Promise<void> {
  const [line] = (await readFile(join(dataDir, 'postmaster.pid'), 'utf8')).split('\n');
  const postmaster = Number(line);
  // It makes no more children from here on.
  process.kill(postmaster, 'SIGSTOP');
  const pids = [postmaster, ...(await childrenOf(postmaster))];
  for (const pid of pids) signal(pid, 'SIGKILL');
  for (const pid of pids) while (await isRunning(pid)) await wait(5);
  // Their ids may be those of zombies for long, in a container whose first process reaps none: after a boot they are not.
  await rm(join(dataDir, 'postmaster.pid'));
  for (const name of await readdir(dirname(dataDir)))
    if (/^\.s\.PGSQL\.\d+\.lock$/.test(name)) await rm(join(dirname(dataDir), name));
}

async function isRunning(pid: number): Promise<boolean> {
  const [state] = await statOf(pid);
  return state !== undefined && state !== '' && state !== 'Z';
}

/** State, parent and the rest; the name before them may hold anything, but its last parenthesis is the last one. */
async function statOf(pid: number): Promise<string[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

async function childrenOf(parent: number): Promise<number[]> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger);
  const parents = await Promise.all(pids.map(async (pid) => Number((await statOf(pid))[1])));
  return pids.filter((_, index) => parents[index] === parent);
}

/** A process that has ended by itself is none to kill. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
