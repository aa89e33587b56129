// Turns a path on the engine's host into one that this process can read, or says that there is none: the engine may be on
// another machine or in a virtual one, and we may be in a container that sees only what was mounted into it.

import { access, constants, readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, posix } from 'node:path';
import { isAppError, systemErrorCode } from '@varve/base';
import type { Connection } from './connection.ts';
import { containerFromInspect, type ContainerMount } from './container.ts';
import { inspectRaw } from './discovery.ts';

/**
 * Where `enginePath` is visible here, undefined when it is not, or when it cannot be read with our rights. Never guesses: a
 * socket may be forwarded from another machine whose paths look like ours.
 */
export async function visiblePath(connection: Connection, enginePath: string): Promise<string | undefined> {
  if (connection.endpoint.kind !== 'unix' || !enginePath.startsWith('/')) return undefined;
  const own = await ownContainer();
  const mounts = own === undefined ? undefined : await mountsOf(connection, own);
  if (mounts !== undefined) {
    const path = translateThroughMounts(enginePath, mounts);
    return path !== undefined && (await isReadable(path)) ? path : undefined;
  }
  const isShared = await sharesFileSystem(connection, own !== undefined);
  return isShared && (await isReadable(enginePath)) ? enginePath : undefined;
}

/** `path` of the host as seen through a container's mounts: the mount whose source is the longest prefix wins. */
export function translateThroughMounts(path: string, mounts: readonly ContainerMount[]): string | undefined {
  const clean = posix.normalize(path);
  const holding = mounts
    .filter(
      (mount) => mount.source !== '' && (clean === mount.source || clean.startsWith(mount.source.replace(/\/*$/, '/'))),
    )
    .sort((a, b) => b.source.length - a.source.length)[0];
  return holding && posix.join(holding.destination, clean.slice(holding.source.length));
}

/**
 * Whether something is mounted at `path` at this moment (proc(5), mountinfo: field 5 is the mount point, with octal escapes).
 * A volume of the local driver with options (NFS, bind) is mounted only while a container uses it.
 */
export async function isMountPoint(path: string): Promise<boolean> {
  const table = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  return table.split('\n').some((line) => unescapeOctal(line.split(' ')[4] ?? '') === path);
}

/**
 * The id or host name of the container that we run in, undefined outside of one. Docker and Podman bind-mount /etc/hostname
 * from a folder that is named after the container; field 4 of mountinfo is that source.
 */
async function ownContainer(): Promise<string | undefined> {
  const table = await readFile('/proc/self/mountinfo', 'utf8').catch(() => '');
  const fields = table.split('\n').map((line) => line.split(' '));
  const hostFile =
    fields.find((field) => field[4] === '/etc/hostname') ?? fields.find((field) => field[4] === '/etc/hosts');
  if (hostFile === undefined) return undefined;
  return /\/([0-9a-f]{64})\//.exec(hostFile[3] ?? '')?.[1] ?? hostname();
}

/** Undefined when this engine knows no such container: then another engine made ours. */
async function mountsOf(connection: Connection, id: string): Promise<readonly ContainerMount[] | undefined> {
  try {
    return containerFromInspect(await inspectRaw(connection, id), undefined).mounts;
  } catch (error) {
    if (isAppError(error, 'DOCKER_NOT_FOUND')) return undefined;
    throw error;
  }
}

/**
 * Whether the engine's host is this one: a container's 64-digit id names a folder under the engine's root, which no other
 * machine has. Where we may not look there (not root) or there is no container yet, a local socket outside of a container counts.
 */
async function sharesFileSystem(connection: Connection, inContainer: boolean): Promise<boolean> {
  const { docker } = connection;
  const [info, containers] = await connection.request('tell about itself', () =>
    Promise.all([
      docker.info() as Promise<{ DockerRootDir?: unknown }>,
      docker.listContainers({ all: true, limit: 1 }),
    ]),
  );
  const id = containers[0]?.Id;
  if (id === undefined || typeof info.DockerRootDir !== 'string') return !inContainer;
  try {
    await stat(join(info.DockerRootDir, 'containers', id));
    return true;
  } catch (error) {
    return systemErrorCode(error) === 'EACCES' && !inContainer;
  }
}

async function isReadable(path: string): Promise<boolean> {
  try {
    const facts = await stat(path);
    await access(path, facts.isDirectory() ? constants.R_OK | constants.X_OK : constants.R_OK);
    return true;
  } catch {
    return false;
  }
}

function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
