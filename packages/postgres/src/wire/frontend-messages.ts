// What we say to a server, as bytes. Pure. Manual: "Message Formats" (protocol-message-formats).

import { AppError } from '@varve/base';

/** Protocol 3.0, spoken by every server since 7.4. */
const protocolVersion = 0x0003_0000;
const sslRequestCode = 80_877_103;
const cancelRequestCode = 80_877_102;
const headerBytes = 5;

function message(letter: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const bodyBytes = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = Buffer.allocUnsafe(headerBytes + bodyBytes);
  bytes.write(letter, 0, 'latin1');
  bytes.writeUInt32BE(4 + bodyBytes, 1);
  let offset = headerBytes;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function untyped(body: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(4 + body.length);
  bytes.writeUInt32BE(bytes.length, 0);
  bytes.set(body, 4);
  return bytes;
}

function zeroTerminated(text: string): Uint8Array {
  if (text.includes('\0')) throw new AppError('USAGE_INVALID', 'PostgreSQL does not accept a zero byte in a text.');
  return Buffer.from(`${text}\0`, 'utf8');
}

function uint32(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** StartupMessage with run-time parameters (`user`, `database`, `replication`, settings). */
export function encodeStartup(parameters: Readonly<Record<string, string>>): Uint8Array {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [zeroTerminated(name), zeroTerminated(value)]);
  return untyped(Buffer.concat([uint32(protocolVersion), ...pairs, Buffer.from([0])]));
}

/** SSLRequest; the answer is the single byte `S` or `N`. */
export function encodeSslRequest(): Uint8Array {
  return untyped(uint32(sslRequestCode));
}

/** CancelRequest, sent on a connection of its own. */
export function encodeCancelRequest(options: {
  readonly processId: number;
  readonly secretKey: Uint8Array;
}): Uint8Array {
  return untyped(Buffer.concat([uint32(cancelRequestCode), uint32(options.processId), options.secretKey]));
}

/** PasswordMessage: a clear password, or the answer of {@link md5Answer}. */
export function encodePassword(answer: string): Uint8Array {
  return message('p', zeroTerminated(answer));
}

/** SASLInitialResponse. */
export function encodeSaslInitial(options: { readonly mechanism: string; readonly response: string }): Uint8Array {
  const response = Buffer.from(options.response, 'utf8');
  return message('p', zeroTerminated(options.mechanism), uint32(response.length), response);
}

/** SASLResponse. */
export function encodeSaslResponse(response: string): Uint8Array {
  return message('p', Buffer.from(response, 'utf8'));
}

/** Query: one or more SQL statements, or one replication command. */
export function encodeQuery(sql: string): Uint8Array {
  return message('Q', zeroTerminated(sql));
}

/** CopyData. */
export function encodeCopyData(data: Uint8Array): Uint8Array {
  return message('d', data);
}

/** CopyDone. */
export function encodeCopyDone(): Uint8Array {
  return message('c');
}

/** CopyFail, with the reason that the server will log. */
export function encodeCopyFail(reason: string): Uint8Array {
  return message('f', zeroTerminated(reason.replaceAll('\0', '')));
}

/** Terminate. */
export function encodeTerminate(): Uint8Array {
  return message('X');
}
