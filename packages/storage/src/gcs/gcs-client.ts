// Google Cloud Storage by its JSON API, over our own HTTP: an object is put in one request with its MD5, which the server
// checks, and refused by ifGenerationMatch=0 when the name is taken. docs/decisions says why this is not Google's library.

import { createHash, randomUUID } from 'node:crypto';
import { AppError } from '@varve/base';
import type { ObjectBody, ObjectCallOptions, ObjectClient } from '../object/object-client.ts';
import type { RangeAnswer } from '../range.ts';
import { HttpTransport } from '../rest/http-transport.ts';
import type { RestRequest, RestResponse } from '../rest/rest-transport.ts';
import type { TlsFiles } from '../tls-files.ts';
import type { GcsCredentials } from './gcs-credentials.ts';
import { gcsError, GcsAnswerError } from './gcs-error.ts';

export interface GcsClientOptions {
  readonly bucket: string;
  /** Of a bucket that is made. */
  readonly region: string;
  /** `https://storage.googleapis.com`, or in its place a private endpoint. */
  readonly endpoint: URL;
  readonly connections: number;
  readonly credentials: GcsCredentials;
  readonly tls: TlsFiles;
}

export class GcsObjectClient implements ObjectClient {
  readonly suffixes = true;
  readonly refusesReplacement = true;
  readonly #options: GcsClientOptions;
  readonly #transport: HttpTransport;
  readonly #bucketPath: string;
  readonly #objectsPath: string;

  constructor(options: GcsClientOptions) {
    const { endpoint: baseUrl, connections, tls, bucket } = options;
    this.#options = options;
    this.#transport = new HttpTransport({ baseUrl, connections, tls, user: undefined, password: undefined });
    this.#bucketPath = `storage/v1/b/${encodeURIComponent(bucket)}`;
    this.#objectsPath = `${this.#bucketPath}/o`;
  }

  async createPlace({ signal }: ObjectCallOptions): Promise<void> {
    const found = await this.#answer({ method: 'GET', path: `${this.#bucketPath}?fields=name`, signal });
    if (found.status === 200) return;
    if (found.status === 403) {
      // Accounts that may use a bucket often may not look at it as a whole.
      await this.#expect({ method: 'GET', path: `${this.#objectsPath}?maxResults=1&fields=items(name)`, signal });
      return;
    }
    const failure = new GcsAnswerError(found, { isOfBucket: true });
    if (found.status !== 404) throw failure;
    const { bucket: name, region: location, credentials } = this.#options;
    const project = await credentials.projectId();
    if (project === undefined) throw failure;
    await this.#expect({
      method: 'POST',
      path: `storage/v1/b?project=${encodeURIComponent(project)}`,
      headers: { 'content-type': 'application/json' },
      body: [Buffer.from(JSON.stringify({ name, location }))],
      signal,
    });
  }

  async put(key: string, { parts }: ObjectBody, options: ObjectCallOptions): Promise<'stored' | 'exists'> {
    const md5 = createHash('md5');
    for (const part of parts) md5.update(part);
    const metadata = { name: key, contentType: 'application/octet-stream', md5Hash: md5.digest('base64') };
    const border = randomUUID();
    const head = `--${border}\r\ncontent-type: application/json\r\n\r\n${JSON.stringify(metadata)}\r\n--${border}\r\ncontent-type: ${metadata.contentType}\r\n\r\n`;
    const answer = await this.#answer({
      method: 'POST',
      path: `upload/${this.#objectsPath}?uploadType=multipart&ifGenerationMatch=0&fields=size`,
      headers: { 'content-type': `multipart/related; boundary=${border}` },
      body: [Buffer.from(head), ...parts, Buffer.from(`\r\n--${border}--\r\n`)],
      ...options,
    });
    if (answer.status === 412) return 'exists';
    // An object that is new cannot be what is missing.
    if (answer.status >= 300) throw new GcsAnswerError(answer, { isOfBucket: true });
    return 'stored';
  }

  async get(key: string, range: string | undefined, options: ObjectCallOptions): Promise<RangeAnswer> {
    const headers: Record<string, string> = range === undefined ? {} : { range };
    const answer = await this.#answer({
      method: 'GET',
      path: `${this.#pathOf(key)}?alt=media`,
      headers,
      ...options,
    });
    if (answer.status === 416) return null;
    if (answer.status >= 300) throw new GcsAnswerError(answer);
    return { bytes: answer.body, whole: range !== undefined && answer.status === 200 };
  }

  async sizeOf(key: string, { signal }: ObjectCallOptions): Promise<number> {
    const answer = await this.#answer({ method: 'GET', path: `${this.#pathOf(key)}?fields=size`, signal });
    // Where there is no bucket yet there is no file either.
    if (answer.status === 404) throw new AppError('STORAGE_FILE_NOT_FOUND', `There is no object ${key}.`);
    if (answer.status >= 300) throw new GcsAnswerError(answer);
    return Number((parseJson(answer) as { readonly size?: string }).size ?? 0);
  }

  async *list(prefix: string, { signal }: ObjectCallOptions): AsyncGenerator<{ key: string; sizeBytes: number }> {
    // The whole resources are twenty times as much.
    const query = new URLSearchParams({ prefix, maxResults: '1000', fields: 'items(name,size),nextPageToken' });
    for (;;) {
      const page = await this.#answer({ method: 'GET', path: `${this.#objectsPath}?${query.toString()}`, signal });
      // Before anything is created there is nothing to list.
      if (page.status === 404) return;
      if (page.status >= 300) throw new GcsAnswerError(page);
      const { items = [], nextPageToken } = parseJson(page) as ListPage;
      for (const { name, size } of items) yield { key: name, sizeBytes: Number(size) };
      if (nextPageToken === undefined) return;
      query.set('pageToken', nextPageToken);
    }
  }

  async remove(key: string, { signal }: ObjectCallOptions): Promise<void> {
    await this.#expect({ method: 'DELETE', path: this.#pathOf(key), signal });
  }

  /** Of the Date header, whatever else is answered. */
  async serverTime({ signal }: ObjectCallOptions): Promise<Date | null> {
    const { headers } = await this.#answer({ method: 'GET', path: `${this.#bucketPath}?fields=name`, signal });
    const time = new Date(String(headers['date']));
    return Number.isNaN(time.getTime()) ? null : time;
  }

  toError(error: unknown, action: string): AppError {
    return gcsError(error, action, this.#options.bucket);
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  #pathOf(key: string): string {
    return `${this.#objectsPath}/${encodeURIComponent(key)}`;
  }

  async #answer(request: RestRequest): Promise<RestResponse> {
    const authorization = await this.#options.credentials.authorization();
    return this.#transport.request({ ...request, headers: { ...request.headers, ...authorization } });
  }

  async #expect(request: RestRequest): Promise<RestResponse> {
    const answer = await this.#answer(request);
    if (answer.status >= 300) throw new GcsAnswerError(answer);
    return answer;
  }
}

interface ListPage {
  readonly items?: readonly { readonly name: string; readonly size: string }[];
  readonly nextPageToken?: string;
}

/** What is not JSON came from something between Google and us, and may pass. */
function parseJson({ body }: RestResponse): unknown {
  return JSON.parse(body.toString('utf8'));
}
