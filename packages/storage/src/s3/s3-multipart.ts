// Large objects in parts: several under way at once, each tried again by itself, so that a line that breaks costs a part and
// not the file (S3 user guide, “Uploading and copying objects using multipart upload”). Until it is completed nothing is
// there under the key; what is broken off is aborted, and what a process that died has left is aborted a day later.

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  UploadPartCommand,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { mapConcurrently, retry, type AppError } from '@varve/base';
import type { ObjectBody, ObjectCallOptions } from '../object/object-client.ts';
import { sendOptions, streamedBody, type BodyCommand } from './s3-body.ts';

/** Larger files go in parts of this size; S3 wants 5 MiB at least, and 10,000 parts at most. */
export const partBytes = 16 * 1024 * 1024;
/** Below this a single request is quicker. */
export const multipartFromBytes = 2 * partBytes;
const partsAtOnce = 4;
const partRetries = { attempts: 4, firstDelayMs: 500, maxDelayMs: 5000 };
/** How long an upload that failed may take to be taken back. */
const abortLimitMs = 5000;
/** Nobody takes a day for one file: whoever began it is gone. */
const abandonedAfterMs = 24 * 60 * 60 * 1000;

export interface MultipartContext {
  readonly client: S3Client;
  readonly bucket: string;
  toError(error: unknown, action: string): AppError;
}

/** Stores the object; `request` is what a PutObject of it would be given besides its body. Rejects with the library's errors. */
export async function putInParts(
  context: MultipartContext,
  request: Omit<PutObjectCommandInput, 'Body' | 'IfNoneMatch'> & { readonly Key: string },
  body: ObjectBody,
  options: ObjectCallOptions & { readonly refuseReplacement: boolean },
): Promise<void> {
  const { client, bucket: Bucket } = context;
  const { Key } = request;
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(request), sendOptions(options.signal));
  if (UploadId === undefined) throw new Error('the server began an upload without an id');
  try {
    const Parts = await putParts(context, { Key, UploadId }, body, options);
    const command = new CompleteMultipartUploadCommand({
      Bucket,
      Key,
      UploadId,
      MultipartUpload: { Parts },
      ...(options.refuseReplacement ? { IfNoneMatch: '*' } : {}),
    });
    await client.send(command, sendOptions(options.signal));
  } catch (error) {
    await abort(context, { Key, UploadId });
    throw error;
  }
}

interface Upload {
  readonly Key: string;
  readonly UploadId: string;
}

/** No part is under way any more when this settles. */
async function putParts(
  context: MultipartContext,
  upload: Upload,
  { parts, sizeBytes }: ObjectBody,
  options: ObjectCallOptions,
): Promise<{ PartNumber: number; ETag: string | undefined }[]> {
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  const count = Math.ceil(sizeBytes / partBytes);
  const numbers = Array.from({ length: count }, (_, index) => index + 1);
  const outcomes = await mapConcurrently(numbers, partsAtOnce, async (PartNumber) => {
    try {
      if (failed.signal.aborted) return null;
      const start = (PartNumber - 1) * partBytes;
      const slice = slicesOf(parts, start, Math.min(start + partBytes, sizeBytes));
      const command = (): BodyCommand<UploadPartCommand> => {
        const { input, digest } = streamedBody(slice, options.onTransfer);
        return { command: new UploadPartCommand({ Bucket: context.bucket, ...upload, PartNumber, ...input }), digest };
      };
      const ETag = await retry({ ...partRetries, signal }, () => putPart(context, command(), signal));
      return { PartNumber, ETag };
    } catch (error) {
      // The first failure ends the others; whoever waits hears of it when all have ended.
      if (!failed.signal.aborted) failed.abort(error);
      return null;
    }
  });
  if (failed.signal.aborted) throw failed.signal.reason;
  return outcomes.filter((part) => part !== null);
}

async function putPart(
  context: MultipartContext,
  { command, digest }: BodyCommand<UploadPartCommand>,
  signal: AbortSignal,
): Promise<string | undefined> {
  digest.addTo(command);
  try {
    return (await context.client.send(command, sendOptions(signal))).ETag;
  } catch (error) {
    throw context.toError(error, `save part ${command.input.PartNumber} of ${command.input.Key}`);
  }
}

/** The same bytes from `start` to `end` of the whole, not copied. */
function slicesOf(parts: readonly Uint8Array[], start: number, end: number): Uint8Array[] {
  const slices: Uint8Array[] = [];
  let position = 0;
  for (const part of parts) {
    const from = Math.max(0, start - position);
    const to = Math.min(part.length, end - position);
    if (from < to) slices.push(part.subarray(from, to));
    position += part.length;
  }
  return slices;
}

/** Best effort: what is left costs money until the next process cleans up. */
async function abort({ client, bucket: Bucket }: MultipartContext, upload: Upload): Promise<void> {
  const signal = AbortSignal.timeout(abortLimitMs);
  await client.send(new AbortMultipartUploadCommand({ Bucket, ...upload }), { abortSignal: signal }).catch(() => {});
}

/**
 * Aborts what processes that died have begun below `prefix`. Best effort: keys often may not list uploads, and some servers
 * do not; the storage then needs a lifecycle rule.
 */
export async function abortAbandoned(
  context: MultipartContext,
  { prefix, now, signal }: { readonly prefix: string; readonly now: Date; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { client, bucket: Bucket } = context;
  try {
    const command = new ListMultipartUploadsCommand({ Bucket, Prefix: prefix });
    const { Uploads = [] } = await client.send(command, sendOptions(signal));
    for (const { Key, UploadId, Initiated } of Uploads) {
      const isOld = Initiated !== undefined && now.getTime() - Initiated.getTime() > abandonedAfterMs;
      if (isOld && Key !== undefined && UploadId !== undefined) await abort(context, { Key, UploadId });
    }
  } catch {
    // See above.
  }
}
