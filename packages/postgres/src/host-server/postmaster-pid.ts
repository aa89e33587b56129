// The file by which a running server claims its data directory. Source: src/include/miscadmin.h and pidfile.h
// (LOCK_FILE_LINE_…): pid, data directory, start time, port, socket folder, listen address, shared memory, status.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '@varve/base';

export interface PostmasterPid {
  readonly pid: number;
  readonly port: number | undefined;
  readonly socketDirectory: string | undefined;
  /** What the server says about itself; `standby` is a hot standby that takes connections. */
  readonly state: 'starting' | 'stopping' | 'ready' | 'standby' | 'unknown';
}

const states = ['starting', 'stopping', 'ready', 'standby'] as const;

/** Reads the file, or yields undefined when there is none. It may be stale: see {@link isPostmasterAlive}. */
export async function readPostmasterPid(dataDirectory: string): Promise<PostmasterPid | undefined> {
  let text: string;
  try {
    text = await readFile(join(dataDirectory, 'postmaster.pid'), 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  return parsePostmasterPid(text);
}

/** The text of the file. Pure. */
export function parsePostmasterPid(text: string): PostmasterPid | undefined {
  const lines = text.split('\n').map((line) => line.trim());
  // A stand-alone backend writes its pid with a minus sign.
  const pid = Math.abs(Number(lines[0]));
  if (!Number.isInteger(pid) || pid === 0) return undefined;
  const port = Number(lines[3]);
  return {
    pid,
    port: Number.isInteger(port) && port > 0 ? port : undefined,
    socketDirectory: lines[4] === undefined || lines[4] === '' ? undefined : lines[4],
    state: states.find((state) => state === lines[7]) ?? 'unknown',
  };
}

/**
 * Whether the process of the file lives and is a PostgreSQL server. After a reboot the number may belong to another
 * program; where /proc tells the program's name, that is found out.
 */
export async function isPostmasterAlive(file: PostmasterPid): Promise<boolean> {
  try {
    process.kill(file.pid, 0);
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
  try {
    const name = (await readFile(`/proc/${file.pid}/comm`, 'utf8')).trim();
    return /^(postgres|postmaster)/.test(name);
  } catch {
    return true;
  }
}
