// Answers in the words of Cloud Storage (JSON API reference, “HTTP status and error codes”; “Objects”).

import type { ServerResponse } from 'node:http';
import type { GcsObject } from './gcs-objects.ts';

/** An answer that is an error; thrown by whatever finds it. */
export class GcsError extends Error {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

export const noBucket = (): GcsError => new GcsError(404, 'notFound', 'The specified bucket does not exist.');
export const noObject = (bucket: string, name: string): GcsError =>
  new GcsError(404, 'notFound', `No such object: ${bucket}/${name}`);

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  const bytes = Buffer.from(JSON.stringify(body));
  response.writeHead(status, {
    'content-type': 'application/json; charset=UTF-8',
    'content-length': bytes.length,
  });
  response.end(bytes);
}

export function sendError(response: ServerResponse, { status, reason, message }: GcsError): void {
  const errors = [{ message, domain: 'global', reason }];
  sendJson(response, { error: { code: status, message, errors } }, status);
}

/** The resource of an object, or only the fields of it that are named. `origin` is where the server is. */
export function resourceOf(object: GcsObject, origin: string, fields?: ReadonlySet<string>): Record<string, unknown> {
  const path = `b/${object.bucket}/o/${encodeURIComponent(object.name)}`;
  const all: Record<string, unknown> = {
    kind: 'storage#object',
    id: `${object.bucket}/${object.name}/${object.generation}`,
    name: object.name,
    bucket: object.bucket,
    generation: object.generation,
    metageneration: '1',
    contentType: object.contentType,
    storageClass: 'STANDARD',
    size: String(object.data.length),
    md5Hash: object.md5Hash,
    crc32c: object.crc32c,
    timeCreated: object.updated,
    updated: object.updated,
    selfLink: `${origin}/storage/v1/${path}`,
    mediaLink: `${origin}/download/storage/v1/${path}?generation=${object.generation}&alt=media`,
  };
  if (!fields) return all;
  return Object.fromEntries(Object.entries(all).filter(([name]) => fields.has(name)));
}

/** The content of an object, whole or a range of it (RFC 9110, section 14). */
export function sendContent(response: ServerResponse, object: GcsObject, range: string | undefined): void {
  const size = object.data.length;
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(range ?? '') ?? [];
  const isRange = first !== undefined && (first !== '' || last !== '');
  const start = !isRange ? 0 : first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = !isRange || first === '' || last === '' ? size : Math.min(size, Number(last) + 1);
  if (isRange && (start >= size || start >= end)) {
    response.setHeader('content-range', `bytes */${size}`);
    sendError(response, new GcsError(416, 'requestedRangeNotSatisfiable', 'Request range not satisfiable'));
    return;
  }
  const body = object.data.subarray(start, end);
  response.writeHead(isRange ? 206 : 200, {
    'content-type': object.contentType,
    'content-length': body.length,
    'accept-ranges': 'bytes',
    'x-goog-generation': object.generation,
    'x-goog-hash': `crc32c=${object.crc32c},md5=${object.md5Hash}`,
    'x-goog-stored-content-encoding': 'identity',
    'x-goog-stored-content-length': size,
    ...(isRange ? { 'content-range': `bytes ${start}-${end - 1}/${size}` } : {}),
  });
  response.end(body);
}
