// A Docker Engine of our own for tests: dockerd as root with its own data, state and socket under the lab folder, so that
// it neither sees nor disturbs an engine of the machine.

import { spawn } from 'node:child_process';
import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep } from '@varve/base';
import { execa } from 'execa';
import { isAlive, labFolder } from './lab-folder.ts';

const startTimeoutMs = 60_000;
const stopTimeoutMs = 30_000;

/** The lab engine's address, whether it runs or not. */
export function labDockerHost(): string {
  return `unix://${join(labFolder(), 'docker', 'docker.sock')}`;
}

/** Whether an engine answers there; without a host, the one that the docker command line would use. */
export async function engineAnswers(host?: string): Promise<boolean> {
  const address = host === undefined ? [] : ['--host', host];
  const result = await execa('docker', [...address, 'version', '--format', '{{.Server.Version}}'], {
    reject: false,
    timeout: 10_000,
  });
  return result.exitCode === 0;
}

/** Starts dockerd and waits until it answers. The reason as text when that fails; nothing is left running then. */
export async function startLabDaemon(): Promise<{ readonly reason: string } | undefined> {
  if (process.getuid?.() !== 0) return { reason: 'no Docker engine answers, and only root can start one' };
  if ((await execa('dockerd', ['--version'], { reject: false })).exitCode !== 0) {
    return { reason: 'no Docker engine answers, and dockerd is not installed' };
  }
  const folder = join(labFolder(), 'docker');
  await mkdir(folder, { recursive: true });
  // A pid file of a daemon that died would keep the next one from starting.
  await rm(join(folder, 'dockerd.pid'), { force: true });
  await writeFile(join(folder, 'daemon.json'), '{}\n');
  const logPath = join(folder, 'dockerd.log');
  const log = await open(logPath, 'w');
  const options = {
    host: labDockerHost(),
    'config-file': join(folder, 'daemon.json'),
    'data-root': join(folder, 'data'),
    'exec-root': join(folder, 'exec'),
    pidfile: join(folder, 'dockerd.pid'),
    'userland-proxy': 'false',
  };
  const child = spawn(
    'dockerd',
    Object.entries(options).map(([name, value]) => `--${name}=${value}`),
    { detached: true, stdio: ['ignore', log.fd, log.fd] },
  );
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()).once('error', () => resolve()));
  child.unref();
  await log.close();
  const answered = await Promise.race([exited.then(() => false), waitForEngine()]);
  if (answered) return undefined;
  await stopLabDaemon();
  const lines = (await readFile(logPath, 'utf8').catch(() => '')).trim().split('\n');
  return { reason: `dockerd does not start: ${lines.at(-1) ?? 'no output'}` };
}

/** Stops the lab's dockerd, known by its pid file, and waits for its end. Stopped already: nothing happens. */
export async function stopLabDaemon(): Promise<void> {
  const pidFile = join(labFolder(), 'docker', 'dockerd.pid');
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => '0'));
  if (pid <= 1 || !isAlive(pid) || !(await isDockerd(pid))) return;
  process.kill(pid, 'SIGTERM');
  const deadline = Date.now() + stopTimeoutMs;
  while (isAlive(pid) && Date.now() < deadline) await sleep(100);
  if (isAlive(pid)) process.kill(pid, 'SIGKILL');
}

async function waitForEngine(): Promise<boolean> {
  const deadline = Date.now() + startTimeoutMs;
  while (Date.now() < deadline) {
    if (await engineAnswers(labDockerHost())) return true;
    await sleep(250);
  }
  return false;
}

/** The pid in the file may have been given to another process since. */
async function isDockerd(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim() === 'dockerd';
}
