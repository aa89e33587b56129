// A body of a request to S3 that is streamed and whose MD5 and SHA-256 are known beforehand: servers other than Amazon's
// understand it (no aws-chunked), buckets with object lock accept it, and nothing is copied.

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { PutObjectCommand, UploadPartCommand } from '@aws-sdk/client-s3';
import type { OnTransfer } from '../contract.ts';
import { partsOf, steps } from '../transfer.ts';

export interface KnownDigest {
  /** Gives the command the SHA-256, so that the library does not read the body for it. */
  addTo(command: PutObjectCommand | UploadPartCommand): void;
}

export interface BodyCommand<C> {
  readonly command: C;
  readonly digest: KnownDigest;
}

export interface StreamedBody {
  readonly input: { readonly Body: Readable | Uint8Array; readonly ContentLength: number; readonly ContentMD5: string };
  readonly digest: KnownDigest;
}

export function streamedBody(data: readonly Uint8Array[], onTransfer: OnTransfer | undefined): StreamedBody {
  const { parts, sizeBytes } = partsOf(data);
  const md5 = createHash('md5');
  const sha256 = createHash('sha256');
  for (const part of parts) {
    md5.update(part);
    sha256.update(part);
  }
  const hex = sha256.digest('hex');
  return {
    input: {
      Body: sizeBytes === 0 ? new Uint8Array(0) : Readable.from(steps(parts, onTransfer), { objectMode: false }),
      ContentLength: sizeBytes,
      ContentMD5: md5.digest('base64'),
    },
    digest: { addTo: (command) => addDigest(command, hex) },
  };
}

function addDigest(command: PutObjectCommand | UploadPartCommand, hex: string): void {
  // The two kinds of commands have one method with two types that cannot be called as one.
  const { middlewareStack } = command as PutObjectCommand;
  middlewareStack.add(
    (next) => (call) => {
      (call.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = hex;
      return next(call);
    },
    { step: 'build', name: 'knownDigest' },
  );
}

export function sendOptions(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
