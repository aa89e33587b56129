// Who runs a job: a process, named so exactly that another process can tell for sure whether it still lives. A process id
// alone is reused, so its start time and the boot are part of the name; inside another PID namespace (a container) the id
// means nothing, and only the lease tells.

import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';

export interface ProcessOwner {
  /** machine-id, or the host's name where there is none. */
  readonly host: string;
  /** Id of this boot; empty where the system does not tell. */
  readonly boot: string;
  /** PID namespace; empty where there are none. */
  readonly namespace: string;
  readonly pid: number;
  /** Start of the process in clock ticks since boot; empty where the system does not tell. */
  readonly startedAt: string;
}

function readLine(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

/** Field 22 of /proc/PID/stat, proc_pid_stat(5); the name in field 2 may hold spaces and brackets. Empty: no such process. */
function startTicks(pid: number | 'self'): string {
  const text = readLine(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const isZombie = fields[0] === 'Z' || fields[0] === 'X';
  return isZombie ? '' : (fields[19] ?? '');
}

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

/** This process. */
export function currentOwner(): ProcessOwner {
  return {
    host: readLine('/etc/machine-id') || hostname(),
    boot: readLine('/proc/sys/kernel/random/boot_id'),
    namespace: pidNamespace(),
    pid: process.pid,
    startedAt: startTicks('self'),
  };
}

/** Parses an owner from the catalogue; an unreadable one is nobody on no host. */
export function parseOwner(text: string): ProcessOwner {
  const value = JSON.parse(text) as Partial<Record<keyof ProcessOwner, unknown>>;
  const textOf = (part: unknown): string => (typeof part === 'string' ? part : '');
  return {
    host: textOf(value.host),
    boot: textOf(value.boot),
    namespace: textOf(value.namespace),
    pid: typeof value.pid === 'number' ? value.pid : 0,
    startedAt: textOf(value.startedAt),
  };
}

export function sameOwner(a: ProcessOwner, b: ProcessOwner): boolean {
  return (
    a.host === b.host &&
    a.boot === b.boot &&
    a.namespace === b.namespace &&
    a.pid === b.pid &&
    a.startedAt === b.startedAt
  );
}

function signalReaches(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

/**
 * Whether an owner's process has ended. `unknown` when it runs where this process cannot look (another host, another PID
 * namespace): then its lease decides.
 */
export function ownerState(owner: ProcessOwner, me: ProcessOwner): 'alive' | 'dead' | 'unknown' {
  if (sameOwner(owner, me)) return 'alive';
  if (owner.host !== me.host) return 'unknown';
  if (owner.boot !== '' && me.boot !== '' && owner.boot !== me.boot) return 'dead';
  if (owner.namespace !== me.namespace) return 'unknown';
  if (owner.startedAt === '' || me.startedAt === '') return signalReaches(owner.pid) ? 'unknown' : 'dead';
  return startTicks(owner.pid) === owner.startedAt ? 'alive' : 'dead';
}
