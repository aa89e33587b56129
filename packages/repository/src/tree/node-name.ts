// Names that may become part of a path on a file system. A repository is written by others too, so a name is not trusted:
// it must be one path component.

import { AppError } from '@varve/base';
import { goQuote } from './go-quote.ts';

const slash = 0x2f;

/** True when the name is one ordinary path component: not empty, `.` or `..`, without `/` and NUL. */
export function isSafeName(name: Uint8Array): boolean {
  if (name.length === 0 || name.includes(slash) || name.includes(0)) return false;
  return !(name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e)));
}

/** Throws RESTORE_PATH_UNSAFE when the name could lead out of its folder. */
export function assertSafeName(name: Uint8Array, folder: string): void {
  if (isSafeName(name)) return;
  throw new AppError('RESTORE_PATH_UNSAFE', `The name "${goQuote(name)}" in ${folder} could lead out of its folder.`, {
    hint: 'The snapshot is damaged or was made to harm. Nothing of it was written. Restore from another snapshot.',
    context: { folder },
  });
}
