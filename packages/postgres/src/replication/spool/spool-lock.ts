// One process per spool. The lock names its owner by process id and start time, so that a lock left by a crash, or a process id
// that was given to somebody else since (containers start again with 1), is recognised. Where the replication slot is used
// the server guards as well, also between machines.

import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError, systemErrorCode } from '@varve/base';

const lockFileName = 'spool.lock';

/** Takes the lock, in place of a dead owner's if there is one. Throws WAL_SPOOL_FAILED when a living process has it. */
export async function lockSpool(folder: string): Promise<AsyncDisposable> {
  const path = join(folder, lockFileName);
  const mark = `${process.pid} ${(await startTimeOf(process.pid)) ?? '-'}\n`;
  for (let attempt = 1; ; attempt++) {
    if (await claim(path, mark)) return { [Symbol.asyncDispose]: () => unlock(path, mark) };
    const owner = await livingOwner(path);
    if (owner !== undefined || attempt > 3) {
      throw new AppError('WAL_SPOOL_FAILED', `The spool ${folder} is in use by process ${owner ?? 'another'}.`, {
        hint: 'Only one receiver can write to a spool: stop the other one, or use another folder.',
        context: { folder, pid: owner },
      });
    }
    await rm(path, { force: true });
  }
}

/** By a link, so that the lock is never there without its mark. */
async function claim(path: string, mark: string): Promise<boolean> {
  const temporary = `${path}.${process.pid}`;
  await writeFile(temporary, mark, { mode: 0o600 });
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) !== 'EEXIST') throw error;
    return false;
  } finally {
    await rm(temporary, { force: true });
  }
}

async function unlock(path: string, mark: string): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => '')) === mark) await rm(path, { force: true });
}

async function livingOwner(path: string): Promise<number | undefined> {
  const [pidText = '', startTime = ''] = (await readFile(path, 'utf8').catch(() => '')).trim().split(' ');
  const pid = Number(pidText);
  if (!Number.isInteger(pid) || pid < 1) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (systemErrorCode(error) === 'ESRCH') return undefined;
  }
  const actual = await startTimeOf(pid);
  return actual !== undefined && startTime !== '-' && actual !== startTime ? undefined : pid;
}

/** Start of a process in clock ticks since boot: field 22 of proc(5)'s stat. Undefined where there is no /proc. */
async function startTimeOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined);
  // The name in parentheses may hold anything; what follows it are fields 3 and up.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
