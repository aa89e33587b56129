// S3's error codes (API reference, “Error responses”) in the contract's terms, with what to do.

import { AppError, messageOf, redact, type ErrorCode } from '@varve/base';
import { damagedOnTheWay, otherError, plainError } from '../object/network-error.ts';
import { retryAfterOf } from '../retry-after.ts';

interface Place {
  readonly bucket: string;
  readonly region: string;
}

/** The HTTP status of a failed call. */
export function s3Status(error: unknown): number | undefined {
  // Also of answers that the library could not read, such as a proxy's page.
  if (!(error instanceof Error) || !('$metadata' in error)) return undefined;
  return (error.$metadata as { readonly httpStatusCode?: number } | undefined)?.httpStatusCode;
}

function retryAfterMs(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('$response' in error)) return undefined;
  const response = error.$response as { readonly headers?: Readonly<Record<string, string>> } | undefined;
  return retryAfterOf(response?.headers?.['retry-after']);
}

const keys = 'Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the profile in AWS_PROFILE).';
const region = 'Give the bucket’s region in the option s3.region or in AWS_DEFAULT_REGION.';
const objectLock = 'Check s3.object-lock-mode and s3.object-lock-days: the bucket has to be made with object lock.';
const space = 'Free some space there or raise the quota, or forget and prune old snapshots, then try again.';

const meanings: Readonly<Record<string, readonly [code: ErrorCode, hint: string, retry?: boolean]>> = {
  NoSuchKey: ['STORAGE_FILE_NOT_FOUND', ''],
  NoSuchBucket: ['STORAGE_LOCATION_INVALID', 'There is no such bucket: check its name, the endpoint and the region.'],
  InvalidBucketName: [
    'STORAGE_LOCATION_INVALID',
    'A bucket is named by 3 to 63 lowercase letters, digits, dots and dashes.',
  ],
  BucketAlreadyExists: ['STORAGE_DENIED', 'The bucket belongs to somebody else: choose another name.'],
  InvalidAccessKeyId: ['STORAGE_DENIED', `The access key is not known there. ${keys}`],
  SignatureDoesNotMatch: ['STORAGE_DENIED', `The secret key does not belong to the access key. ${keys}`],
  ExpiredToken: ['STORAGE_DENIED', 'The session has expired: get new temporary credentials.'],
  InvalidToken: ['STORAGE_DENIED', 'The session token is not valid: get new temporary credentials.'],
  CredentialsProviderError: ['STORAGE_DENIED', `No credentials were found. ${keys}`],
  AccessDenied: [
    'STORAGE_DENIED',
    'The key may not do this: it needs s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject below it.',
  ],
  RequestTimeTooSkewed: [
    'STORAGE_DENIED',
    'The clock of this machine is wrong: set it (timedatectl set-ntp true).',
    true,
  ],
  AuthorizationHeaderMalformed: ['STORAGE_LOCATION_INVALID', region],
  PermanentRedirect: ['STORAGE_LOCATION_INVALID', region],
  IllegalLocationConstraintException: ['STORAGE_LOCATION_INVALID', region],
  InvalidStorageClass: ['STORAGE_LOCATION_INVALID', 'Check the option s3.storage-class.'],
  InvalidObjectState: ['STORAGE_DENIED', 'The file is in an archive tier (Glacier): restore it there first.'],
  InvalidRetentionPeriod: ['STORAGE_LOCATION_INVALID', objectLock],
  ObjectLockConfigurationNotFoundError: ['STORAGE_LOCATION_INVALID', objectLock],
  QuotaExceeded: ['STORAGE_FULL', space],
  XMinioStorageFull: ['STORAGE_FULL', space],
};

/** Of a body that is not what its Content-MD5 or x-amz-content-sha256 says. */
const damage = new Set(['BadDigest', 'XAmzContentSHA256Mismatch']);

export function s3Error(error: unknown, action: string, place: Place): AppError {
  if (error instanceof AppError) return error;
  const name = error instanceof Error ? error.name : '';
  const status = s3Status(error);
  const meaning = Object.hasOwn(meanings, name) ? meanings[name] : undefined;
  if (meaning) {
    const [code, hint, retry = false] = meaning;
    const said = redact(messageOf(error)).trim();
    const message = `Could not ${action}: ${name}${said === '' || said === name ? '' : `, ${said}`} (bucket ${place.bucket}).`;
    return new AppError(code, message, { retry, cause: plainError(error, name), ...(hint === '' ? {} : { hint }) });
  }
  if (damage.has(name)) return damagedOnTheWay(action, name, plainError(error, name));
  if (status === 301 || status === 400) {
    const message = `Could not ${action}: the server answered ${status} ${name} for bucket ${place.bucket} in region ${place.region}.`;
    return new AppError('STORAGE_LOCATION_INVALID', message, { hint: region, cause: plainError(error, name) });
  }
  if (status === 403) {
    const message = `Could not ${action}: the server denies it (bucket ${place.bucket}).`;
    const hint = `${keys} They need s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject there.`;
    return new AppError('STORAGE_DENIED', message, { hint, cause: plainError(error, name) });
  }
  return otherError(error, { status, retryAfterMs: retryAfterMs(error) }, action);
}
