// What of a data folder belongs into a base backup. Source: manual, protocol-replication, BASE_BACKUP (the list of what is left
// out) and "Database File Layout"; basebackup.c, excludeFiles and excludeDirContents, of 13 to 18.

import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Folders that are kept without their content. */
const emptiedFolders = [
  'pg_dynshmem',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
];

/**
 * Patterns (restic's syntax, `/` being the data folder or a tablespace) of what is left out. Not in it: files of unlogged
 * relations, see {@link initForkSuffix}. `pg_wal`, `backup_label`, `tablespace_map` and `global/pg_control` come on their own.
 */
export const leftOutOfBackup: readonly string[] = [
  ...emptiedFolders.map((folder) => `/${folder}/*`),
  // Links; tablespaces come on their own.
  '/pg_tblspc/*',
  '/pg_wal',
  '/backup_label',
  '/tablespace_map',
  '/backup_manifest',
  '/global/pg_control',
  '/postmaster.pid',
  '/postmaster.opts',
  '/postgresql.auto.conf.tmp',
  '/current_logfiles.tmp',
  'pg_internal.init*',
  'pgsql_tmp*',
  // Relations of a session: `t3_16384`.
  '/base/*/t[0-9]*_[0-9]*',
  '/PG_*/*/t[0-9]*_[0-9]*',
];

/** Where `16384_init` is, the relation is unlogged: after a recovery it begins as this file, and its others are not needed. */
export const initForkSuffix = '_init';

/** The folder of a server version in a tablespace. */
export function tablespaceVersionFolder(major: number, catalogVersion: number): string {
  return `PG_${major}_${catalogVersion}`;
}

/** A tablespace outside of the data folder. */
export interface LinkedTablespace {
  readonly oid: string;
  /** What the link says, as the server sees it. */
  readonly location: string;
}

export interface TablespaceLinks {
  readonly linked: readonly LinkedTablespace[];
  /** Tablespaces that are folders in the data folder (`allow_in_place_tablespaces`, for developers). */
  readonly hasInPlace: boolean;
}

/** The tablespaces of a data folder. */
export async function readTablespaceLinks(dataDirectory: string): Promise<TablespaceLinks> {
  const folder = join(dataDirectory, 'pg_tblspc');
  const linked: LinkedTablespace[] = [];
  let hasInPlace = false;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (!/^\d+$/.test(entry.name)) continue;
    if (entry.isSymbolicLink()) linked.push({ oid: entry.name, location: await readlink(join(folder, entry.name)) });
    else hasInPlace ||= entry.isDirectory();
  }
  return { linked, hasInPlace };
}

/** Folders at the top of a data folder that are links to elsewhere, `pg_wal` apart: what is behind them is not saved. */
export async function linkedFolders(dataDirectory: string): Promise<string[]> {
  const linked: string[] = [];
  for (const entry of await readdir(dataDirectory, { withFileTypes: true })) {
    if (!entry.isSymbolicLink() || entry.name === 'pg_wal') continue;
    const target = await stat(join(dataDirectory, entry.name)).catch(() => null);
    if (target?.isDirectory() === true) linked.push(entry.name);
  }
  return linked;
}
