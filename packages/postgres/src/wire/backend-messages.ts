// What a server can say, decoded from raw messages. Pure; text is UTF-8 because we ask for client_encoding UTF8.
// Manual: "Message Formats" (protocol-message-formats); replication answers in protocol-replication.

import { AppError } from '@varve/base';
import type { RawMessage } from './framing.ts';

/** One column of a result set. */
export interface FieldDescription {
  readonly name: string;
  readonly typeOid: number;
}

/** Fields of an ErrorResponse or NoticeResponse that we use. Manual: protocol-error-fields. */
export interface ServerReport {
  readonly severity: string;
  /** Five-character SQLSTATE. */
  readonly sqlState: string;
  readonly message: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** What the server wants to know, or that it is content. */
export type AuthenticationRequest =
  | { readonly method: 'ok' | 'cleartext' }
  | { readonly method: 'md5'; readonly salt: Uint8Array }
  | { readonly method: 'sasl'; readonly mechanisms: readonly string[] }
  | { readonly method: 'sasl-continue' | 'sasl-final'; readonly data: string }
  | { readonly method: 'unsupported'; readonly requestCode: number };

export type BackendMessage =
  | { readonly type: 'authentication'; readonly request: AuthenticationRequest }
  | { readonly type: 'parameter-status'; readonly name: string; readonly value: string }
  | { readonly type: 'backend-key-data'; readonly processId: number; readonly secretKey: Uint8Array }
  | { readonly type: 'ready-for-query'; readonly status: string }
  | { readonly type: 'row-description'; readonly fields: readonly FieldDescription[] }
  | { readonly type: 'data-row'; readonly values: readonly (Uint8Array | null)[] }
  | { readonly type: 'command-complete'; readonly tag: string }
  | { readonly type: 'empty-query' | 'copy-in' | 'copy-out' | 'copy-both' | 'copy-done' }
  | { readonly type: 'copy-data'; readonly data: Uint8Array }
  | { readonly type: 'error' | 'notice'; readonly report: ServerReport }
  | { readonly type: 'notification' | 'negotiate-protocol-version' };

/** Decodes one message. Throws DATABASE_PROTOCOL when the type is unknown or the body is cut short. */
export function decodeBackendMessage({ type, body }: RawMessage): BackendMessage {
  const letter = String.fromCharCode(type);
  switch (letter) {
    case 'd':
      return { type: 'copy-data', data: body };
    case 'D':
      return decodeDataRow(body);
    case 'T':
      return decodeRowDescription(body);
    case 'C':
      return { type: 'command-complete', tag: new BodyReader(body).text() };
    case 'Z':
      return { type: 'ready-for-query', status: String.fromCharCode(new BodyReader(body).uint8()) };
    case 'E':
      return { type: 'error', report: decodeReport(body) };
    case 'N':
      return { type: 'notice', report: decodeReport(body) };
    case 'S':
      return decodeParameterStatus(body);
    case 'K':
      return decodeKeyData(body);
    case 'R':
      return { type: 'authentication', request: decodeAuthentication(body) };
    default:
      return decodeBare(letter, type);
  }
}

const bareTypes: Readonly<Record<string, BackendMessage>> = {
  I: { type: 'empty-query' },
  G: { type: 'copy-in' },
  H: { type: 'copy-out' },
  W: { type: 'copy-both' },
  c: { type: 'copy-done' },
  A: { type: 'notification' },
  v: { type: 'negotiate-protocol-version' },
};

function decodeBare(letter: string, type: number): BackendMessage {
  const message = bareTypes[letter];
  if (message) return message;
  throw new AppError('DATABASE_PROTOCOL', `The server sent a message of the unknown type 0x${type.toString(16)}.`);
}

function decodeDataRow(body: Uint8Array): BackendMessage {
  const reader = new BodyReader(body);
  const count = reader.uint16();
  const values: (Uint8Array | null)[] = [];
  for (let index = 0; index < count; index++) {
    const lengthBytes = reader.int32();
    values.push(lengthBytes === -1 ? null : reader.bytes(lengthBytes));
  }
  return { type: 'data-row', values };
}

function decodeRowDescription(body: Uint8Array): BackendMessage {
  const reader = new BodyReader(body);
  const count = reader.uint16();
  const fields: FieldDescription[] = [];
  for (let index = 0; index < count; index++) {
    const name = reader.text();
    reader.bytes(6); // table OID, column number
    const typeOid = reader.uint32();
    reader.bytes(8); // type size, type modifier, format code
    fields.push({ name, typeOid });
  }
  return { type: 'row-description', fields };
}

function decodeParameterStatus(body: Uint8Array): BackendMessage {
  const reader = new BodyReader(body);
  const name = reader.text();
  return { type: 'parameter-status', name, value: reader.text() };
}

function decodeKeyData(body: Uint8Array): BackendMessage {
  const reader = new BodyReader(body);
  const processId = reader.uint32();
  return { type: 'backend-key-data', processId, secretKey: reader.rest() };
}

function decodeReport(body: Uint8Array): ServerReport {
  const reader = new BodyReader(body);
  const fields = new Map<string, string>();
  for (let code = reader.uint8(); code !== 0; code = reader.uint8())
    fields.set(String.fromCharCode(code), reader.text());
  const detail = fields.get('D');
  const hint = fields.get('H');
  return {
    severity: fields.get('V') ?? fields.get('S') ?? 'ERROR',
    sqlState: fields.get('C') ?? 'XX000',
    message: fields.get('M') ?? '',
    ...(detail === undefined ? {} : { detail }),
    ...(hint === undefined ? {} : { hint }),
  };
}

function decodeAuthentication(body: Uint8Array): AuthenticationRequest {
  const reader = new BodyReader(body);
  const requestCode = reader.uint32();
  switch (requestCode) {
    case 0:
      return { method: 'ok' };
    case 3:
      return { method: 'cleartext' };
    case 5:
      return { method: 'md5', salt: reader.bytes(4) };
    case 10: {
      const mechanisms: string[] = [];
      for (let name = reader.text(); name !== ''; name = reader.text()) mechanisms.push(name);
      return { method: 'sasl', mechanisms };
    }
    case 11:
      return { method: 'sasl-continue', data: Buffer.from(reader.rest()).toString('utf8') };
    case 12:
      return { method: 'sasl-final', data: Buffer.from(reader.rest()).toString('utf8') };
    default:
      return { method: 'unsupported', requestCode };
  }
}

/** Reads big-endian numbers and zero-terminated texts; an end that comes too early is DATABASE_PROTOCOL. */
export class BodyReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #advance(count: number): number {
    const start = this.#offset;
    if (count < 0 || start + count > this.#bytes.length) {
      throw new AppError('DATABASE_PROTOCOL', 'The server sent a message that ends before its last field.');
    }
    this.#offset = start + count;
    return start;
  }

  uint8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  int32(): number {
    return this.#view.getInt32(this.#advance(4));
  }

  uint32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  int64(): bigint {
    return this.#view.getBigInt64(this.#advance(8));
  }

  bytes(count: number): Uint8Array {
    const start = this.#advance(count);
    return this.#bytes.subarray(start, start + count);
  }

  rest(): Uint8Array {
    return this.bytes(this.#bytes.length - this.#offset);
  }

  text(): string {
    const end = this.#bytes.indexOf(0, this.#offset);
    if (end === -1) throw new AppError('DATABASE_PROTOCOL', 'The server sent a text without its end mark.');
    const start = this.#advance(end + 1 - this.#offset);
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + start, end - start).toString('utf8');
  }
}
