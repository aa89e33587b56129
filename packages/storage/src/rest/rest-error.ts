// Turns answers of a REST server and failures of its connection into the contract's errors.

import { AppError, messageOf, redact, systemErrorCode } from '@varve/base';
import { retryAfterOf } from '../retry-after.ts';
import { untrustedError } from '../tls-files.ts';
import type { RestRequest, RestResponse } from './rest-transport.ts';

interface Failure {
  /** Completes “Could not …”. */
  readonly action: string;
  readonly location: string;
}

/** An answer that is not what was asked for. */
export function answerError(request: RestRequest, response: RestResponse, { action, location }: Failure): AppError {
  const { status } = response;
  const said = redact(response.body.toString('utf8').replace(/\s+/g, ' ').trim().slice(0, 200));
  const message = `Could not ${action}: the server answered ${status}${said === '' ? '' : ` (${said})`}.`;
  const context = { status };
  if (status === 404 || status === 410) return new AppError('STORAGE_FILE_NOT_FOUND', message, { context });
  if (status === 401) {
    return new AppError('STORAGE_DENIED', message, {
      context,
      hint: `Check the user and password for ${location}: in the location, or RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD.`,
    });
  }
  if (status === 403 || status === 405) {
    const refused =
      request.method === 'DELETE'
        ? 'The server does not let files be deleted: it may run append-only, which keeps what is there. Forget and prune where deleting is allowed.'
        : 'The server does not allow this: check the rights of the user on this path, and that the server is not append-only or read-only.';
    return new AppError('STORAGE_DENIED', message, { context, hint: refused });
  }
  if (status === 507 || status === 413) {
    const hint = 'Free some space there or raise the quota, or forget and prune old snapshots, then try again.';
    return new AppError('STORAGE_FULL', message, { context, hint });
  }
  if (status >= 300 && status < 400) {
    const hint = 'The server redirects: give the address that it redirects to, with http or https as it wants it.';
    return new AppError('STORAGE_LOCATION_INVALID', message, { context, hint });
  }
  const mayPass = status >= 500 || status === 429 || status === 408 || status === 425;
  return new AppError(mayPass ? 'STORAGE_UNREACHABLE' : 'STORAGE_LOCATION_INVALID', message, {
    context,
    retry: mayPass,
    retryAfterMs: retryAfterOf(response.headers['retry-after']),
    hint: mayPass
      ? 'Try again later, and look at the log of the server.'
      : 'Check that the address is that of a restic REST server.',
  });
}

const hints: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Nothing listens there: check the address and port, and that the server runs.',
  ENOTFOUND: 'The name of the host is not known: check its spelling and the name server.',
  EAI_AGAIN: 'The name server did not answer: check the network.',
  EPROTO: 'This port does not speak TLS: check http or https, and the port.',
  ERR_SSL_WRONG_VERSION_NUMBER: 'This port does not speak TLS: check http or https, and the port.',
  ERR_TLS_CERT_ALTNAME_INVALID: 'The certificate is for another name: check the name of the host.',
  CERT_HAS_EXPIRED: 'The certificate of the server has expired: renew it there, and check the clock here.',
};
/** A connection that failed. AppErrors pass as they are. */
export function connectionError(error: unknown, { action, location }: Failure, explanation = ''): AppError {
  if (error instanceof AppError) return error;
  const code = systemErrorCode(error) ?? '';
  const reason = [messageOf(error) || code, explanation].filter((text) => text !== '').join('; ');
  const message = `Could not ${action}: ${redact(reason)}.`;
  const untrusted = untrustedError(code, message, error);
  if (untrusted) return untrusted;
  const hint = hints[code] ?? `Check the network and that ${location} is up.`;
  const isFinal =
    code.startsWith('CERT_') ||
    code.startsWith('ERR_TLS') ||
    code === 'EPROTO' ||
    code === 'ERR_SSL_WRONG_VERSION_NUMBER';
  return new AppError('STORAGE_UNREACHABLE', message, { retry: !isFinal, hint, cause: error });
}
