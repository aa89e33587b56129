// Where the labs keep what is expensive to make and may be shared by test runs: the engine's data and the test image. A
// lock serialises set-up between processes; leases say who still needs the engine.

import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep, systemErrorCode } from '@varve/base';

/** VARVE_LAB_DIR, or /var/tmp/varve-lab (one for each user): it survives a reboot and is never inside a checkout. */
export function labFolder(): string {
  const uid = process.getuid?.() ?? 0;
  return process.env['VARVE_LAB_DIR'] ?? (uid === 0 ? '/var/tmp/varve-lab' : `/var/tmp/varve-lab-${uid}`);
}

/** Runs `task` while no other process runs one under the same name. A lock whose process died is taken over. */
export async function withLabLock<T>(name: string, task: () => Promise<T>): Promise<T> {
  const folder = join(labFolder(), 'locks');
  await mkdir(folder, { recursive: true });
  const path = join(folder, name);
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
      const holder = Number(await readFile(path, 'utf8').catch(() => '0'));
      if (holder > 0 && !isAlive(holder)) await rm(path, { force: true });
      else await sleep(200);
    }
  }
  try {
    return await task();
  } finally {
    await rm(path, { force: true });
  }
}

/** Notes that this process needs the engine until {@link releaseLease}. */
export async function takeLease(name: string): Promise<void> {
  const folder = join(labFolder(), 'leases');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${process.pid}-${name}`), '');
}

/** Gives up the lease; the number of leases of living processes that remain. */
export async function releaseLease(name: string): Promise<number> {
  const folder = join(labFolder(), 'leases');
  await rm(join(folder, `${process.pid}-${name}`), { force: true });
  let remaining = 0;
  for (const file of await readdir(folder).catch(() => [])) {
    if (isAlive(Number.parseInt(file, 10))) remaining++;
    else await rm(join(folder, file), { force: true });
  }
  return remaining;
}

/** True when a process of that id exists. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EPERM';
  }
}
