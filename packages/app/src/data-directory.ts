// The folder that holds everything Varve keeps on a host: catalogue, key, sealed secrets, accounts, the default
// repository. Only its owner may look into it.

import { constants } from 'node:fs';
import { access, chmod, mkdir, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { AppError, messageOf } from '@varve/base';

/** Paths below the data directory. */
export interface DataPaths {
  readonly directory: string;
  readonly catalogue: string;
  readonly accounts: string;
  readonly secretKey: string;
  readonly secrets: string;
  /** The id of the installation. */
  readonly installationId: string;
  /** One file for each process that has it open. */
  readonly running: string;
  readonly repository: string;
  /** What recoveries have made and not removed, one file each. */
  readonly recoveries: string;
  /** What can be fetched from the repositories again. */
  readonly cache: string;
  /** Captured write-ahead log on its way into the repository, by app and component. */
  readonly wal: string;
}

/**
 * Where Varve keeps its data unless told otherwise: `VARVE_DATA`, else `/var/lib/varve` for root, else
 * `$XDG_DATA_HOME/varve` or `~/.local/share/varve`.
 */
export function defaultDataDirectory(
  env: Readonly<Record<string, string | undefined>>,
  user: { readonly uid: number | undefined; readonly home: string } = { uid: process.getuid?.(), home: homedir() },
): string {
  if (env['VARVE_DATA']) return env['VARVE_DATA'];
  if (user.uid === 0) return '/var/lib/varve';
  if (env['XDG_DATA_HOME']) return join(env['XDG_DATA_HOME'], 'varve');
  return join(user.home, '.local', 'share', 'varve');
}

/** Names of everything in a data directory. */
function dataPaths(directory: string): DataPaths {
  return {
    directory,
    catalogue: join(directory, 'catalogue.sqlite'),
    accounts: join(directory, 'accounts.sqlite'),
    secretKey: join(directory, 'secret.key'),
    secrets: join(directory, 'secrets'),
    installationId: join(directory, 'installation.id'),
    running: join(directory, 'running'),
    repository: join(directory, 'repository'),
    recoveries: join(directory, 'recoveries'),
    cache: join(directory, 'cache'),
    wal: join(directory, 'wal'),
  };
}

/** Makes the data directory (mode 0700) when missing and closes it to others. CATALOGUE_UNUSABLE when it cannot be used. */
export async function prepareDataDirectory(directory: string): Promise<DataPaths> {
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const facts = await stat(directory);
    if (!facts.isDirectory()) throw new Error('it is not a folder');
    if ((facts.mode & 0o077) !== 0) await chmod(directory, 0o700);
    await access(directory, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new AppError('CATALOGUE_UNUSABLE', `The data directory ${directory} cannot be used: ${messageOf(error)}`, {
      hint: 'Give another one with VARVE_DATA, or give this user the right to write there.',
      context: { directory },
      cause: error,
    });
  }
  return dataPaths(directory);
}
