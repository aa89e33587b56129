// S3 by the AWS SDK: one request a file, large ones in parts. A storage class and a retention go with the files that they
// are meant for.

import { Readable } from 'node:stream';
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type BucketLocationConstraint,
  type ObjectLockMode,
  type PutObjectCommandInput,
  type StorageClass,
} from '@aws-sdk/client-s3';
import { AppError, silentLogger, type Clock, type Secret } from '@varve/base';
import type { ObjectBody, ObjectCallOptions, ObjectClient } from '../object/object-client.ts';
import type { RangeAnswer } from '../range.ts';
import { tlsAgentOptions, type TlsFiles } from '../tls-files.ts';
import { collect } from '../transfer.ts';
import { sendOptions, streamedBody } from './s3-body.ts';
import { s3Error, s3Status } from './s3-error.ts';
import { abortAbandoned, multipartFromBytes, putInParts, type MultipartContext } from './s3-multipart.ts';

/** How long files cannot be deleted or replaced for good once they are saved. */
export interface ObjectLock {
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE';
  readonly days: number;
}

export interface S3ClientOptions {
  readonly bucket: string;
  /** Of the repository; without slashes at its ends. */
  readonly prefix: string;
  readonly endpoint: string | null;
  readonly region: string;
  readonly pathStyle: boolean;
  readonly connections: number;
  readonly storageClass: string | undefined;
  /** For everything but locks. */
  readonly objectLock: ObjectLock | undefined;
  /** The first version of the list, for servers that do not know the second. */
  readonly listsV1: boolean;
  readonly tls: TlsFiles;
  readonly clock: Clock;
  readonly isAnonymous: boolean;
  readonly keys: { readonly id: string; readonly secret: Secret; readonly token: Secret | undefined } | undefined;
  readonly profile: string | undefined;
}

const dayMs = 24 * 60 * 60 * 1000;
/** From which a file has to be brought back before it can be read; restic exempts the same. */
const archiveClasses = new Set(['GLACIER', 'DEEP_ARCHIVE']);

interface ListPage {
  readonly objects: readonly { readonly Key?: string | undefined; readonly Size?: number | undefined }[];
  readonly next: string | undefined;
}

export class S3ObjectClient implements ObjectClient {
  readonly suffixes = true;
  /** Amazon honours If-None-Match on writes; of the others some ignore it without a word. */
  readonly refusesReplacement: boolean;
  readonly #client: S3Client;
  readonly #options: S3ClientOptions;
  #cleanUp: Promise<void> | null = null;

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
        httpsAgent: { maxSockets: options.connections, ...tlsAgentOptions(options.tls) },
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
    if (await this.#hasBucket(signal)) return;
    const { bucket: Bucket, region, endpoint, objectLock } = this.#options;
    const isElsewhere = endpoint === null && region !== 'us-east-1';
    const CreateBucketConfiguration = { LocationConstraint: region as BucketLocationConstraint };
    const command = new CreateBucketCommand({
      Bucket,
      ...(isElsewhere ? { CreateBucketConfiguration } : {}),
      // It cannot be turned on later without asking Amazon.
      ...(objectLock ? { ObjectLockEnabledForBucket: true } : {}),
    });
    await this.#client.send(command, sendOptions(signal));
  }

