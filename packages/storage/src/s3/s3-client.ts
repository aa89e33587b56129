// S3 by the AWS SDK: one request a file (a pack is far below the 5 GiB that one may have), its MD5 and SHA-256 given
// beforehand, so that the body can be streamed, servers other than Amazon's understand it, and buckets with object lock
// accept it.

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
  type BucketLocationConstraint,
  type StorageClass,
} from '@aws-sdk/client-s3';
import { AppError, silentLogger, type Secret } from '@varve/base';
import type { ObjectBody, ObjectCallOptions, ObjectClient } from '../object/object-client.ts';
import type { RangeAnswer } from '../range.ts';
import { collect, steps } from '../transfer.ts';
import { s3Error, s3Status } from './s3-error.ts';

export interface S3ClientOptions {
  readonly bucket: string;
  readonly endpoint: string | null;
  readonly region: string;
  readonly pathStyle: boolean;
  readonly connections: number;
  readonly storageClass: string | undefined;
  readonly isAnonymous: boolean;
  readonly keys: { readonly id: string; readonly secret: Secret; readonly token: Secret | undefined } | undefined;
  readonly profile: string | undefined;
}

export class S3ObjectClient implements ObjectClient {
  readonly suffixes = true;
  /** Amazon honours If-None-Match on writes; of the others some ignore it without a word. */
  readonly refusesReplacement: boolean;
  readonly #client: S3Client;
  readonly #options: S3ClientOptions;

  constructor(options: S3ClientOptions) {
    const { keys, endpoint, profile } = options;
    this.#options = options;
    this.refusesReplacement = endpoint === null;
    this.#client = new S3Client({
      region: options.region,
      forcePathStyle: options.pathStyle,
      followRegionRedirects: endpoint === null,
      // The wrapper tries again, with the pauses that the caller chose.
      maxAttempts: 1,
      // What fails is returned; the SDK would also write it to the console.
      logger: silentLogger,
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        httpAgent: { maxSockets: options.connections },
        httpsAgent: { maxSockets: options.connections },
      },
      ...(endpoint === null ? {} : { endpoint }),
      ...(profile === undefined ? {} : { profile }),
      ...(options.isAnonymous ? { signer: { sign: (request) => Promise.resolve(request) } } : {}),
      ...(keys === undefined
        ? {}
        : {
            credentials: {
              accessKeyId: keys.id,
              secretAccessKey: keys.secret.reveal(),
              ...(keys.token === undefined ? {} : { sessionToken: keys.token.reveal() }),
            },
          }),
    });
  }

  async createPlace({ signal }: ObjectCallOptions): Promise<void> {
    const { bucket: Bucket, region, endpoint } = this.#options;
    try {
      await this.#client.send(new HeadBucketCommand({ Bucket }), sendOptions(signal));
    } catch (error) {
      if (s3Status(error) === 403) {
        // An answer to HEAD does not say why; and keys that may use a bucket sometimes may not look at it as a whole.
        await this.#client.send(new ListObjectsV2Command({ Bucket, MaxKeys: 1 }), sendOptions(signal));
        return;
      }
      if (s3Status(error) !== 404) throw error;
      const isElsewhere = endpoint === null && region !== 'us-east-1';
      const CreateBucketConfiguration = { LocationConstraint: region as BucketLocationConstraint };
      const command = new CreateBucketCommand({ Bucket, ...(isElsewhere ? { CreateBucketConfiguration } : {}) });
      await this.#client.send(command, sendOptions(signal));
    }
  }

  async put(key: string, { parts, sizeBytes }: ObjectBody, options: ObjectCallOptions): Promise<'stored' | 'exists'> {
    const md5 = createHash('md5');
    const sha256 = createHash('sha256');
    for (const part of parts) {
      md5.update(part);
      sha256.update(part);
    }
    const { bucket: Bucket, storageClass } = this.#options;
    const command = new PutObjectCommand({
      Bucket,
      Key: key,
      Body:
        sizeBytes === 0 ? new Uint8Array(0) : Readable.from(steps(parts, options.onTransfer), { objectMode: false }),
      ContentLength: sizeBytes,
      ContentMD5: md5.digest('base64'),
      ContentType: 'application/octet-stream',
      ...(this.refusesReplacement ? { IfNoneMatch: '*' } : {}),
      ...(storageClass === undefined ? {} : { StorageClass: storageClass as StorageClass }),
    });
    const digest = sha256.digest('hex');
    command.middlewareStack.add(
      (next) => (call) => {
        (call.request as { headers: Record<string, string> }).headers['x-amz-content-sha256'] = digest;
        return next(call);
      },
      { step: 'build', name: 'knownDigest' },
    );
    try {
      await this.#client.send(command, sendOptions(options.signal));
      return 'stored';
    } catch (error) {
      if (s3Status(error) === 412) return 'exists';
      throw error;
    }
  }

  async get(key: string, range: string | undefined, options: ObjectCallOptions): Promise<RangeAnswer> {
    const command = new GetObjectCommand({
      Bucket: this.#options.bucket,
      Key: key,
      ...(range === undefined ? {} : { Range: range }),
    });
    try {
      const { Body, ContentLength, ContentRange } = await this.#client.send(command, sendOptions(options.signal));
      if (!(Body instanceof Readable))
        throw new AppError('STORAGE_UNREACHABLE', 'the answer has no content', { retry: true });
      const bytes = await collect(Body as AsyncIterable<Uint8Array>, options);
      if (ContentLength !== undefined && bytes.length !== ContentLength) throw new Error('the answer was cut short');
      return { bytes, whole: range !== undefined && ContentRange === undefined };
    } catch (error) {
      if (s3Status(error) === 416) return null;
      throw error;
    }
  }

  async sizeOf(key: string, { signal }: ObjectCallOptions): Promise<number> {
    const command = new HeadObjectCommand({ Bucket: this.#options.bucket, Key: key });
    const { ContentLength } = await this.#client.send(command, sendOptions(signal));
    return ContentLength ?? 0;
  }

  async *list(prefix: string, { signal }: ObjectCallOptions): AsyncGenerator<{ key: string; sizeBytes: number }> {
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.#options.bucket,
        Prefix: prefix,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      });
      const page = await this.#client.send(command, sendOptions(signal)).catch((error: unknown) => {
        // Before anything is created there is nothing to list.
        if (error instanceof S3ServiceException && error.name === 'NoSuchBucket') return null;
        throw error;
      });
      for (const { Key, Size } of page?.Contents ?? []) {
        if (Key !== undefined) yield { key: Key, sizeBytes: Size ?? 0 };
      }
      token = page?.NextContinuationToken;
    } while (token !== undefined);
  }

  async remove(key: string, { signal }: ObjectCallOptions): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket: this.#options.bucket, Key: key }), sendOptions(signal));
  }

  /** Of the answer's Date header. */
  async serverTime({ signal }: ObjectCallOptions): Promise<Date | null> {
    let date: string | undefined;
    const command = new HeadBucketCommand({ Bucket: this.#options.bucket });
    command.middlewareStack.add(
      (next) => async (call) => {
        const result = await next(call);
        date = (result.response as { headers?: Record<string, string> }).headers?.['date'];
        return result;
      },
      { step: 'deserialize', name: 'date' },
    );
    await this.#client.send(command, sendOptions(signal));
    const time = date === undefined ? null : new Date(date);
    return time === null || Number.isNaN(time.getTime()) ? null : time;
  }

  toError(error: unknown, action: string): AppError {
    return s3Error(error, action, this.#options);
  }

  async close(): Promise<void> {
    this.#client.destroy();
  }
}

function sendOptions(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
