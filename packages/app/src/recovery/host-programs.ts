// PostgreSQL's programs for a recovery on a host: those of the major version that was backed up, whatever runs there now.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { AppError } from '@varve/base';
import type { DatabaseComponent } from '@varve/contract';
import { isThere } from '../components/code/checkout.ts';
import { binDirectoryOf } from '../components/database/host-database.ts';

const run = promisify(execFile);

export interface HostPrograms {
  readonly binDirectory: string;
  /** e.g. `15.7` */
  readonly version: string;
}

/** RESTORE_TARGET_INVALID when the programs of that major version are not here. */
export async function hostPrograms(
  component: Pick<DatabaseComponent, 'binDirectory' | 'dataDirectory' | 'name'>,
  serverVersion: string,
): Promise<HostPrograms> {
  const major = String(Number.parseInt(serverVersion, 10));
  const candidates = new Set([
    ...(component.binDirectory === undefined ? [] : [component.binDirectory]),
    `/usr/lib/postgresql/${major}/bin`,
    await binDirectoryOf(component, component.dataDirectory ?? '/', major).catch(() => ''),
  ]);
  for (const binDirectory of candidates) {
    const version = binDirectory === '' ? undefined : await versionOf(binDirectory);
    if (version !== undefined && version.split('.')[0] === major) return { binDirectory, version };
  }
  throw new AppError(
    'RESTORE_TARGET_INVALID',
    `The programs of PostgreSQL ${major} are not on this host, and the database "${component.name}" was saved from ${serverVersion}.`,
    { hint: `Install the server of PostgreSQL ${major}, or set the folder of its programs for the database.` },
  );
}

async function versionOf(binDirectory: string): Promise<string | undefined> {
  const program = join(binDirectory, 'postgres');
  if (!(await isThere(program)) || !(await isThere(join(binDirectory, 'pg_ctl')))) return undefined;
  const { stdout } = await run(program, ['--version']);
  return /(\d+(?:\.\d+)?)/.exec(stdout)?.[1];
}
