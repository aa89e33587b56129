// Azure Blob Storage: block blobs, each put in one request with its MD5, refused by If-None-Match when the name is taken.

import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import { BlobServiceClient, RestError, StorageSharedKeyCredential, type ContainerClient } from '@azure/storage-blob';
import { AppError, messageOf, type ErrorCode, type Secret } from '@varve/base';
import { damagedOnTheWay, otherError, plainError } from '../object/network-error.ts';
import type { ObjectBody, ObjectCallOptions, ObjectClient } from '../object/object-client.ts';
import type { RangeAnswer } from '../range.ts';
import { retryAfterOf } from '../retry-after.ts';
import { collect, steps } from '../transfer.ts';

export type AzureAccess =
  | { readonly kind: 'connection-string'; readonly connectionString: Secret }
  | { readonly kind: 'key'; readonly url: string; readonly account: string; readonly key: Secret }
  | { readonly kind: 'sas'; readonly url: string; readonly sas: Secret }
  | { readonly kind: 'identity'; readonly url: string };

interface AzureClientOptions {
  readonly container: string;
  readonly tier: string | undefined;
  readonly access: AzureAccess;
}

// The wrapper tries again, with the pauses that the caller chose.
const pipeline = { retryOptions: { maxTries: 1 } };

const meanings: Readonly<Record<string, readonly [code: ErrorCode, hint: string]>> = {
  BlobNotFound: ['STORAGE_FILE_NOT_FOUND', ''],
  ContainerNotFound: ['STORAGE_LOCATION_INVALID', 'There is no such container: check its name and the account.'],
  ContainerBeingDeleted: ['STORAGE_LOCATION_INVALID', 'The container is being deleted: choose another one.'],
  InvalidResourceName: [
    'STORAGE_LOCATION_INVALID',
    'A container is named by 3 to 63 lowercase letters, digits and dashes.',
  ],
  AuthenticationFailed: [
    'STORAGE_DENIED',
    'Check AZURE_ACCOUNT_NAME with AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS, that the SAS has not expired, and the clock of this machine.',
  ],
  AuthorizationFailure: [
    'STORAGE_DENIED',
    'Check AZURE_ACCOUNT_KEY or AZURE_ACCOUNT_SAS and what it may do, and the firewall of the storage account.',
  ],
  AuthorizationPermissionMismatch: [
    'STORAGE_DENIED',
    'Give the identity the role “Storage Blob Data Contributor”, or the SAS the rights racwdl.',
  ],
  BlobImmutableDueToPolicy: ['STORAGE_DENIED', 'A policy keeps the file: it can be deleted when that ends.'],
  BlobArchived: ['STORAGE_DENIED', 'The file is in the archive tier: rehydrate it there first.'],
};

export class AzureObjectClient implements ObjectClient {
  readonly suffixes = false;
  readonly refusesReplacement = true;
  readonly #container: ContainerClient;
  readonly #tier: string | undefined;

  private constructor(container: ContainerClient, tier: string | undefined) {
    this.#container = container;
    this.#tier = tier;
  }

  static async connect({ container, tier, access }: AzureClientOptions): Promise<AzureObjectClient> {
    const service = await serviceOf(access);
    return new AzureObjectClient(service.getContainerClient(container), tier);
  }

  async createPlace({ signal }: ObjectCallOptions): Promise<void> {
    try {
      await this.#container.createIfNotExists(abortOptions(signal));
    } catch (error) {
      if (statusOf(error) !== 403) throw error;
      // A key for one container may not make containers: it does when it may list.
      await this.#container.listBlobsFlat(abortOptions(signal)).byPage({ maxPageSize: 1 }).next();
    }
  }

