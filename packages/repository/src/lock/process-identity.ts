// Tells live processes from dead ones, in containers too: by the kernel's run, the space of process ids, and the start time.

import { readFile, readlink } from 'node:fs/promises';
import { systemIdentity } from '../store/identity.ts';
import type { LockInfo, LockOwner } from './lock-file.ts';

/** The process that takes locks. */
export interface LockIdentity {
  readonly hostname: string;
  readonly username: string;
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly owner: LockOwner;
}

/** restic's limit: a lock that nobody refreshed for so long belongs to nobody. */
export const staleAfterMs = 30 * 60 * 1000;

/**
 * This process. `ownerId` names the installation, the same across restarts and containers (give one that only one running
 * process uses); without it, only locks from this very run of the system are ever recognised as dead.
 */
export async function thisProcess(
  options: { readonly ownerId?: string | undefined; readonly hostname?: string | undefined } = {},
): Promise<LockIdentity> {
  const { hostname, username } = systemIdentity();
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
  const pidSpace = await readlink('/proc/self/ns/pid').catch(() => '');
  const started = (await startTime(process.pid)) ?? '';
  const id = options.ownerId ?? `${boot}/${pidSpace}`;
  return {
    hostname: options.hostname ?? hostname,
    username,
    pid: process.pid,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    owner: { id, boot, pidSpace, started },
  };
}

/**
 * Whether a lock is from a process of our own installation that is certainly dead: it has our owner id and host name, and the
 * system has been restarted, or the process is gone (or its pid is another's now), or nobody refreshed it for 30 minutes.
 */
export async function isOwnDeadLock(
  lock: LockInfo,
  self: LockIdentity,
  ages: { readonly ageMs: number },
): Promise<boolean> {
  const { owner } = lock;
  if (!owner || owner.id !== self.owner.id || lock.hostname !== self.hostname) return false;
  if (owner.boot === '' || owner.pidSpace === '' || self.owner.boot === '') return false;
  if (ages.ageMs > staleAfterMs) return true;
  if (owner.boot !== self.owner.boot) return true;
  if (owner.pidSpace !== self.owner.pidSpace) return false;
  return (await startTime(lock.pid)) !== owner.started;
}

/** restic's rule for `unlock`: older than 30 minutes, or of this host and a process that is not there. */
export function isStaleLock(lock: LockInfo, self: LockIdentity, ages: { readonly ageMs: number }): boolean {
  if (ages.ageMs > staleAfterMs) return true;
  return lock.hostname === self.hostname && !isAlive(lock.pid);
}

function isAlive(pid: number): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/** Field 22 of /proc/<pid>/stat; null when there is no such process. The command's name may contain anything. */
async function startTime(pid: number): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
}
