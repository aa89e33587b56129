// Which paths of a host are never part of an app, and what a path is as seen from here.

import { stat } from 'node:fs/promises';
import { systemErrorCode } from '@varve/base';

/** Folders that belong to the host as a whole: mounted whole, they are no app's data. */
const hostRoots = new Set([
  '/',
  '/bin',
  '/boot',
  '/etc',
  '/home',
  '/lib',
  '/lib64',
  '/media',
  '/mnt',
  '/opt',
  '/root',
  '/sbin',
  '/srv',
  '/tmp',
  '/usr',
  '/var',
  '/var/lib',
  '/var/log',
]);

const hostTrees = [
  '/proc',
  '/sys',
  '/dev',
  '/run',
  '/var/run',
  '/lib/modules',
  '/usr/lib',
  '/usr/share',
  '/var/lib/docker',
  '/var/lib/containerd',
];

const hostFiles = new Set([
  '/etc/localtime',
  '/etc/timezone',
  '/etc/machine-id',
  '/etc/hostname',
  '/etc/hosts',
  '/etc/resolv.conf',
  '/etc/passwd',
  '/etc/group',
  '/etc/ssl/certs',
]);

/** Why a bind mount of this path is not saved; null when it may be an app's data. */
export function hostPathReason(path: string): string | null {
  if (/(^|\/)(docker|containerd|podman)\.sock$/.test(path)) return 'a socket of the container engine holds no data';
  if (hostRoots.has(path) || hostFiles.has(path)) return 'it belongs to the host, not to the app';
  if (hostTrees.some((tree) => isInside(path, tree))) return 'it belongs to the host, not to the app';
  return null;
}

/** Whether `path` is `folder` or below it. */
export function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

export type PathKind = 'folder' | 'file' | 'socket' | 'missing' | 'other';

/** What is at a path; `missing` as well when it cannot be seen from here. */
export async function pathKind(path: string): Promise<PathKind> {
  try {
    const found = await stat(path);
    if (found.isDirectory()) return 'folder';
    if (found.isFile()) return 'file';
    return found.isSocket() ? 'socket' : 'other';
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'EPERM' || code === 'ELOOP')
      return 'missing';
    throw error;
  }
}
