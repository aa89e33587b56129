// Looks at everything that backups need, changes nothing, and says for each thing whether it is well and what to do.

import { statfs } from 'node:fs/promises';
import { formatBytes, isAppError, messageOf } from '@varve/base';
import type { DoctorCheck } from '@varve/contract';
import { execa } from 'execa';
import type { Installation } from '../installation.ts';
import { appChecks } from './app-checks.ts';
import { checked, type Finding } from './check.ts';

const lowSpaceBytes = 1024 ** 3;
const minNodeMajor = 24;
/** A clock that is this far off makes snapshots sort wrongly and locks look stale. */
const maxClockSkewMs = 5 * 60_000;
const buildYear = 2026;

function nodeVersion(): Finding {
  const major = Number(process.versions.node.split('.')[0]);
  const message = `Node ${process.versions.node}`;
  if (major >= minNodeMajor) return { state: 'ok', message };
  return { state: 'failed', message, hint: `Varve needs Node ${minNodeMajor} or newer; its launcher brings one.` };
}

async function dataDirectory(parts: Installation): Promise<Finding> {
  const { directory } = parts.paths;
  const { bavail, bsize } = await statfs(directory);
  const freeBytes = bavail * bsize;
  const message = `${directory} can be written, ${formatBytes(freeBytes)} are free.`;
  if (freeBytes >= lowSpaceBytes) return { state: 'ok', message };
  return { state: 'warning', message, hint: 'Free some space: backups stop when the disk is full.' };
}

async function catalogue(parts: Installation): Promise<Finding> {
  const problems = await parts.catalogue.check();
  if (problems.length === 0) return { state: 'ok', message: 'The catalogue is sound.' };
  return {
    state: 'failed',
    message: `The catalogue is damaged: ${problems.slice(0, 3).join('; ')}`,
    hint: `Stop Varve, move ${parts.catalogue.path} and its -wal and -shm aside, and start Varve again: it is rebuilt from the repository.`,
  };
}

async function repository(parts: Installation): Promise<Finding> {
  const row = await parts.repositoryStore.current();
  if (!row) {
    return {
      state: 'warning',
      message: 'There is no repository yet.',
      hint: 'Add an app: a local repository is made with it. Or connect one of your own first.',
    };
  }
  const info = await parts.repositories.describe(row);
  if (info.state !== 'ready') {
    return {
      state: 'failed',
      message: `The repository at ${info.location} is ${info.state}: ${info.problem}`,
      hint: 'Look at the disk or server that holds it.',
    };
  }
  const open = await parts.pool.get(row.id);
  const locks = (await open.listFiles('lock')).length;
  const free = info.freeBytes === null ? '' : `, ${formatBytes(info.freeBytes)} free`;
  const message = `The repository at ${info.location} opens${free}, ${locks} locks.`;
  if (info.freeBytes !== null && info.freeBytes < lowSpaceBytes) {
    return { state: 'warning', message, hint: 'Free some space, or keep fewer snapshots.' };
  }
  if (!info.recoveryKitConfirmed) {
    return {
      state: 'warning',
      message: `${message} Its recovery kit is not stored yet.`,
      hint: 'Store the recovery kit outside this host: without the password nothing can be restored elsewhere.',
    };
  }
  return { state: 'ok', message };
}

async function docker(parts: Installation): Promise<Finding> {
  const apps = await parts.apps.list();
  const needed = apps.some(({ origin }) => origin.type === 'docker');
  try {
    const engine = await parts.docker.get();
    return { state: 'ok', message: `Docker ${engine.version().version} answers at ${engine.url}.` };
  } catch (error) {
    return {
      state: needed ? 'failed' : 'warning',
      message: messageOf(error),
      hint:
        (isAppError(error) && error.hint) || 'Start Docker, or protect folders and databases of this host without it.',
    };
  }
}

async function git(parts: Installation): Promise<Finding> {
  const needed = (await parts.apps.list()).some(({ components }) => components.some(({ kind }) => kind === 'code'));
  const { failed, stdout } = await execa('git', ['--version'], { reject: false, timeout: 10_000 });
  if (!failed) return { state: 'ok', message: stdout };
  return {
    state: needed ? 'failed' : 'warning',
    message: 'git is not installed.',
    hint: 'Install git: the code of apps is saved with it.',
  };
}

/** Compares the clock with the newest snapshot and with the repository's own time, as far as there is one. */
async function clock(parts: Installation): Promise<Finding> {
  const now = parts.clock.now();
  const hint = 'Set the clock right and keep it right with NTP (timedatectl set-ntp true).';
  if (now.getUTCFullYear() < buildYear)
    return { state: 'failed', message: `The clock says ${now.toISOString()}.`, hint };
  for (const app of await parts.apps.list()) {
    const { newest } = await parts.snapshots.facts(app.id);
    if (newest && Date.parse(newest.time) - now.getTime() > maxClockSkewMs) {
      return {
        state: 'failed',
        message: `The clock says ${now.toISOString()}, but the newest snapshot of ${app.name} is of ${newest.time}.`,
        hint,
      };
    }
  }
  return { state: 'ok', message: `The clock says ${now.toISOString()}.` };
}

async function email(parts: Installation): Promise<Finding> {
  const { enabled, host, port, to } = await parts.settings.email();
  if (!enabled) {
    return {
      state: 'warning',
      message: 'E-mail is off: nobody is told when a backup fails.',
      hint: 'Set up a mail server in the settings and send a test message.',
    };
  }
  const unsent = (await parts.alerts.list({ open: true })).find(({ notifyProblem }) => notifyProblem !== null);
  if (unsent?.notifyProblem) {
    return {
      state: 'failed',
      message: unsent.notifyProblem,
      hint: 'Look at the mail settings and send a test message.',
    };
  }
  return { state: 'ok', message: `E-mail goes to ${to.join(', ')} through ${host}:${port}.` };
}

/** All checks, in the order in which they are shown. */
export async function runDoctor(parts: Installation): Promise<DoctorCheck[]> {
  const general = await Promise.all([
    checked('node', nodeVersion),
    checked('data-directory', () => dataDirectory(parts)),
    checked('catalogue', () => catalogue(parts)),
    checked('repository', () => repository(parts)),
    checked('docker', () => docker(parts)),
    checked('git', () => git(parts)),
    checked('clock', () => clock(parts)),
    checked('email', () => email(parts)),
  ]);
  const apps = await parts.apps.list();
  return [...general, ...(await Promise.all(apps.map((app) => appChecks(app, parts)))).flat()];
}
