// One request and all its answers up to ReadyForQuery. Whatever happens (the server's error, an abort, a consumer that
// stops early) the session is afterwards either ready for the next request or closed; never in between.

import { AppError, throwIfAborted } from '@varve/base';
import type { BackendMessage, ServerReport } from '../wire/backend-messages.ts';
import { encodeCopyData, encodeCopyDone, encodeCopyFail } from '../wire/frontend-messages.ts';
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
  /** Sends bytes within the request. Returns false when the socket would rather wait for them to go. */
  send(bytes: Uint8Array): boolean;
  onNotice(report: ServerReport): void;
  onParameter(name: string, value: string): void;
  /** The exchange is over; the connection may start the next. */
  onEnd(): void;
}

export interface ExchangeOptions {
  readonly signal?: AbortSignal | undefined;
  /** Hangs up when the server says nothing for this long while we wait for it. */
  readonly stallTimeoutMs?: number | undefined;
  /** Called for warnings and notices of this request, besides the connection's own listener. */
  readonly onNotice?: ((report: ServerReport) => void) | undefined;
}

/** Pull the answers with {@link Exchange.next} until it yields undefined, or leave with {@link Exchange.abandon}. */
export class Exchange {
  readonly #host: ExchangeHost;
  readonly #signal: AbortSignal | undefined;
  readonly #stallTimeoutMs: number | undefined;
  readonly #onNotice: ((report: ServerReport) => void) | undefined;
  #isStallWatched = true;
  #report: ServerReport | undefined;
  #ended = false;
  /** True once nobody wants the remaining answers. */
  #discarding = false;
  /** `in`: the server waits for our data. `both`: either side sends until it says CopyDone. */
  #copyMode: 'in' | 'both' | undefined;
  #isCopyEnded = false;
  #cancellation: Promise<void> | undefined;
  #graceTimer: NodeJS.Timeout | undefined;

  constructor(host: ExchangeHost, options: ExchangeOptions) {
    this.#host = host;
    this.#signal = options.signal;
    this.#stallTimeoutMs = options.stallTimeoutMs;
    this.#onNotice = options.onNotice;
    this.#signal?.addEventListener('abort', this.#onAbort, { once: true });
    if (this.#signal?.aborted) this.#onAbort();
  }

  readonly #onAbort = (): void => {
    this.#discard();
    this.#cancel();
  };

  /** A stream both ways ends by our CopyDone; everything else by a request on a connection of its own. */
  #cancel(): void {
    if (this.#copyMode !== 'both') this.#cancellation ??= this.#host.cancel();
  }

  #discard(): void {
    if (this.#discarding || this.#ended) return;
    this.#discarding = true;
    this.#refuseCopy();
    this.#graceTimer = setTimeout(() => {
      const { address } = this.#host.server;
      this.#host.messages.fail(
        new AppError('DATABASE_UNREACHABLE', `PostgreSQL at ${address} did not end a cancelled request.`, {
          retry: true,
        }),
      );
    }, cancelGraceMs);
  }

  /** Tells a server that waits for data that none will come. Walsenders know CopyDone only. */
  #refuseCopy(): void {
    if (this.#copyMode === 'in') this.#host.send(encodeCopyFail('cancelled'));
    if (this.#copyMode === 'both') this.endCopy();
  }

  /** In copy-both mode: sends one CopyData message. Dropped when the exchange is over. */
  sendCopyData(data: Uint8Array): void {
    if (this.#copyMode === 'both' && !this.#isCopyEnded && !this.#ended) this.#host.send(encodeCopyData(data));
  }

  /** In copy-both mode: says that we send no more. The server ends its side as well; then the results follow. */
  endCopy(): void {
    if (this.#copyMode !== 'both' || this.#isCopyEnded || this.#ended) return;
    this.#isCopyEnded = true;
    this.#host.send(encodeCopyDone());
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
      this.#refuseCopy();
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
    if (options.cancel !== false) this.#cancel();
    try {
      while (!this.#ended) {
        const message = await this.#receive();
        if (!this.#absorb(message)) this.#refuseCopy();
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
        this.#onNotice?.(message.report);
        return true;
      case 'parameter-status':
        this.#host.onParameter(message.name, message.value);
        return true;
      case 'notification':
        return true;
      case 'copy-in':
        this.#copyMode = 'in';
        return false;
      case 'copy-both':
        this.#copyMode = 'both';
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
