// Whether an error says that stored content is gone or changed: it will not be there the next time either, and what else is
// stored may well be good.

import { isAppError, type AppError } from '@varve/base';

const lasting = ['REPOSITORY_DAMAGED', 'STORAGE_DAMAGED', 'STORAGE_FILE_NOT_FOUND', 'PATH_NOT_FOUND'] as const;

/** A pack that was deleted, bytes that were changed, a tree without the file. */
export function isLost(error: unknown): error is AppError {
  return lasting.some((code) => isAppError(error, code));
}
