// Errors after which every further write would fail as well.

import { AppError } from '@varve/base';

/** No space left, quota exceeded, a file that is too large for the file system. */
const fullCodes = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Throws RESTORE_FAILED when the system's error means that there is no room. */
export function throwIfFull(error: Error & { readonly code: string }): void {
  if (!fullCodes.has(error.code)) return;
  throw new AppError('RESTORE_FAILED', `There is no room left where the restore writes: ${error.message}`);
}
