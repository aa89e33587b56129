// One request and all its answers up to ReadyForQuery. Whatever happens (the server's error, an abort, a consumer that
// stops early) the session is afterwards either ready for the next request or closed; never in between.

import { AppError, throwIfAborted } from '@varve/base';
import type { BackendMessage, ServerReport } from '../wire/backend-messages.ts';
import type { MessageStream } from './message-stream.ts';
import { statementError, type ServerName } from './server-errors.ts';

/** How long a server may take to react to a cancel request before we hang up. */
const cancelGraceMs = 10_000;

/** What an exchange needs from its connection. */
export interface ExchangeHost {
  readonly server: ServerName;
  readonly messages: MessageStream;
  /** Sends a CancelRequest on a connection of its own and waits until the server took it; never rejects. */
  cancel(): Promise<void>;
  /** Answers a server that waits for COPY data that will not come. */
  refuseCopyData(reason: string): void;
  onNotice(report: ServerReport): void;
  onParameter(name: string, value: string): void;
  /** The exchange is over; the connection may start the next. */
  onEnd(): void;
}

export interface ExchangeOptions {
  readonly signal?: AbortSignal | undefined;
  /** Hangs up when the server says nothing for this long while we wait for it. */
  readonly stallTimeoutMs?: number | undefined;
}

/** Pull the answers with {@link Exchange.next} until it yields undefined, or leave with {@link Exchange.abandon}. */
export class Exchange {
  readonly #host: ExchangeHost;
  readonly #signal: AbortSignal | undefined;
  readonly #stallTimeoutMs: number | undefined;
  #isStallWatched = true;
  #report: ServerReport | undefined;
  #ended = false;
  /** True once nobody wants the remaining answers. */
  #discarding = false;
  /** True from a CopyInResponse on: the server waits for our data. */
  #awaitsCopyData = false;
  #cancellation: Promise<void> | undefined;
  #graceTimer: NodeJS.Timeout | undefined;

  constructor(host: ExchangeHost, options: ExchangeOptions) {
    this.#host = host;
    this.#signal = options.signal;
    this.#stallTimeoutMs = options.stallTimeoutMs;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (this.#signal?.aborted) this.#onAbort();
  }

  readonly #onAbort = (): void => {
    this.#discard();
    this.#cancellation ??= this.#host.cancel();
  };

  #discard(): void {
    if (this.#discarding || this.#ended) return;
    this.#discarding = true;
    if (this.#awaitsCopyData) this.#host.refuseCopyData('cancelled');
    this.#graceTimer = setTimeout(() => {
      const { address } = this.#host.server;
      this.#host.messages.fail(
        new AppError('DATABASE_UNREACHABLE', `PostgreSQL at ${address} did not end a cancelled request.`, {
          retry: true,
        }),
      );
    }, cancelGraceMs);
  }

  /** A long silence is expected from here on (a checkpoint). */
  pauseStallWatch(): void {
    this.#isStallWatched = false;
  }

  resumeStallWatch(): void {
    this.#isStallWatched = true;
  }

  /** True once the server reported an error; {@link Exchange.next} throws it when the answers are read to their end. */
  get hasFailed(): boolean {
    return this.#report !== undefined;
  }

  /** The next answer if it is here already; never ReadyForQuery, errors, notices. Undefined: ask {@link Exchange.next}. */
  poll(): BackendMessage | undefined {
    while (!this.#discarding && !this.#report && !this.#ended) {
      const message = this.#host.messages.poll();
      if (!message) return undefined;
      if (!this.#absorb(message)) return message;
    }
    return undefined;
  }

  /**
   * The next answer, or undefined when the server is ready for the next request. Throws the server's error (after
   * reading to the end), CANCELLED after an abort, DATABASE_UNREACHABLE when the connection is lost or stalls.
   */
  async next(): Promise<BackendMessage | undefined> {
    while (!this.#ended) {
      const message = await this.#receive();
      if (this.#absorb(message)) continue;
      if (!this.#discarding && !this.#report) return message;
      if (this.#awaitsCopyData) this.#host.refuseCopyData('cancelled');
    }
    await this.#cancellation;
    throwIfAborted(this.#signal);
    if (!this.#report) return undefined;
    throw statementError(this.#report, this.#host.server);
  }

  /**
   * Reads and drops what is left, after a cancel request to the server unless `cancel` is false. Never throws; the
   * connection may be closed afterwards, and its next user is told why.
   */
  async abandon(options: { readonly cancel?: boolean } = {}): Promise<void> {
    if (this.#ended) return;
    this.#discard();
    if (options.cancel !== false) this.#cancellation ??= this.#host.cancel();
    try {
      while (!this.#ended) {
        const message = await this.#receive();
        if (!this.#absorb(message) && this.#awaitsCopyData) this.#host.refuseCopyData('cancelled');
      }
    } catch {
      // The connection is gone; its failure is kept for its next user.
    }
    await this.#cancellation;
  }

  async #receive(): Promise<BackendMessage> {
    const { messages, server } = this.#host;
    const stallTimeoutMs = this.#stallTimeoutMs;
    const timer =
      stallTimeoutMs === undefined || !this.#isStallWatched
        ? undefined
        : setTimeout(() => {
            const seconds = Math.round(stallTimeoutMs / 1000);
            messages.fail(
              new AppError('DATABASE_UNREACHABLE', `PostgreSQL at ${server.address} sent nothing for ${seconds} s.`, {
                hint: 'Check the network and the load of the database server.',
                retry: true,
              }),
            );
          }, stallTimeoutMs);
    try {
      return await messages.next();
    } catch (error) {
      this.#end();
      throwIfAborted(this.#signal);
      throw this.#report ? statementError(this.#report, server) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Handles what no consumer wants to see. True when it was that. */
  #absorb(message: BackendMessage): boolean {
    switch (message.type) {
      case 'ready-for-query':
        this.#end();
        return true;
      case 'error':
        this.#report ??= message.report;
        return true;
      case 'notice':
        this.#host.onNotice(message.report);
        return true;
      case 'parameter-status':
        this.#host.onParameter(message.name, message.value);
        return true;
      case 'notification':
        return true;
      case 'copy-in':
      case 'copy-both':
        this.#awaitsCopyData = true;
        return false;
      default:
        return false;
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#graceTimer);
    this.#signal?.removeEventListener('abort', this.#onAbort);
    this.#host.onEnd();
  }
}
