// The PostgreSQL server of a host app: where its programs are, how it was started, stopping it with a line in the journal,
// and starting it as it ran before.

import { readdir, readFile, readlink, rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { AppError } from '@varve/base';
import type { DatabaseComponent } from '@varve/contract';
import { findHostTool, serverStatus, startServer, stopServer } from '@varve/postgres';
import type { RunContext, StoppedRecord, StoppedThing } from '../../use-case.ts';
import { isThere } from '../code/checkout.ts';

export type StoppedHostDatabase = Extract<StoppedThing, { kind: 'host-database' }>;

/** Folder of pg_ctl for a data folder: as named, of the running server, of Debian's packages, or found on the PATH. */
export async function binDirectoryOf(
  component: Pick<DatabaseComponent, 'binDirectory'>,
  dataDirectory: string,
  major: string,
): Promise<string> {
  if (component.binDirectory !== undefined) return component.binDirectory;
  if (await isThere(dataDirectory)) {
    const status = await serverStatus({ dataDirectory });
    const program = status.isRunning ? await readlink(`/proc/${status.pid}/exe`).catch(() => null) : null;
    if (program !== null && (await isThere(join(dirname(program), 'pg_ctl')))) return dirname(program);
  }
  const debian = `/usr/lib/postgresql/${major}/bin`;
  return (await isThere(join(debian, 'pg_ctl'))) ? debian : dirname(findHostTool('pg_ctl'));
}

/** `15` of the data folder's PG_VERSION, null when it has none. */
export async function majorOf(dataDirectory: string): Promise<string | null> {
  const text = await readFile(join(dataDirectory, 'PG_VERSION'), 'utf8').catch(() => null);
  return text === null ? null : text.trim();
}

/** Journals and stops the server. Null when it did not run. */
export async function stopHostDatabase(
  context: Pick<RunContext, 'stopped' | 'log'>,
  component: DatabaseComponent,
): Promise<StoppedRecord | null> {
  const { dataDirectory } = component;
  if (dataDirectory === undefined || !(await isThere(dataDirectory))) return null;
  if (!(await serverStatus({ dataDirectory })).isRunning) return null;
  const binDirectory = await binDirectoryOf(component, dataDirectory, (await majorOf(dataDirectory)) ?? '');
  const thing: StoppedHostDatabase = {
    kind: 'host-database',
    component: component.name,
    dataDirectory,
    binDirectory,
    serverOptions: await optionsOf(dataDirectory),
  };
  const [record] = await context.stopped.record([thing]);
  context.log('info', `Stopping the PostgreSQL server of ${dataDirectory}.`);
  // Not cancelled: a server that goes on stopping after we looked away would stay stopped.
  await stopServer({ dataDirectory, binDir: binDirectory });
  return record ?? null;
}

/** What follows the program in `postmaster.opts`, which the server writes at each start: how pg_ctl itself restarts it. */
async function optionsOf(dataDirectory: string): Promise<string | null> {
  const text = await readFile(join(dataDirectory, 'postmaster.opts'), 'utf8').catch(() => '');
  const options = text.indexOf(' "-');
  return options === -1 ? null : text.slice(options).trim();
}

/**
 * Starts the server again. When its data folder is missing because a swap was interrupted, the folder that was there goes
 * back first; yields that folder's name then. Idempotent. COMMAND_FAILED.
 */
export async function startHostDatabase(
  thing: Omit<StoppedHostDatabase, 'kind' | 'component'>,
): Promise<string | null> {
  const { dataDirectory, binDirectory, serverOptions } = thing;
  const putBack = (await isThere(dataDirectory)) ? null : await putAsideBack(dataDirectory);
  await startServer({
    dataDirectory,
    binDir: binDirectory,
    ...(serverOptions === null ? {} : { options: serverOptions }),
  });
  return putBack;
}

async function putAsideBack(dataDirectory: string): Promise<string> {
  const parent = dirname(dataDirectory);
  const asides = (await readdir(parent)).filter((name) => name.startsWith(`${basename(dataDirectory)}.varve-old-`));
  const dated = await Promise.all(
    asides.map(async (name) => ({ path: join(parent, name), ctimeMs: (await stat(join(parent, name))).ctimeMs })),
  );
  const newest = dated.toSorted((a, b) => b.ctimeMs - a.ctimeMs)[0];
  if (newest === undefined) {
    throw new AppError(
      'RESTORE_TARGET_INVALID',
      `The data folder ${dataDirectory} is gone, and so is the copy of it.`,
      {
        hint: 'Restore the database from a snapshot.',
      },
    );
  }
  await rename(newest.path, dataDirectory);
  return newest.path;
}
