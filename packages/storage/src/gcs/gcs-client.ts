// Google Cloud Storage: one request an object, refused by ifGenerationMatch=0 when the name is taken. The library takes no
// signal for most calls; those are left to themselves when the signal aborts, and change nothing but what they were sent for.

import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ApiError, Storage as GcsLibrary, type Bucket } from '@google-cloud/storage';
import { AppError, cancelledError, throwIfAborted, type Secret } from '@varve/base';
import { otherError } from '../object/network-error.ts';
import type { ObjectBody, ObjectCallOptions, ObjectClient } from '../object/object-client.ts';
import type { RangeAnswer } from '../range.ts';
import { collect, steps } from '../transfer.ts';

export interface GcsClientOptions {
  readonly bucket: string;
  readonly region: string;
  readonly projectId: string | undefined;
  readonly keyFile: string | undefined;
  readonly token: Secret | undefined;
}

export class GcsObjectClient implements ObjectClient {
  readonly suffixes = false;
  readonly refusesReplacement = true;
  readonly #library: GcsLibrary;
  readonly #bucket: Bucket;
  readonly #options: GcsClientOptions;

  constructor(options: GcsClientOptions) {
    const { projectId, keyFile, token } = options;
    this.#options = options;
    this.#library = new GcsLibrary({
      // The wrapper tries again, with the pauses that the caller chose.
      retryOptions: { autoRetry: false, maxRetries: 0 },
      ...(projectId === undefined ? {} : { projectId }),
      ...(keyFile === undefined ? {} : { keyFilename: keyFile }),
      ...(token === undefined ? {} : { token: token.reveal() }),
    });
    this.#bucket = this.#library.bucket(options.bucket);
  }

  async createPlace({ signal }: ObjectCallOptions): Promise<void> {
    try {
      await orAborted(this.#bucket.getMetadata(), signal);
    } catch (error) {
      if (statusOf(error) === 403) {
        // Accounts that may use a bucket often may not look at it as a whole.
        await orAborted(this.#bucket.getFiles({ maxResults: 1, autoPaginate: false }), signal);
        return;
      }
      if (statusOf(error) !== 404) throw error;
      await orAborted(this.#bucket.create({ location: this.#options.region }), signal);
    }
  }

  async put(key: string, { parts }: ObjectBody, options: ObjectCallOptions): Promise<'stored' | 'exists'> {
    const target = this.#bucket.file(key).createWriteStream({
      resumable: false,
      validation: 'md5',
      preconditionOpts: { ifGenerationMatch: 0 },
      contentType: 'application/octet-stream',
    });
    try {
      const source = Readable.from(steps(parts, options.onTransfer), { objectMode: false });
      await (options.signal ? pipeline(source, target, { signal: options.signal }) : pipeline(source, target));
      return 'stored';
    } catch (error) {
      if (statusOf(error) === 412) return 'exists';
      throw error;
    }
  }

  async get(key: string, range: string | undefined, options: ObjectCallOptions): Promise<RangeAnswer> {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    const source = this.#bucket.file(key).createReadStream({
      decompress: false,
      ...(first === undefined ? {} : { start: Number(first), validation: false }),
      ...(last === undefined || last === '' ? {} : { end: Number(last) }),
    });
    const onAbort = (): void => void source.destroy(cancelledError(options.signal));
    options.signal?.addEventListener('abort', onAbort, { once: true });
    try {
      return { bytes: await collect(source as AsyncIterable<Uint8Array>, options), whole: false };
    } catch (error) {
      if (statusOf(error) === 416) return null;
      throw error;
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
    }
  }

  async sizeOf(key: string, { signal }: ObjectCallOptions): Promise<number> {
    const [{ size }] = await orAborted(this.#bucket.file(key).getMetadata(), signal);
    return Number(size ?? 0);
  }

  async *list(prefix: string, { signal }: ObjectCallOptions): AsyncGenerator<{ key: string; sizeBytes: number }> {
    for await (const file of this.#bucket.getFilesStream({ prefix }) as AsyncIterable<{
      readonly name: string;
      readonly metadata: { readonly size?: string | number };
    }>) {
      throwIfAborted(signal);
      yield { key: file.name, sizeBytes: Number(file.metadata.size ?? 0) };
    }
  }

  async remove(key: string, { signal }: ObjectCallOptions): Promise<void> {
    await orAborted(this.#bucket.file(key).delete(), signal);
  }

  /** The library does not show the answer's date. */
  async serverTime(): Promise<Date | null> {
    return null;
  }

  toError(error: unknown, action: string): AppError {
    if (error instanceof AppError) return error;
    return otherError(error, statusOf(error), action);
  }

  async close(): Promise<void> {}
}

function statusOf(error: unknown): number | undefined {
  return error instanceof ApiError && typeof error.code === 'number' ? error.code : undefined;
}

async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(cancelledError(signal));
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
