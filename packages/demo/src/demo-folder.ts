// Where a demonstration lives: one folder per run below the system's temporary folder, with the process that owns it, so
// that the next run can clear away what a killed one left.

import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const prefix = 'varve-demo-';
const ownerFile = 'owner.pid';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Stops the PostgreSQL of an abandoned run: the process whose id its `postmaster.pid` holds, if that is still it. */
async function stopAbandonedServer(folder: string): Promise<void> {
  const dataFolder = join(folder, 'app', 'database', 'pgdata');
  const pidFile = join(dataFolder, 'postmaster.pid');
  if (!existsSync(pidFile)) return;
  const pid = Number((await readFile(pidFile, 'utf8')).split('\n')[0]);
  const commandLine = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  if (!commandLine.includes(dataFolder)) return;
  process.kill(pid, 'SIGQUIT');
  for (let wait = 0; wait < 50 && isAlive(pid); wait++) await new Promise((resolve) => setTimeout(resolve, 100));
}

/** Removes the folders of runs whose process is gone. Only folders of this user are looked at. */
export async function removeAbandonedDemos(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    if (!name.startsWith(prefix)) continue;
    const folder = join(tmpdir(), name);
    const owned = (await stat(folder)).uid === process.getuid?.();
    const pidFile = join(folder, ownerFile);
    if (!owned || !existsSync(pidFile)) continue;
    const pid = Number(await readFile(pidFile, 'utf8'));
    if (isAlive(pid)) continue;
    await stopAbandonedServer(folder);
    await rm(folder, { recursive: true, force: true });
  }
}

/** Makes the folder of this run. */
export async function makeDemoFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), prefix));
  // The database server may run as another user, who has to reach its own folder inside.
  await chmod(folder, 0o711);
  await writeFile(join(folder, ownerFile), String(process.pid));
  return folder;
}
