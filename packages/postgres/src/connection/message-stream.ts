// Messages from a socket, pulled one by one. While nobody pulls, the socket is paused, so that a slow consumer slows
// the server down instead of filling memory.

import type { Duplex } from 'node:stream';
import { AppError, messageOf } from '@varve/base';
import { decodeBackendMessage, type BackendMessage } from '../wire/backend-messages.ts';
import { MessageFramer, type RawMessage } from '../wire/framing.ts';

const pauseAtBytes = 1 << 20;

/** The receiving half of a session. One reader at a time. */
export class MessageStream {
  readonly #socket: Duplex;
  readonly #address: string;
  readonly #framer = new MessageFramer();
  #queue: RawMessage[] = [];
  #queueIndex = 0;
  #queuedBytes = 0;
  #failure: AppError | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Duplex, address: string) {
    this.#socket = socket;
    this.#address = address;
    socket.on('data', this.#onData);
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    socket.resume();
  }

  /** Why nothing more will come, once that is so. */
  get failure(): AppError | undefined {
    return this.#failure;
  }

  readonly #onData = (chunk: Uint8Array): void => {
    try {
      for (const message of this.#framer.push(chunk)) {
        this.#queue.push(message);
        this.#queuedBytes += message.body.length;
      }
    } catch (error) {
      this.fail(
        error instanceof AppError ? error : new AppError('DATABASE_PROTOCOL', messageOf(error), { cause: error }),
      );
    }
    if (this.#queuedBytes > pauseAtBytes) this.#socket.pause();
    this.#wake?.();
  };

  readonly #onError = (cause: Error): void => {
    this.fail(connectionLost(this.#address, cause));
  };

  readonly #onClose = (): void => {
    this.fail(connectionLost(this.#address));
  };

  /** Ends the stream with an error (the first one counts) and closes the socket. Messages already received are still read. */
  fail(error: AppError): void {
    this.#failure ??= error;
    this.#socket.destroy();
    this.#wake?.();
  }

  /** The next message if it is here already. */
  poll(): BackendMessage | undefined {
    const message = this.#queue[this.#queueIndex];
    if (!message) return undefined;
    this.#queueIndex++;
    this.#queuedBytes -= message.body.length;
    if (this.#queueIndex === this.#queue.length) {
      this.#queue = [];
      this.#queueIndex = 0;
    }
    if (this.#queuedBytes <= pauseAtBytes / 2 && this.#socket.isPaused()) this.#socket.resume();
    return decodeBackendMessage(message);
  }

  /** The next message. Rejects with what ended the connection when none will come. */
  async next(): Promise<BackendMessage> {
    for (;;) {
      const message = this.poll();
      if (message) return message;
      if (this.#failure) throw this.#failure;
      const { promise, resolve } = Promise.withResolvers<undefined>();
      this.#wake = () => resolve(undefined);
      await promise;
      this.#wake = undefined;
    }
  }
}

/** The error of a connection that ended while it was needed. */
export function connectionLost(address: string, cause?: Error): AppError {
  const reason = cause ? `: ${cause.message}` : '';
  return new AppError('DATABASE_UNREACHABLE', `The connection to PostgreSQL at ${address} was lost${reason}.`, {
    hint: 'See the log of the database server: it may have been stopped or restarted.',
    context: { address },
    retry: true,
    cause,
  });
}
