// What the libraries of all object stores say alike: failed connections and statuses that may pass.

import { AppError, messageOf, redact, systemErrorCode } from '@varve/base';
import { untrustedError } from '../tls-files.ts';

const hints: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Nothing listens there: check the address and port.',
  ENOTFOUND: 'The name of the host is not known: check its spelling, the region and the name server.',
  EAI_AGAIN: 'The name server did not answer: check the network.',
};

export interface Answer {
  /** Undefined when none came (the connection). */
  readonly status: number | undefined;
  readonly retryAfterMs?: number | undefined;
}

/** The error for a status without a meaning of its own, or for none. */
export function otherError(error: unknown, { status, retryAfterMs }: Answer, action: string): AppError {
  const code = systemErrorCode(error) ?? systemErrorCode(error instanceof Error ? error.cause : undefined) ?? '';
  const cause = plainError(error, code);
  const said = redact(messageOf(error)).replace(/\s+/g, ' ').trim().slice(0, 300) || code;
  const message = `Could not ${action}: ${said}${status === undefined ? '' : ` (status ${status})`}.`;
  const untrusted = untrustedError(code, message, cause);
  if (untrusted) return untrusted;
  if (status === 404) return new AppError('STORAGE_FILE_NOT_FOUND', message, { cause });
  if (status === 401 || status === 403) {
    const hint = 'Check the credentials, and that they may list, read, write and delete there.';
    return new AppError('STORAGE_DENIED', message, { hint, cause });
  }
  if (status === 507 || status === 413) {
    const hint = 'Free some space there or raise the quota, or forget and prune old snapshots, then try again.';
    return new AppError('STORAGE_FULL', message, { hint, cause });
  }
  const mayPass = status === undefined || status >= 500 || status === 408 || status === 409 || status === 429;
  const hint = hints[code] ?? 'Check the network and the state of the service, then try again.';
  return new AppError('STORAGE_UNREACHABLE', message, { retry: mayPass, retryAfterMs, hint, cause });
}

/** The server has got other bytes than were sent, by the checksum that came with them, and has stored nothing. */
export function damagedOnTheWay(action: string, said: string, cause: Error): AppError {
  return new AppError('STORAGE_UNREACHABLE', `Could not ${action}: the data was damaged on the way (${said}).`, {
    retry: true,
    hint: 'Try again. When it comes again, test the memory of this machine and whatever is between it and the service.',
    cause,
  });
}

/** Without the request that libraries attach to their errors: its headers and address hold signatures and tokens. */
export function plainError(error: unknown, code?: string): Error {
  const plain = new Error(redact(messageOf(error)));
  return code === undefined || code === '' ? plain : Object.assign(plain, { code });
}
