// Turns the system's errors into the contract's.

import { AppError, systemErrorCode, messageOf } from '@varve/base';

/** `action` completes "Could not …", such as `save pack 12ab… to /backup`. AppErrors pass as they are. */
export function localError(error: unknown, action: string): AppError {
  if (error instanceof AppError) return error;
  const reason = systemErrorCode(error);
  const message = `Could not ${action}: ${messageOf(error)}`;
  switch (reason) {
    case 'ENOENT':
      return new AppError('STORAGE_FILE_NOT_FOUND', `Could not ${action}: there is no such file.`, { cause: error });
    case 'EEXIST':
      return new AppError('STORAGE_FILE_EXISTS', `Could not ${action}: the name is taken.`, { cause: error });
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return new AppError(
        'STORAGE_FULL',
        `Could not ${action}: ${reason === 'EDQUOT' ? 'the quota is used up' : 'no space is left'}.`,
        {
          hint: 'Free some space there, or forget and prune old snapshots, then try again.',
          cause: error,
        },
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new AppError(
        'STORAGE_DENIED',
        `Could not ${action}: ${reason === 'EROFS' ? 'it is read-only' : 'permission is denied'}.`,
        {
          hint: 'Check the owner and mode of the folder and how its file system is mounted.',
          cause: error,
        },
      );
    case 'ENOTDIR':
    case 'EISDIR':
    case 'ELOOP':
    case 'ENAMETOOLONG':
      return new AppError('STORAGE_LOCATION_INVALID', message, {
        hint: 'The location has to be a folder.',
        cause: error,
      });
    default:
      return new AppError('STORAGE_UNREACHABLE', message, { retry: true, cause: error });
  }
}

/** For a repository that was there: an unmounted share is an empty folder, and what is written to it would never be seen again. */
export function goneError(error: unknown, root: string, action: string): AppError {
  return new AppError('STORAGE_UNREACHABLE', `Could not ${action}: there is no repository in ${root} any more.`, {
    hint: 'Check that the disk or share is connected and mounted, then try again.',
    retry: true,
    cause: error,
  });
}
