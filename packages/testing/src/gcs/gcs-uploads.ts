// Uploads to Cloud Storage: simple, multipart and resumable (JSON API guide, “Uploads and downloads”), with the precondition
// that lets an object come into being but not be replaced, and the checksums that are compared before it does (“Data validation”).

import { createHash, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { crc32cOf } from './crc32c.ts';
import { GcsError, noBucket, resourceOf, sendJson } from './gcs-answers.ts';
import type { GcsObjects } from './gcs-objects.ts';

interface Target {
  readonly bucket: string;
  readonly name: string;
  readonly contentType: string;
  /** `0`: there must be none. */
  readonly ifGenerationMatch: string | null;
  readonly checksums: Checksums;
}

/** What the client says of the content, in base 64. */
interface Checksums {
  readonly md5Hash?: string | undefined;
  readonly crc32c?: string | undefined;
}

interface Metadata extends Checksums {
  readonly name?: string;
  readonly contentType?: string;
}

interface Session {
  readonly target: Target;
  readonly received: Buffer[];
}

interface UploadRequest {
  readonly incoming: IncomingMessage;
  readonly response: ServerResponse;
  readonly url: URL;
  readonly path: readonly string[];
}

export class GcsUploads {
  readonly #objects: GcsObjects;
  readonly #sessions = new Map<string, Session>();

  constructor(objects: GcsObjects) {
    this.#objects = objects;
  }

  /** `upload/storage/v1/b/<bucket>/o`. */
  async answer({ incoming, response, url, path }: UploadRequest): Promise<void> {
    const bucket = path[4] ?? '';
    const query = url.searchParams;
    const body = Buffer.concat(await Array.fromAsync(incoming as AsyncIterable<Buffer>));
    // What a client has not finished does not count.
    if (!incoming.complete) return void response.destroy();
    const session = query.get('upload_id');
    // Google's client for Go posts the pieces, the others put them.
    if (session !== null) return this.#continue(session, body, { incoming, response, url });
    if (!this.#objects.has(bucket)) throw noBucket();
    const { name, contentType, media, checksums } = contentOf(query, body, incoming.headers['content-type'] ?? '');
    const target = { bucket, name, contentType, ifGenerationMatch: query.get('ifGenerationMatch'), checksums };
    if (query.get('uploadType') === 'resumable') {
      const id = randomUUID();
      this.#sessions.set(id, { target, received: [] });
      const location = new URL(url);
      location.searchParams.set('upload_id', id);
      response.writeHead(200, { location: location.href, 'x-guploader-uploadid': id }).end();
      return;
    }
    this.#store(target, media, { response, url });
  }

  /** A piece of a resumable upload, or the question how far it has come (`bytes` and a star). */
  #continue(id: string, body: Buffer, { incoming, response, url }: Omit<UploadRequest, 'path'>): void {
    const session = this.#sessions.get(id);
    if (!session) throw new GcsError(404, 'notFound', 'Upload session not found');
    const [, total] = /\/(\d+|\*)$/.exec(incoming.headers['content-range'] ?? `/${body.length}`) ?? [];
    session.received.push(body);
    const sizeBytes = session.received.reduce((sum, piece) => sum + piece.length, 0);
    if (total === '*' || Number(total) > sizeBytes) {
      // Some clients would take 308 for a redirect, and say so.
      const isOverridden = incoming.headers['x-guploader-no-308'] === 'yes';
      const range = sizeBytes === 0 ? {} : { range: `bytes=0-${sizeBytes - 1}` };
      const override = isOverridden ? { 'x-http-status-code-override': '308' } : {};
      response.writeHead(isOverridden ? 200 : 308, { ...range, ...override }).end();
      return;
    }
    this.#sessions.delete(id);
    this.#store(session.target, Buffer.concat(session.received), { response, url });
  }

  #store(target: Target, data: Buffer, { response, url }: Pick<UploadRequest, 'response' | 'url'>): void {
    const { bucket, name, contentType, ifGenerationMatch, checksums } = target;
    compareChecksums(checksums, data);
    const found = this.#objects.find(bucket, name)?.generation ?? '0';
    if (ifGenerationMatch !== null && ifGenerationMatch !== found) {
      throw new GcsError(412, 'conditionNotMet', 'At least one of the pre-conditions you specified did not hold.');
    }
    sendJson(response, resourceOf(this.#objects.put(bucket, name, data, contentType), url.origin));
  }
}

function compareChecksums({ md5Hash, crc32c }: Checksums, data: Buffer): void {
  const md5 = md5Hash === undefined ? undefined : createHash('md5').update(data).digest('base64');
  if (md5Hash !== md5) {
    throw new GcsError(400, 'invalid', `Provided MD5 hash "${md5Hash}" doesn't match calculated MD5 hash "${md5}".`);
  }
  const crc = crc32c === undefined ? undefined : crc32cOf(data);
  if (crc32c !== crc) {
    throw new GcsError(400, 'invalid', `Provided CRC32C "${crc32c}" doesn't match calculated CRC32C "${crc}".`);
  }
}

interface Content {
  readonly name: string;
  readonly contentType: string;
  readonly media: Buffer;
  readonly checksums: Checksums;
}

function contentOf(query: URLSearchParams, body: Buffer, contentType: string): Content {
  const type = query.get('uploadType');
  if (type === 'multipart') return partsOfRelated(query, body, contentType);
  const metadata: Metadata = type === 'resumable' && body.length > 0 ? metadataOf(body) : {};
  const name = query.get('name') ?? metadata.name;
  if (name === undefined) throw new GcsError(400, 'required', 'Required parameter: name');
  return { name, contentType: metadata.contentType ?? contentType, media: body, checksums: metadata };
}

/** multipart/related (RFC 2387) with two parts: the metadata as JSON, and the content. */
function partsOfRelated(query: URLSearchParams, body: Buffer, contentType: string): Content {
  const [, quoted, plain] = /boundary=(?:"([^"]+)"|([^;\s]+))/.exec(contentType) ?? [];
  const border = Buffer.from(`--${quoted ?? plain ?? ''}`);
  const second = body.indexOf(border, body.indexOf(border) + border.length);
  const end = body.lastIndexOf(Buffer.concat([Buffer.from('\r\n'), border]));
  const metadata = partAfter(body.subarray(0, second), body.indexOf(border) + border.length);
  const media = partAfter(body.subarray(0, end), second + border.length);
  if (second < 0 || metadata === null || media === null)
    throw new GcsError(400, 'badRequest', 'Malformed multipart body.');
  const checksums = metadataOf(metadata.content);
  const { name = query.get('name') ?? undefined, contentType: given } = checksums;
  if (name === undefined) throw new GcsError(400, 'required', 'Required parameter: name');
  return { name, contentType: given ?? media.contentType, media: Buffer.from(media.content), checksums };
}

function partAfter(body: Buffer, start: number): { readonly content: Buffer; readonly contentType: string } | null {
  const blank = body.indexOf('\r\n\r\n', start);
  if (blank < 0) return null;
  const [, contentType = 'application/octet-stream'] =
    /content-type:\s*([^\r\n]+)/i.exec(body.toString('latin1', start, blank)) ?? [];
  return { content: body.subarray(blank + 4), contentType };
}

function metadataOf(json: Buffer): Metadata {
  try {
    return JSON.parse(json.toString('utf8')) as Metadata;
  } catch {
    throw new GcsError(400, 'parseError', 'Parse Error');
  }
}
