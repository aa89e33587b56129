// The location of a repository as it is kept and shown.

import { resolve } from 'node:path';
import { AppError, redact } from '@varve/base';

/** A local location made absolute, so that it means the same in every process; others stay as they are. */
export function absoluteLocation(location: string): string {
  const path = location.startsWith('local:') ? location.slice('local:'.length) : location;
  return /^[a-z][a-z0-9+.-]*:/i.test(path) ? location : resolve(path);
}

/** The location is shown and kept in clear, so it must not hold a secret. SETTINGS_INVALID. */
export function assertNoPassword(location: string): void {
  if (redact(location) === location) return;
  throw new AppError('SETTINGS_INVALID', 'The location holds a password, and locations are shown and kept in clear.', {
    hint: 'Leave the password out and set RESTIC_REST_PASSWORD in the environment of Varve instead.',
  });
}
