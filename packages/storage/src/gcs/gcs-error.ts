// Cloud Storage's errors (JSON API reference, “HTTP status and error codes”) in the contract's terms, with what to do.

import { AppError, messageOf, redact } from '@varve/base';
import { damagedOnTheWay, otherError } from '../object/network-error.ts';
import type { RestResponse } from '../rest/rest-transport.ts';
import { retryAfterOf } from '../retry-after.ts';
import { credentialsHint } from './gcs-credentials.ts';

interface GoogleBody {
  readonly error?: { readonly message?: string; readonly errors?: readonly { readonly reason?: string }[] };
}

/** An answer that is not what was asked for. */
export class GcsAnswerError extends Error {
  readonly status: number;
  readonly reason: string;
  readonly retryAfterMs: number | undefined;
  /** Of a request for nothing else, so that 404 means the bucket, whatever the text says. */
  readonly isOfBucket: boolean;

  constructor({ status, headers, body }: RestResponse, { isOfBucket = false } = {}) {
    const text = body.toString('utf8');
    const parsed = bodyOf(text);
    const said = parsed?.message ?? text;
    super(redact(said.replace(/\s+/g, ' ').trim().slice(0, 300)) || `status ${status}`);
    this.status = status;
    this.reason = parsed?.errors?.[0]?.reason ?? '';
    this.retryAfterMs = retryAfterOf(headers['retry-after']);
    this.isOfBucket = isOfBucket;
  }
}

const rights =
  'Give the account the role “Storage Object Admin” (roles/storage.objectAdmin) on the bucket; to make one it also needs storage.buckets.create.';
const noBucket =
  'There is no such bucket: check its name. `varve repo init` makes it when GOOGLE_PROJECT_ID names the project.';

export function gcsError(error: unknown, action: string, bucket: string): AppError {
  if (error instanceof AppError) return error;
  if (!(error instanceof GcsAnswerError)) return otherError(error, { status: undefined }, action);
  const { status, reason, message: said } = error;
  const message = `Could not ${action}: ${said} (status ${status}, bucket ${bucket}).`;
  const cause = new Error(messageOf(error));
  if (status === 401) return new AppError('STORAGE_DENIED', message, { hint: credentialsHint, cause });
  if (status === 404 && (error.isOfBucket || /bucket does not exist/i.test(said))) {
    return new AppError('STORAGE_LOCATION_INVALID', message, { hint: noBucket, cause });
  }
  if (status === 403 && /rateLimitExceeded/i.test(reason))
    return otherError(error, { status: 429, retryAfterMs: error.retryAfterMs }, action);
  if (status === 403) {
    const isKept = reason === 'retentionPolicyNotMet' || reason === 'objectUnderActiveHold';
    const hint = isKept ? 'A retention policy or a hold keeps the file: it can be deleted when that ends.' : rights;
    return new AppError('STORAGE_DENIED', message, { hint, cause });
  }
  // “Data validation”: 400, whose reason is that of every bad request.
  if (status === 400 && /match calculated MD5/i.test(said)) return damagedOnTheWay(action, 'its MD5 differs', cause);
  if (status === 400 && reason !== '') {
    const hint = 'Check the name of the bucket and the region that it is made in (gs.region).';
    return new AppError('STORAGE_LOCATION_INVALID', message, { hint, cause });
  }
  return otherError(error, error, action);
}

function bodyOf(text: string): GoogleBody['error'] {
  try {
    return (JSON.parse(text) as GoogleBody).error;
  } catch {
    return undefined;
  }
}
