// Options that name a PostgreSQL server. A password on the command line shows in every process list, so the URL comes from a
// file or the environment, and is read anew before every connection.

import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { AppError, messageOf, Secret } from '@varve/base';
import type { ConnectOptions } from '@varve/postgres';
import { Option, type Command } from 'commander';
import type { Session } from '../session.ts';

export interface DatabaseOptions {
  readonly urlFile?: string;
}

/** Adds `--url-file`. */
export function addDatabaseOptions(command: Command): void {
  command.addOption(
    new Option(
      '--url-file <file>',
      'file with the URL of the PostgreSQL server, password included (or VARVE_DATABASE_URL)',
    ),
  );
}

/** Reads where to connect; throws USAGE_INVALID or SETTINGS_INVALID when nothing usable says so. */
export async function databaseLocation(session: Session, options: DatabaseOptions): Promise<ConnectOptions> {
  const { findPasswordInFile, parsePostgresUrl } = await import('@varve/postgres');
  const { env, cwd } = session.io;
  const defaultUser = env['PGUSER'] ?? env['USER'];
  const location = parsePostgresUrl(await urlOf(session, options), defaultUser === undefined ? {} : { defaultUser });
  if (location.password) return location;
  const home = env['HOME'];
  const file = location.passwordFile ?? env['PGPASSFILE'] ?? (home === undefined ? undefined : join(home, '.pgpass'));
  if (file === undefined) return location;
  const password = await findPasswordInFile({ ...location, file: resolve(cwd, file) });
  return password ? { ...location, password } : location;
}

async function urlOf(session: Session, options: DatabaseOptions): Promise<Secret> {
  const { env, cwd } = session.io;
  if (options.urlFile === undefined) {
    const url = env['VARVE_DATABASE_URL'];
    if (url !== undefined && url !== '') return new Secret(url);
    throw new AppError('USAGE_INVALID', 'No server is named.', {
      hint: 'Give the URL (postgresql://user:password@host:5432/database) with --url-file FILE, or as VARVE_DATABASE_URL.',
    });
  }
  try {
    return new Secret((await readFile(resolve(cwd, options.urlFile), 'utf8')).trim());
  } catch (error) {
    throw new AppError('USAGE_INVALID', `The file with the database URL cannot be read: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
