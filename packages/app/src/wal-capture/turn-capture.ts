// Turns the capture of databases on and off, and from one way to the other. Log is of use only with base backups: a database that was
// saved by dumps alone is saved by both from then on.

import { AppError } from '@varve/base';
import type { App, DatabaseComponent, WalArchive, WalSettings } from '@varve/contract';
import type { Installation } from '../installation.ts';
import { readArchiveReadiness, walSettings } from './archive-readiness.ts';
import { refuseUncapturable } from './refuse-uncapturable.ts';

const timeoutMs = 30_000;

/** How a database is saved while its log is captured. */
export function capturedMethod(method: DatabaseComponent['method']): DatabaseComponent['method'] {
  return method === 'dump' ? 'both' : method;
}

export interface CaptureChange {
  readonly enabled: boolean;
  readonly component?: string | undefined;
  /** With `enabled`: log comes through this folder; absent: it is streamed. */
  readonly archive?: WalArchive | undefined;
}

type Parts = Pick<Installation, 'apps' | 'secrets' | 'docker'>;

/** The app as it is then. APP_NOT_FOUND; APP_INVALID when there is no such database or its server cannot be captured; DATABASE_…. */
export async function turnCapture(
  { apps, secrets, docker }: Parts,
  appId: string,
  { enabled, component, archive }: CaptureChange,
): Promise<App> {
  const app = structuredClone(await apps.get(appId));
  const changed = databasesOf(app, component);
  if (archive !== undefined && changed.length > 1) {
    throw new AppError('APP_INVALID', `The app ${appId} has several databases, and each needs a folder of its own.`, {
      hint: `Say which one: ${changed.map(({ name }) => name).join(', ')}.`,
      context: { appId },
    });
  }
  const input = { app, secrets, docker: () => docker.get() };
  if (enabled && archive !== undefined) {
    for (const one of changed) await refuseUnready({ ...input, component: one }, archive);
  } else if (enabled) {
    const components = changed.filter(({ wal, walArchive }) => wal !== true || walArchive !== undefined);
    await refuseUncapturable({ ...input, components, mayBeAway: false });
  }
  for (const one of changed) {
    one.wal = enabled;
    delete one.walArchive;
    if (!enabled) continue;
    if (archive !== undefined) one.walArchive = archive;
    one.method = capturedMethod(one.method);
  }
  await apps.update(app);
  return app;
}

/** One or all. APP_INVALID when there is none. */
export function databasesOf(app: App, component: string | undefined): DatabaseComponent[] {
  const found = app.components.filter(
    (one): one is DatabaseComponent => one.kind === 'database' && (component === undefined || one.name === component),
  );
  if (found.length > 0) return found;
  const what = component === undefined ? 'no database' : `no database “${component}”`;
  throw new AppError('APP_INVALID', `The app ${app.id} has ${what}.`, { context: { appId: app.id, component } });
}

/** Throws what the server refuses with, APP_INVALID when no log would come. */
async function refuseUnready(
  input: Omit<Parameters<typeof readArchiveReadiness>[0], 'signal'>,
  archive: WalArchive,
): Promise<void> {
  const { name } = input.component;
  const signal = AbortSignal.timeout(timeoutMs);
  const { obstacles, error } = await readArchiveReadiness({ ...input, signal }, archive);
  if (error !== undefined) throw error;
  const blocking = obstacles.filter(({ severity }) => severity === 'blocks');
  if (blocking.length === 0) return;
  const reasons = blocking.map(({ message }) => message).join('; ');
  throw new AppError(
    'APP_INVALID',
    `The log of the database “${name}” does not come into ${archive.directory}: ${reasons}.`,
    {
      hint: blocking.map(({ hint }) => hint).join(' '),
      context: { component: name },
    },
  );
}

/** What the server of one database needs so that its log comes into a folder. APP_NOT_FOUND, APP_INVALID. */
export async function appWalSettings(
  { apps, secrets, docker }: Parts,
  appId: string,
  { component: name, archive }: Omit<CaptureChange, 'enabled'>,
): Promise<WalSettings> {
  const app = await apps.get(appId);
  const [component, ...others] = databasesOf(app, name);
  const wanted = archive ?? component?.walArchive;
  if (component === undefined || others.length > 0 || wanted === undefined) {
    const what = others.length > 0 ? 'Say which database is meant' : 'Say which folder is meant';
    throw new AppError('APP_INVALID', `${what}: no folder is set for the log of ${appId}.`, {
      hint: 'Name the folder as the server sees it (--archive-directory DIR).',
      context: { appId },
    });
  }
  const signal = AbortSignal.timeout(timeoutMs);
  return walSettings({ app, component, secrets, docker: () => docker.get(), signal }, wanted);
}
