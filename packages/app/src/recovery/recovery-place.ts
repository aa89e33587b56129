// The folder of a recovery on a host: beside the data folder or where the user said, owned by the server's user, with a
// socket whose path is short enough.

import { randomBytes } from 'node:crypto';
import { chown, mkdir, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { AppError, systemErrorCode } from '@varve/base';
import type { FileOwner } from '@varve/postgres';
import { placeNames, type RecoveryPlace } from './recovery-server.ts';

/** Of `sun_path` (unix(7): 108 with the ending zero), without `/.s.PGSQL.65535`. */
const longestSocketFolder = 107 - '/.s.PGSQL.65535'.length;

/** Names a recovery and its folder. */
export function newRecoveryId(): string {
  return randomBytes(4).toString('hex');
}

/** Makes the folder, which must not be there or be empty, and its socket folder. RESTORE_TARGET_INVALID. */
export async function makeHostPlace(
  folder: string,
  options: { readonly id: string; readonly owner: FileOwner | undefined },
): Promise<RecoveryPlace> {
  const { id, owner } = options;
  try {
    await mkdir(folder, { mode: 0o700 });
  } catch (cause) {
    if (systemErrorCode(cause) !== 'EEXIST') {
      throw new AppError('RESTORE_TARGET_INVALID', `The folder ${folder} cannot be made: ${systemErrorCode(cause)}.`, {
        hint: `Make ${dirname(folder)}, writable for the user that runs Varve, or name another folder.`,
        cause,
      });
    }
  }
  await mkdir(join(folder, placeNames.socket), { mode: 0o700, recursive: true });
  if (owner !== undefined && process.getuid?.() === 0) {
    await chown(folder, owner.uid, owner.gid);
    await chown(join(folder, placeNames.socket), owner.uid, owner.gid);
  }
  const socket = await shortSocketFolder(join(folder, placeNames.socket), id);
  return { here: folder, there: folder, owner, socketHere: socket, socketThere: socket };
}

/** The folder itself, or a link to it where its path is too long for a socket. */
export async function shortSocketFolder(folder: string, id: string): Promise<string> {
  if (Buffer.byteLength(folder) <= longestSocketFolder) return folder;
  const link = socketLink(id);
  await rm(link, { force: true });
  await symlink(folder, link);
  return link;
}

/** Where the link is, when there is one. */
export function socketLink(id: string): string {
  return join(tmpdir(), `varve-${id}`);
}

/** Who owns a file or folder; undefined when it is not there. */
export async function ownerOf(path: string): Promise<FileOwner | undefined> {
  try {
    const { uid, gid } = await stat(path);
    return { uid, gid };
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