  async #hasBucket(signal: AbortSignal | undefined): Promise<boolean> {
    const Bucket = this.#options.bucket;
    try {
      await this.#client.send(new HeadBucketCommand({ Bucket }), sendOptions(signal));
      return true;
    } catch (error) {
      if (s3Status(error) === 404) return false;
      if (s3Status(error) !== 403) throw error;
    }
    try {
      // An answer to HEAD does not say why; and keys that may use a bucket sometimes may not look at it as a whole.
      await this.#client.send(new ListObjectsV2Command({ Bucket, MaxKeys: 1 }), sendOptions(signal));
      return true;
    } catch (error) {
      if (error instanceof Error && error.name === 'NoSuchBucket') return false;
      throw error;
    }
  }

  async put(key: string, body: ObjectBody, options: ObjectCallOptions): Promise<'stored' | 'exists'> {
    const request = { ...this.#attributes(body), Bucket: this.#options.bucket, Key: key };
    try {
      if (body.sizeBytes > multipartFromBytes) {
        await this.#removeAbandoned(options.signal);
        await putInParts(this.#context, request, body, { ...options, refuseReplacement: this.refusesReplacement });
      } else {
        const { input, digest } = streamedBody(body.parts, options.onTransfer);
        const IfNoneMatch = this.refusesReplacement ? { IfNoneMatch: '*' } : {};
        const command = new PutObjectCommand({ ...request, ...input, ...IfNoneMatch });
        digest.addTo(command);
        await this.#client.send(command, sendOptions(options.signal));
      }
      return 'stored';
    } catch (error) {
      if (s3Status(error) === 412) return 'exists';
      throw error;
    }
  }

  /** An archive class is for what restores alone read; a retention for everything that is not taken away by every run. */
  #attributes({ type, rarelyRead }: ObjectBody): Omit<PutObjectCommandInput, 'Bucket' | 'Key'> {
    const { storageClass, objectLock, clock } = this.#options;
    const hasClass = storageClass !== undefined && (rarelyRead || !archiveClasses.has(storageClass));
    return {
      ContentType: 'application/octet-stream',
      ...(hasClass ? { StorageClass: storageClass as StorageClass } : {}),
      ...(objectLock && type !== 'lock'
        ? {
            ObjectLockMode: objectLock.mode satisfies ObjectLockMode,
            ObjectLockRetainUntilDate: new Date(clock.now().getTime() + objectLock.days * dayMs),
          }
        : {}),
    };
  }

  get #context(): MultipartContext {
    return {
      client: this.#client,
      bucket: this.#options.bucket,
      toError: (error, action) => this.toError(error, action),
    };
  }

  /** Once for a client, before its first upload in parts. */
  #removeAbandoned(signal: AbortSignal | undefined): Promise<void> {
    const { prefix, clock } = this.#options;
    const below = prefix === '' ? '' : `${prefix}/`;
    return (this.#cleanUp ??= abortAbandoned(this.#context, { prefix: below, now: clock.now(), signal }));
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
    const readPage = this.#options.listsV1 ? this.#pageV1.bind(this) : this.#pageV2.bind(this);
    let token: string | undefined;
    do {
      const page = await readPage(prefix, token, signal).catch((error: unknown) => {
        // Before anything is created there is nothing to list.
        if (error instanceof Error && error.name === 'NoSuchBucket') return null;
        throw error;
      });
      for (const { Key, Size } of page?.objects ?? []) {
        if (Key !== undefined) yield { key: Key, sizeBytes: Size ?? 0 };
      }
      token = page?.next;
    } while (token !== undefined);
  }

  async #pageV2(Prefix: string, token: string | undefined, signal: AbortSignal | undefined): Promise<ListPage> {
    const command = new ListObjectsV2Command({
      Bucket: this.#options.bucket,
      Prefix,
      ...(token === undefined ? {} : { ContinuationToken: token }),
    });
    const { Contents = [], NextContinuationToken } = await this.#client.send(command, sendOptions(signal));
    return { objects: Contents, next: NextContinuationToken };
  }

  /** Without a delimiter the next page begins after the last key of this one. */
  async #pageV1(Prefix: string, marker: string | undefined, signal: AbortSignal | undefined): Promise<ListPage> {
    const command = new ListObjectsCommand({
      Bucket: this.#options.bucket,
      Prefix,
      ...(marker === undefined ? {} : { Marker: marker }),
    });
    const { Contents = [], IsTruncated, NextMarker } = await this.#client.send(command, sendOptions(signal));
    return { objects: Contents, next: IsTruncated === true ? (NextMarker ?? Contents.at(-1)?.Key) : undefined };
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
