// Failures of the file system as errors of a spool, and which of them pass by themselves.

import { AppError, isAppError, messageOf, systemErrorCode } from '@varve/base';

const noRoomCodes = new Set(['ENOSPC', 'EDQUOT']);

/** The disk or the quota is full: nothing is broken. */
export function isNoRoom(error: unknown): boolean {
  return noRoomCodes.has(systemErrorCode(error) ?? '');
}

/** WAL_SPOOL_FAILED for what the file system said; errors of this program pass unchanged. */
export function failureOf(error: unknown, folder: string): AppError {
  if (isAppError(error)) return error;
  const code = systemErrorCode(error);
  const hint = isNoRoom(error)
    ? 'Make room on that disk: capturing goes on by itself, and until then the server keeps the WAL.'
    : 'Check that this user may write there and that the disk is in order.';
  return new AppError('WAL_SPOOL_FAILED', `The WAL spool ${folder} cannot be written: ${messageOf(error)}.`, {
    hint,
    retry: isNoRoom(error),
    context: { folder, ...(code === undefined ? {} : { systemCode: code }) },
    cause: error,
  });
}