  async put(key: string, { parts, sizeBytes }: ObjectBody, options: ObjectCallOptions): Promise<'stored' | 'exists'> {
    const md5 = createHash('md5');
    for (const part of parts) md5.update(part);
    const body = (): NodeJS.ReadableStream => Readable.from(steps(parts, options.onTransfer), { objectMode: false });
    try {
      await this.#container.getBlockBlobClient(key).upload(body, sizeBytes, {
        ...abortOptions(options.signal),
        conditions: { ifNoneMatch: '*' },
        transactionalContentMD5: md5.digest(),
        ...(this.#tier === undefined ? {} : { tier: this.#tier }),
      });
      return 'stored';
    } catch (error) {
      if (codeOf(error) === 'BlobAlreadyExists' || statusOf(error) === 412) return 'exists';
      throw error;
    }
  }

  async get(key: string, range: string | undefined, options: ObjectCallOptions): Promise<RangeAnswer> {
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? [];
    const offset = Number(first ?? 0);
    const count = last === undefined || last === '' ? undefined : Number(last) - offset + 1;
    try {
      const answer = await this.#container.getBlobClient(key).download(offset, count, {
        ...abortOptions(options.signal),
        maxRetryRequests: 0,
      });
      const stream = answer.readableStreamBody;
      if (!stream) throw new Error('the answer has no content');
      const bytes = await collect(stream as AsyncIterable<unknown> as AsyncIterable<Uint8Array>, options);
      if (answer.contentLength !== undefined && bytes.length !== answer.contentLength)
        throw new Error('the answer was cut short');
      return { bytes, whole: false };
    } catch (error) {
      if (statusOf(error) === 416) return null;
      throw error;
    }
  }

  async sizeOf(key: string, { signal }: ObjectCallOptions): Promise<number> {
    try {
      const { contentLength } = await this.#container.getBlobClient(key).getProperties(abortOptions(signal));
      return contentLength ?? 0;
    } catch (error) {
      if (codeOf(error) !== 'ContainerNotFound') throw error;
      // Where there is no container yet there is no file either.
      throw new AppError('STORAGE_FILE_NOT_FOUND', `There is no container ${this.#container.containerName}.`);
    }
  }

  async *list(prefix: string, { signal }: ObjectCallOptions): AsyncGenerator<{ key: string; sizeBytes: number }> {
    try {
      for await (const { name, properties } of this.#container.listBlobsFlat({ prefix, ...abortOptions(signal) })) {
        yield { key: name, sizeBytes: properties.contentLength ?? 0 };
      }
    } catch (error) {
      // Before anything is created there is nothing to list.
      if (codeOf(error) !== 'ContainerNotFound') throw error;
    }
  }

  async remove(key: string, { signal }: ObjectCallOptions): Promise<void> {
    await this.#container.getBlobClient(key).delete(abortOptions(signal));
  }

  async serverTime({ signal }: ObjectCallOptions): Promise<Date | null> {
    return (await this.#container.getProperties(abortOptions(signal))).date ?? null;
  }

  toError(error: unknown, action: string): AppError {
    if (error instanceof AppError) return error;
    const code = codeOf(error);
    if (code === 'Md5Mismatch') return damagedOnTheWay(action, code, plainError(error, code));
    const meaning = Object.hasOwn(meanings, code) ? meanings[code] : undefined;
    if (!meaning) return otherError(error, { status: statusOf(error), retryAfterMs: retryAfterMs(error) }, action);
    const [reason, hint] = meaning;
    const message = `Could not ${action}: ${code} (container ${this.#container.containerName}).`;
    return new AppError(reason, message, { cause: plainError(error, code), ...(hint === '' ? {} : { hint }) });
  }

  async close(): Promise<void> {}
}

async function serviceOf(access: AzureAccess): Promise<BlobServiceClient> {
  try {
    switch (access.kind) {
      case 'connection-string':
        return BlobServiceClient.fromConnectionString(access.connectionString.reveal(), pipeline);
      case 'key':
        return new BlobServiceClient(
          access.url,
          new StorageSharedKeyCredential(access.account, access.key.reveal()),
          pipeline,
        );
      case 'sas':
        return new BlobServiceClient(`${access.url}?${access.sas.reveal()}`, undefined, pipeline);
      case 'identity': {
        const { DefaultAzureCredential } = await import('@azure/identity');
        return new BlobServiceClient(access.url, new DefaultAzureCredential(), pipeline);
      }
    }
  } catch (error) {
    // The text of these errors may repeat the connection string.
    throw new AppError('STORAGE_DENIED', `The credentials for Azure (${access.kind}) cannot be understood.`, {
      hint: 'Copy the connection string, key or SAS again from the portal.',
      context: { reason: error instanceof Error ? error.name : messageOf(typeof error) },
    });
  }
}

function statusOf(error: unknown): number | undefined {
  return error instanceof RestError ? error.statusCode : undefined;
}

function retryAfterMs(error: unknown): number | undefined {
  return error instanceof RestError ? retryAfterOf(error.response?.headers.get('retry-after')) : undefined;
}

/** Azure's error code; a HEAD has it in a header only. */
function codeOf(error: unknown): string {
  if (!(error instanceof RestError)) return '';
  return error.response?.headers.get('x-ms-error-code') ?? error.code ?? '';
}

function abortOptions(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
