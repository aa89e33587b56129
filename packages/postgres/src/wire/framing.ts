// Cuts a byte stream from a PostgreSQL server into messages: one type byte, a 32-bit big-endian length that counts
// itself, then the body. Pure: bytes in, messages out, in chunks cut anywhere.
// Manual: "Message Formats" (protocol-message-formats).

import { AppError } from '@varve/base';

/** One message as it stands on the wire. The body is a view of the received bytes where the message came in one piece. */
export interface RawMessage {
  /** ASCII code of the type byte. */
  readonly type: number;
  readonly body: Uint8Array;
}

const headerBytes = 5;
/** The server's own limit for one message (palloc's MaxAllocSize). */
const longMessageBytes = 0x3fff_ffff;
/** Everything but the types below is short; a longer one means that we lost the framing (libpq has the same check). */
const shortMessageBytes = 30_000;
const longTypes = new Set(Buffer.from('TDdVENA', 'latin1'));

/** Collects chunks and yields each message as soon as its last byte is there. */
export class MessageFramer {
  #pieces: Uint8Array[] = [];
  #pieceBytes = 0;
  /** Bytes that must have come before another message can be complete. */
  #wantedBytes = headerBytes;

  /** Bytes of a message that is not complete yet. */
  get pendingBytes(): number {
    return this.#pieceBytes;
  }

  /** Takes the next chunk and returns the messages that it completes. Throws DATABASE_PROTOCOL on an impossible length. */
  push(chunk: Uint8Array): RawMessage[] {
    if (this.#pieceBytes > 0 || chunk.length < headerBytes) {
      this.#pieces.push(chunk);
      this.#pieceBytes += chunk.length;
      if (this.#pieceBytes < this.#wantedBytes) return [];
      const joined = Buffer.concat(this.#pieces, this.#pieceBytes);
      this.#pieces = [];
      this.#pieceBytes = 0;
      return this.#cut(joined);
    }
    return this.#cut(chunk);
  }

  #cut(bytes: Uint8Array): RawMessage[] {
    const messages: RawMessage[] = [];
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let offset = 0;
    this.#wantedBytes = headerBytes;
    while (bytes.length - offset >= headerBytes) {
      const type = view.getUint8(offset);
      const lengthBytes = view.getUint32(offset + 1);
      checkLength(type, lengthBytes);
      const end = offset + 1 + lengthBytes;
      if (end > bytes.length) {
        this.#wantedBytes = 1 + lengthBytes;
        break;
      }
      messages.push({ type, body: bytes.subarray(offset + headerBytes, end) });
      offset = end;
    }
    if (offset < bytes.length) {
      this.#pieces.push(bytes.subarray(offset));
      this.#pieceBytes = bytes.length - offset;
    }
    return messages;
  }
}

function checkLength(type: number, lengthBytes: number): void {
  const limit = longTypes.has(type) ? longMessageBytes : shortMessageBytes;
  if (lengthBytes >= 4 && lengthBytes <= limit) return;
  throw new AppError(
    'DATABASE_PROTOCOL',
    `The server sent a message of type 0x${type.toString(16)} with the impossible length ${lengthBytes}.`,
    { hint: 'Check that host and port are those of a PostgreSQL server.' },
  );
}
