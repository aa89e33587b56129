// Tells live processes from dead ones, in containers too: by the kernel's run, the space of process ids, and the start time.

import { readFile, readlink } from 'node:fs/promises';
import { uptime } from 'node:os';
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
  /** See {@link LockOwnerOptions}. */
  readonly isRunning?: LockOwnerOptions['isRunning'];
}

/** A process that wrote a lock. */
export interface LockProcess {
  readonly boot: string;
  readonly pidSpace: string;
  readonly pid: number;
  readonly started: string;
}

/** Who takes locks, so that those of its own dead processes are recognised. */
export interface LockOwnerOptions {
  /** Names the installation, the same across restarts and containers. Without it only dead processes of this boot are known. */
  readonly ownerId?: string | undefined;
  /** Stable host name for the lock file; the system's when absent. */
  readonly hostname?: string | undefined;
  /**
   * Whether a process of this installation, on this host and in this run of the system, but in another space of process ids
   * (another container), is running. MUST say so of every one that may still hold a lock. Without it all count as running.
   */
  readonly isRunning?: ((process: LockProcess) => Promise<boolean>) | undefined;
}

/** restic's limit: a lock that nobody refreshed for so long belongs to nobody. */
export const staleAfterMs = 30 * 60 * 1000;

/**
 * This process. `ownerId` names the installation, whose processes all run on one host; without it, only locks from this very
 * run of the system are ever recognised as dead.
 */
export async function thisProcess(options: LockOwnerOptions = {}): Promise<LockIdentity> {
  const { hostname, username } = systemIdentity();
  const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '')).trim();
  const pidSpace = await readlink('/proc/self/ns/pid').catch(() => '');
  const started = (await startTime('self')) ?? '';
  const id = options.ownerId ?? `${boot}/${pidSpace}`;
  return {
    hostname: options.hostname ?? hostname,
    username,
    pid: process.pid,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    owner: { id, boot, pidSpace, started },
    isRunning: options.isRunning,
  };
}

/**
 * Whether a lock is from a process of our own installation that is certainly dead: it has our owner id and host name, and the
 * system has been restarted since it was written, or the process is gone (or its pid is another's now), or nobody refreshed it
 * for 30 minutes. A lock that is younger than this run of the system and says that it is from another one was written by a copy
 * of the machine that runs elsewhere.
 */
export async function isOwnDeadLock(
  lock: LockInfo,
  self: LockIdentity,
  ages: { readonly ageMs: number; /** Of the system; asked of it when absent. */ readonly uptimeMs?: number },
): Promise<boolean> {
  const { owner } = lock;
  if (!owner || owner.id !== self.owner.id || lock.hostname !== self.hostname) return false;
  if (owner.boot === '' || owner.pidSpace === '' || self.owner.boot === '') return false;
  if (ages.ageMs > staleAfterMs) return true;
  if (owner.boot !== self.owner.boot) return ages.ageMs > (ages.uptimeMs ?? uptime() * 1000);
  if (owner.pidSpace !== self.owner.pidSpace) {
    const { boot, pidSpace, started } = owner;
    return self.isRunning !== undefined && !(await self.isRunning({ boot, pidSpace, pid: lock.pid, started }));
  }
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

/**
 * Field 22 of /proc/<pid>/stat; null when there is no such process, or it is dead and only waits to be noticed. The command's
 * name may contain anything.
 */
async function startTime(pid: number | 'self'): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null);
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? null);
}
