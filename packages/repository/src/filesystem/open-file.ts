// Opens a file for reading its content: never through a symbolic link, never waiting for a FIFO, without touching its
// access time where that is permitted.

import { constants, openSync } from 'node:fs';
import { systemErrorCode } from '@varve/base';

const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Linux; needs ownership of the file or a capability. */
const noAccessTime = process.platform === 'linux' ? constants.O_NOATIME : 0;

/** A file descriptor, which the caller closes. Throws the system's error. */
export function openForReading(path: Buffer): number {
  try {
    return openSync(path, flags | noAccessTime);
  } catch (error) {
    if (noAccessTime === 0 || systemErrorCode(error) !== 'EPERM') throw error;
    return openSync(path, flags);
  }
}
