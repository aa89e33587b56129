// Where the data folder of a server is on this host, if it can be read here. That it is the server's and no copy is proved
// later, by what the server writes into it: see save-volume-base.ts.

import { access, constants, lstat, readFile, readlink, realpath, stat, statfs } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { isAppError, messageOf } from '@varve/base';
import type { DatabaseComponent } from '@varve/contract';
import type { Container, DockerEngine } from '@varve/docker';
import { readControlFile, readTablespaceLinks, tablespaceVersionFolder, type ServerFacts } from '@varve/postgres';

/** A tablespace outside of the data folder, as seen from here. */
export interface LocatedTablespace {
  readonly oid: string;
  readonly path: string;
  /** The folder of this server version in it; others are another server's. */
  readonly versionFolder: string;
}

export interface DataFolder {
  /** Without links. */
  readonly path: string;
  /** `pg_wal`, without links. */
  readonly walPath: string;
  readonly tablespaces: readonly LocatedTablespace[];
  readonly owner: { readonly uid: number; readonly gid: number };
}

export interface LocateInput {
  readonly component: DatabaseComponent;
  readonly facts: ServerFacts;
  /** The container that the server runs in; null when the component names none. */
  readonly container: Container | null;
  readonly docker: DockerEngine | null;
  readonly signal: AbortSignal;
}

/** The folder, or why it cannot be read here, as the end of a sentence. */
export async function locateDataFolder(input: LocateInput): Promise<DataFolder | { readonly reason: string }> {
  const { component, facts, container, signal } = input;
  const serverPath = facts.dataDirectory;
  const named = container === null ? (component.dataDirectory ?? serverPath) : serverPath;
  if (named === undefined)
    return { reason: 'the user of the database may not see where it is (role pg_read_all_settings)' };
  const found = await pathHere(input, named);
  if (found === undefined) return { reason: `${named} cannot be read from here` };
  try {
    const path = await realpath(found);
    await access(join(path, 'base'), constants.R_OK | constants.X_OK);
    const control = await readControlFile(path, signal);
    if (control.systemId !== facts.systemId) return { reason: `${path} belongs to another cluster` };
    const walPath = await insideOrMapped(input, path, 'pg_wal');
    if (walPath === undefined) return { reason: 'its pg_wal cannot be read from here' };
    const links = await readTablespaceLinks(path);
    if (links.hasInPlace) return { reason: 'it has tablespaces inside the data folder' };
    const tablespaces: LocatedTablespace[] = [];
    const versionFolder = tablespaceVersionFolder(Math.floor(facts.versionNum / 10_000), control.catalogVersion);
    for (const { oid, location } of links.linked) {
      const place = await pathHere(input, location);
      if (place === undefined) return { reason: `its tablespace ${location} cannot be read from here` };
      await access(join(place, versionFolder), constants.R_OK | constants.X_OK);
      tablespaces.push({ oid, path: await realpath(place), versionFolder });
    }
    const folders = [path, await realpath(walPath), ...tablespaces.map((tablespace) => tablespace.path)];
    const shared = await firstShared(folders);
    if (shared !== undefined && !(await runsHere(path))) {
      return { reason: `${shared} is on a shared file system, whose caches may be behind what the server has written` };
    }
    const { uid, gid } = await stat(path);
    return { path, walPath, tablespaces, owner: { uid, gid } };
  } catch (error) {
    if (isAppError(error, 'CANCELLED')) throw error;
    return { reason: messageOf(error) };
  }
}

/** `f_type` of file systems whose files another machine may write (statfs(2)): NFS, SMB, FUSE with virtiofs, 9p, Ceph … */
const sharedFileSystems: ReadonlySet<number> = new Set([
  0x6969, 0x517b, 0xff534d42, 0xfe534d42, 0x65735546, 0x01021997, 0x00c36400, 0x0bd00bd0, 0x47504653, 0x7461636f,
  0x01161970, 0x5346414f,
]);

async function firstShared(folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) if (sharedFileSystems.has((await statfs(folder)).type)) return folder;
  return undefined;
}

/** Whether the server is a process of this kernel, so that it and we see the same caches. */
async function runsHere(dataFolder: string): Promise<boolean> {
  const text = await readFile(join(dataFolder, 'postmaster.pid'), 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  return pid > 0 && (await readlink(`/proc/${pid}/cwd`).catch(() => '')) === dataFolder;
}

/** Where a path of the server's is seen from here; undefined when no mount that can be read here holds it. */
export async function pathHere(
  { container, docker, signal }: Pick<LocateInput, 'container' | 'docker' | 'signal'>,
  path: string,
): Promise<string | undefined> {
  if (container === null) return path;
  const clean = posix.normalize(path);
  const mount = container.mounts
    .filter(({ destination }) => clean === destination || clean.startsWith(`${destination}/`))
    .toSorted((a, b) => b.destination.length - a.destination.length)[0];
  if (mount === undefined || docker === null) return undefined;
  const host = await docker.volumeHostPath(mount, { signal });
  return host === undefined ? undefined : join(host, clean.slice(mount.destination.length));
}

/** A folder in the data folder, which may be a link whose target the server sees. */
async function insideOrMapped(input: LocateInput, dataFolder: string, name: string): Promise<string | undefined> {
  const path = join(dataFolder, name);
  if (!(await lstat(path)).isSymbolicLink()) return path;
  const target = await readlink(path);
  const here = await pathHere(input, posix.resolve(input.facts.dataDirectory ?? dataFolder, target));
  return here === undefined ? undefined : realpath(here);
}
