// Where the tablespaces of a recovered cluster are: in a folder of its own data folder, so that it never writes into those of
// the original, and moves as one. Manual: "Tablespaces" (pg_tblspc), "Making a Base Backup Using the Low Level API"
// (tablespace_map); xlogrecovery.c, read_tablespace_map: without a map the links that are there count.

import { lchown, mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { AppError, systemErrorCode } from '@varve/base';
import type { FileOwner } from './prepare-data-folder.ts';

/** The folder in the data folder; below it one folder for each tablespace, named by its oid. */
export const tablespacesFolder = 'varve_tablespaces';

const linksFolder = 'pg_tblspc';
const mapFile = 'tablespace_map';

/** Where a tablespace was when the base backup was made. */
export interface MappedTablespace {
  readonly oid: string;
  readonly location: string;
}

/** What a `tablespace_map` says. A backslash stands before line ends and backslashes of a path. Pure. */
export function parseTablespaceMap(text: string): MappedTablespace[] {
  const lines = text.match(/(?:\\[^]|[^\\\n])+/g) ?? [];
  return lines.flatMap((line) => {
    const match = /^(\d+) ([^]+)$/.exec(line.replace(/\r$/, ''));
    return match === null ? [] : [{ oid: match[1] ?? '', location: (match[2] ?? '').replaceAll(/\\([^])/g, '$1') }];
  });
}

/**
 * Makes a restored base backup whole, before its server starts: each tablespace whose files are in {@link tablespacesFolder}, or
 * in `pg_tblspc` itself (`allow_in_place_tablespaces`), is linked to there, and the map of the original goes. Yields the oids.
 * RESTORE_TARGET_INVALID when a tablespace of the map has no files.
 */
export async function placeTablespaces(options: {
  readonly dataDirectory: string;
  /** The data folder as the server sees it, absolute. */
  readonly seenAs: string;
  readonly owner: FileOwner | undefined;
}): Promise<string[]> {
  const { dataDirectory, owner } = options;
  const files = join(dataDirectory, tablespacesFolder);
  for (const { name } of (await entriesOf(join(dataDirectory, linksFolder))).filter((one) => one.isDirectory())) {
    await mkdir(files, { recursive: true, mode: 0o700 });
    await rename(join(dataDirectory, linksFolder, name), join(files, name));
  }
  const oids = (await entriesOf(files)).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const map = await readFile(join(dataDirectory, mapFile), 'utf8').catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return '';
    throw error;
  });
  const missing = parseTablespaceMap(map).find(({ oid }) => !oids.includes(oid));
  if (missing !== undefined) {
    throw new AppError(
      'RESTORE_TARGET_INVALID',
      `The base backup has no files of the tablespace ${missing.oid}, which was at ${missing.location}.`,
      { hint: 'Recover from another base backup.' },
    );
  }
  await linkTablespaces({ ...options, oids });
  await rm(join(dataDirectory, mapFile), { force: true });
  if (oids.length > 0 && owner !== undefined && process.getuid?.() === 0) await lchown(files, owner.uid, owner.gid);
  return oids;
}

/**
 * Points the links of {@link placeTablespaces} to where the data folder will be when it has its place. Call it when no server runs
 * on the folder. Links to elsewhere stay. Idempotent.
 */
export async function moveTablespaceLinks(options: {
  readonly dataDirectory: string;
  readonly seenAs: string;
  readonly owner: FileOwner | undefined;
}): Promise<void> {
  const placed = await entriesOf(join(options.dataDirectory, tablespacesFolder));
  const links = await entriesOf(join(options.dataDirectory, linksFolder));
  // One that was dropped while the log was replayed has no link any more.
  const linked = new Set(links.filter((entry) => entry.isSymbolicLink()).map(({ name }) => name));
  await linkTablespaces({ ...options, oids: placed.map(({ name }) => name).filter((name) => linked.has(name)) });
}

async function linkTablespaces(options: {
  readonly dataDirectory: string;
  readonly seenAs: string;
  readonly owner: FileOwner | undefined;
  readonly oids: readonly string[];
}): Promise<void> {
  const { dataDirectory, seenAs, owner, oids } = options;
  for (const oid of oids) {
    const link = join(dataDirectory, linksFolder, oid);
    const temporary = `${link}.varve-new`;
    await rm(temporary, { force: true });
    await symlink(posix.join(seenAs, tablespacesFolder, oid), temporary);
    if (owner !== undefined && process.getuid?.() === 0) await lchown(temporary, owner.uid, owner.gid);
    await rename(temporary, link);
  }
}

/** Those whose names are oids. */
async function entriesOf(folder: string) {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  });
  return entries.filter(({ name }) => /^\d+$/.test(name));
}
