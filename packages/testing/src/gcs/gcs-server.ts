// A stand-in for Google Cloud Storage on loopback, in memory, written from Google's references of the JSON API (buckets,
// objects, uploads) and of the XML API's downloads: what Google's own clients for Node and for Go (inside restic) ask of it.
// It is no proof of what Google's service does.

import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { GcsError, noBucket, noObject, resourceOf, sendContent, sendError, sendJson } from './gcs-answers.ts';
import { GcsObjects } from './gcs-objects.ts';
import { GcsTokens } from './gcs-tokens.ts';
import { GcsUploads } from './gcs-uploads.ts';

export interface GcsServer extends AsyncDisposable {
  /** `http://127.0.0.1:port`, for STORAGE_EMULATOR_HOST. */
  readonly endpoint: string;
  /** A token that is taken. */
  readonly token: string;
  /** The JSON of a service account's key, with which tokens are given out here. */
  readonly serviceAccount: string;
  /** Requests so far, such as `GET /storage/v1/b/bucket/o`. */
  readonly requests: readonly string[];
}

export interface GcsServerOptions {
  /** Objects in a page of a list; Google gives 1000. */
  readonly pageSize?: number | undefined;
}

interface Request {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  /** The path, split and decoded: names of objects hold slashes. */
  readonly path: string[];
}

export async function startGcsServer(options: GcsServerOptions = {}): Promise<GcsServer> {
  const handler = new GcsHandler(options.pageSize ?? 1000);
  const server = createServer((incoming, response) => void handler.answer(incoming, response));
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const endpoint = `http://127.0.0.1:${port}`;
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const account = 'varve@test-project.iam.gserviceaccount.com';
  handler.tokens.trust(account, publicKey);
  return {
    endpoint,
    token: handler.tokens.issue(),
    serviceAccount: JSON.stringify({
      type: 'service_account',
      project_id: 'test-project',
      private_key_id: randomUUID(),
      private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
      client_email: account,
      client_id: '1',
      token_uri: `${endpoint}/token`,
    }),
    requests: handler.requests,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise<void>((done) => void server.close(() => done()));
      server.closeAllConnections();
      await closed;
    },
  };
}

class GcsHandler {
  readonly tokens = new GcsTokens();
  readonly requests: string[] = [];
  readonly #objects = new GcsObjects();
  readonly #uploads = new GcsUploads(this.#objects);
  readonly #pageSize: number;

  constructor(pageSize: number) {
    this.#pageSize = pageSize;
  }

  async answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that goes away in the middle is none of ours.
    incoming.on('error', () => {});
    response.on('error', () => {});
    try {
      const url = new URL(incoming.url ?? '/', `http://${incoming.headers.host}`);
      this.requests.push(`${incoming.method} ${url.pathname}`);
      const path = url.pathname.slice(1).split('/').map(decodeURIComponent);
      await this.#route({ incoming, response, url, path });
    } catch (error) {
      if (response.destroyed) return;
      incoming.resume();
      sendError(response, error instanceof GcsError ? error : new GcsError(500, 'backendError', String(error)));
    }
  }

  async #route(request: Request): Promise<void> {
    const { incoming, response, path } = request;
    if (path[0] === 'token') return sendJson(response, await this.tokens.exchange(incoming));
    if (!this.tokens.accepts(incoming.headers.authorization)) {
      throw new GcsError(401, 'authError', 'Invalid Credentials');
    }
    if (path[0] === 'download') path.shift();
    if (path[0] === 'upload') return this.#uploads.answer(request);
    if (path[0] === 'storage') {
      const [, , , bucket, collection, ...name] = path;
      if (bucket === undefined) return this.#createBucket(request);
      if (collection === undefined) return this.#bucket(bucket, response);
      return name.length === 0 ? this.#list(bucket, request) : this.#object(bucket, name.join('/'), request);
    }
    // The XML API's download, which Google's client for Go uses.
    const [bucket = '', ...name] = path;
    return this.#download(bucket, name.join('/'), request);
  }

  async #createBucket({ incoming, response }: Request): Promise<void> {
    if (incoming.method !== 'POST') throw new GcsError(405, 'methodNotAllowed', 'Method not allowed');
    const { name } = JSON.parse((await bodyOf(incoming)).toString('utf8')) as { readonly name?: string };
    if (name === undefined || !/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/.test(name)) {
      throw new GcsError(400, 'invalid', `Invalid bucket name: '${name ?? ''}'`);
    }
    if (!this.#objects.addBucket(name)) {
      throw new GcsError(
        409,
        'conflict',
        'Your previous request to create the named bucket succeeded and you already own it.',
      );
    }
    this.#bucket(name, response);
  }

  #bucket(name: string, response: ServerResponse): void {
    if (!this.#objects.has(name)) throw noBucket();
    sendJson(response, { kind: 'storage#bucket', id: name, name, location: 'US', storageClass: 'STANDARD' });
  }

  #list(bucket: string, { incoming, response, url }: Request): void {
    if (incoming.method !== 'GET') throw new GcsError(405, 'methodNotAllowed', 'Method not allowed');
    if (!this.#objects.has(bucket)) throw noBucket();
    const query = url.searchParams;
    const token = query.get('pageToken') ?? '';
    const after = Buffer.from(token, 'base64url').toString('utf8');
    const found = this.#objects.list(bucket, query.get('prefix') ?? '', after);
    const limit = Math.min(this.#pageSize, Number(query.get('maxResults') ?? this.#pageSize));
    const page = found.slice(0, limit);
    const [, inItems] = /items\(([^)]*)\)/.exec(query.get('fields') ?? '') ?? [];
    const fields = inItems === undefined ? undefined : new Set(inItems.split(','));
    const last = page.at(-1);
    sendJson(response, {
      kind: 'storage#objects',
      ...(page.length === 0 ? {} : { items: page.map((object) => resourceOf(object, url.origin, fields)) }),
      ...(found.length > page.length && last
        ? { nextPageToken: Buffer.from(last.name, 'utf8').toString('base64url') }
        : {}),
    });
  }

  #object(bucket: string, name: string, request: Request): void {
    const { incoming, response, url } = request;
    if (incoming.method === 'DELETE') {
      if (!this.#objects.has(bucket)) throw noBucket();
      if (!this.#objects.remove(bucket, name)) throw noObject(bucket, name);
      response.writeHead(204).end();
      return;
    }
    if (url.searchParams.get('alt') === 'media') return this.#download(bucket, name, request);
    const object = this.#objects.find(bucket, name);
    if (!this.#objects.has(bucket)) throw noBucket();
    if (!object) throw noObject(bucket, name);
    sendJson(response, resourceOf(object, url.origin));
  }

  #download(bucket: string, name: string, { incoming, response }: Request): void {
    const object = this.#objects.find(bucket, name);
    if (!this.#objects.has(bucket)) throw noBucket();
    if (!object) throw noObject(bucket, name);
    sendContent(response, object, incoming.headers.range);
  }
}

async function bodyOf(incoming: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(incoming as AsyncIterable<Buffer>));
}
