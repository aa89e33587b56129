// Lock files: who uses the repository, and whether alone (restic design.rst, "Locks"). Ours have one more field, which restic
// ignores: it tells which process wrote the lock, so that a dead one's can be recognised with certainty.

import { parseJsonObject, encodeGoJson } from '../store/go-json.ts';
import { parseGoTime } from '../store/go-time.ts';

/** Which process wrote a lock, beyond host name and pid, which mean little among containers. */
export interface LockOwner {
  /** The installation that the process belongs to. */
  readonly id: string;
  /** The run of the system's kernel. */
  readonly boot: string;
  /** The space of process ids that `pid` is from. */
  readonly pidSpace: string;
  /** When the process started, in the kernel's ticks: tells a process from a later one with the same pid. */
  readonly started: string;
}

export interface LockInfo {
  /** RFC 3339. */
  readonly time: string;
  readonly exclusive: boolean;
  readonly hostname: string;
  readonly username: string;
  readonly pid: number;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly owner?: LockOwner | undefined;
}

export function encodeLock({ time, exclusive, hostname, username, pid, uid, gid, owner }: LockInfo): Buffer {
  const varve = owner && { id: owner.id, boot: owner.boot, pid_space: owner.pidSpace, started: owner.started };
  return encodeGoJson({
    time,
    exclusive,
    hostname,
    username,
    pid,
    uid: uid || undefined,
    gid: gid || undefined,
    varve,
  });
}

/** Null when the JSON is not a lock. */
export function decodeLock(json: Uint8Array): LockInfo | null {
  const fields = parseJsonObject(json);
  const time = fields?.['time'];
  if (!fields || typeof time !== 'string' || !parseGoTime(time)) return null;
  const { exclusive, hostname, username, pid, uid, gid } = fields;
  return {
    time,
    exclusive: exclusive === true,
    hostname: text(hostname),
    username: text(username),
    pid: typeof pid === 'number' ? pid : 0,
    uid: typeof uid === 'number' ? uid : undefined,
    gid: typeof gid === 'number' ? gid : undefined,
    owner: decodeOwner(fields['varve']),
  };
}

/** Milliseconds since 1970 of a lock's time. */
export function lockTimeMs({ time }: LockInfo): number {
  return Number((parseGoTime(time)?.epochNs ?? 0n) / 1_000_000n);
}

function decodeOwner(value: unknown): LockOwner | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { id, boot, pid_space: pidSpace, started } = value as Record<string, unknown>;
  if (typeof id !== 'string' || id === '') return undefined;
  return { id, boot: text(boot), pidSpace: text(pidSpace), started: text(started) };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
