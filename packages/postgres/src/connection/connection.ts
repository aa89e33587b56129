// A session with a PostgreSQL server over the simple query protocol, ordinary or replication. One request at a time;
// cancellation goes to the server; COPY streams are pulled, so a slow consumer slows the server.

import assert from 'node:assert';
import type { Duplex } from 'node:stream';
import { AppError, throwIfAborted, type Secret } from '@varve/base';
import type { ServerReport } from '../wire/backend-messages.ts';
import {
  encodeCancelRequest,
  encodeCopyData,
  encodeCopyDone,
  encodeCopyFail,
  encodeQuery,
  encodeStartup,
  encodeTerminate,
} from '../wire/frontend-messages.ts';
import { startSession, type AuthenticationMethod, type StartedSession } from './authentication.ts';
import { Exchange, type ExchangeHost, type ExchangeOptions } from './exchange.ts';
import { connectionLost, MessageStream } from './message-stream.ts';
import { ResultCollector, type QueryResult } from './result-collector.ts';
import type { ServerName } from './server-errors.ts';
import { addressOf, openTransport, type PostgresStream, type TlsMode, type Transport } from './transport.ts';

/** Where and as whom to connect. */
export interface ConnectOptions {
  readonly host: string;
  readonly port: number;
  /** Folder of the server's Unix socket, or the socket itself; used in place of host. */
  readonly socketPath?: string | undefined;
  /** Another way to the server, used in place of host, port and socket. */
  readonly stream?: PostgresStream | undefined;
  readonly user: string;
  readonly password?: Secret | undefined;
  readonly database: string;
  /** `database`: a replication session that also takes SQL, and passes the hba rules for the database. */
  readonly replication?: 'database' | undefined;
  /** Default `prefer`. */
  readonly tls?: TlsMode | undefined;
  readonly tlsCaFile?: string | undefined;
  readonly applicationName?: string | undefined;
  /** For the whole way to the first ReadyForQuery. Default 10 s. */
  readonly connectTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called for warnings and notices of the server. */
  readonly onNotice?: ((report: ServerReport) => void) | undefined;
}

export interface RequestOptions {
  readonly signal?: AbortSignal | undefined;
}

const defaultConnectTimeoutMs = 10_000;
const copyChunkBytes = 64 * 1024;
const copyMessageBytes = 1 << 20;
const closeGraceMs = 2000;

/**
 * Connects and logs in. Throws DATABASE_UNREACHABLE, DATABASE_AUTH_FAILED, DATABASE_DENIED (for example without the
 * REPLICATION attribute), DATABASE_QUERY_FAILED (no such database), DATABASE_PROTOCOL or CANCELLED.
 */
export async function connectPostgres(options: ConnectOptions): Promise<PgConnection> {
  const timeoutMs = options.connectTimeoutMs ?? defaultConnectTimeoutMs;
  const server: ServerName = { address: addressOf(options), user: options.user, database: options.database };
  const transport = await openTransport({ ...options, tls: options.tls ?? 'prefer', connectTimeoutMs: timeoutMs });
  const messages = new MessageStream(transport.socket, server.address);
  const stop = (): void => messages.fail(connectionLost(server.address));
  const timer = setTimeout(() => {
    const seconds = timeoutMs / 1000;
    messages.fail(
      new AppError(
        'DATABASE_UNREACHABLE',
        `PostgreSQL at ${server.address} did not finish the login within ${seconds} s.`,
        {
          hint: 'The server may be overloaded or still starting: try again, or allow more time.',
          retry: true,
        },
      ),
    );
  }, timeoutMs);
  options.signal?.addEventListener('abort', stop, { once: true });
  try {
    const send = (bytes: Uint8Array): void => void transport.socket.write(bytes);
    send(encodeStartup(startupParameters(options)));
    const session = await startSession({
      server,
      messages,
      send,
      password: options.password,
      isPrivate: transport.isPrivate,
      certificateHash: transport.certificateHash,
      replication: options.replication !== undefined,
    });
    throwIfAborted(options.signal);
    return new PgConnection({ options, server, transport, messages, session });
  } catch (error) {
    transport.socket.destroy();
    throwIfAborted(options.signal);
    throw error;
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', stop);
  }
}

function startupParameters(options: ConnectOptions): Record<string, string> {
  return {
    user: options.user,
    database: options.database,
    client_encoding: 'UTF8',
    application_name: options.applicationName ?? 'varve',
    ...(options.replication === undefined ? {} : { replication: options.replication }),
  };
}

interface ConnectionParts {
  readonly options: ConnectOptions;
  readonly server: ServerName;
  readonly transport: Transport;
  readonly messages: MessageStream;
  readonly session: StartedSession;
}

/** An open session, made by {@link connectPostgres}. Whoever opened it closes it (`await using`). */
export class PgConnection {
  readonly #parts: ConnectionParts;
  readonly #socket: Duplex;
  #exchange: Exchange | undefined;
  #isClosed = false;

  constructor(parts: ConnectionParts) {
    this.#parts = parts;
    this.#socket = parts.transport.socket;
  }

  /** Address, user and database, for messages. */
  get server(): ServerName {
    return this.#parts.server;
  }

  /** What the server reports about the session: `server_version`, `TimeZone` … */
  get parameters(): ReadonlyMap<string, string> {
    return this.#parts.session.parameters;
  }

  get isEncrypted(): boolean {
    return this.#parts.transport.isEncrypted;
  }

  get authenticationMethod(): AuthenticationMethod {
    return this.#parts.session.method;
  }

  /** True for a replication session, which takes replication commands as well as SQL. */
  get isReplication(): boolean {
    return this.#parts.options.replication !== undefined;
  }

  /** Server version as in `server_version_num`, from the text of the session's parameter: 150014 for 15.14. */
  get versionNum(): number {
    const match = /^(\d+)(?:\.(\d+))?/.exec(this.parameters.get('server_version') ?? '');
    return Number(match?.[1] ?? 0) * 10_000 + Number(match?.[2] ?? 0);
  }

  /**
   * Runs SQL (several statements make one implicit transaction) or a replication command. Throws
   * DATABASE_QUERY_FAILED with `context.sqlState`, DATABASE_DENIED, DATABASE_UNREACHABLE, CANCELLED.
   */
  async query(sql: string, options: RequestOptions = {}): Promise<QueryResult[]> {
    const exchange = this.exchange(sql, options);
    const results = new ResultCollector();
    try {
      for (;;) {
        const message = exchange.poll() ?? (await exchange.next());
        if (!message) return results.finished;
        if (message.type.startsWith('copy-')) throw new AppError('USAGE_INVALID', 'COPY needs copyOut or copyIn.');
        results.add(message);
      }
    } finally {
      await exchange.abandon();
    }
  }

  /**
   * Runs one `COPY … TO STDOUT` and yields its bytes in chunks of about 64 KiB. Ending the iteration early cancels the
   * statement. The statement succeeded when the iteration ended by itself.
   */
  async *copyOut(sql: string, options: RequestOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const exchange = this.exchange(sql, options);
    try {
      let pieces: Uint8Array[] = [];
      let pieceBytes = 0;
      for (;;) {
        const ready = exchange.poll();
        const isFull = pieceBytes >= copyChunkBytes;
        if (pieceBytes > 0 && (isFull || ready?.type !== 'copy-data')) {
          const [only] = pieces;
          yield pieces.length === 1 && only ? only : Buffer.concat(pieces, pieceBytes);
          pieces = [];
          pieceBytes = 0;
        }
        const message = ready ?? (await exchange.next());
        if (!message) return;
        if (message.type === 'copy-data') {
          pieces.push(message.data);
          pieceBytes += message.data.length;
        } else if (message.type !== 'copy-out' && message.type !== 'copy-done' && message.type !== 'command-complete') {
          throw new AppError('USAGE_INVALID', 'copyOut needs one COPY … TO STDOUT statement.');
        }
      }
    } finally {
      await exchange.abandon();
    }
  }

  /**
   * Runs one `COPY … FROM STDIN` with the bytes of `source`; yields the command tag (`COPY 3`). When the source fails,
   * the statement is rolled back and the source's error is thrown.
   */
  async copyIn(
    sql: string,
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: RequestOptions = {},
  ): Promise<string> {
    const exchange = this.exchange(sql, options);
    try {
      const first = await exchange.next();
      if (first?.type !== 'copy-in')
        throw new AppError('USAGE_INVALID', 'copyIn needs one COPY … FROM STDIN statement.');
      try {
        await this.#sendAll(source, exchange, options.signal);
        this.#send(encodeCopyDone());
      } catch (error) {
        this.#send(encodeCopyFail('the source of the data failed'));
        await exchange.abandon({ cancel: false });
        throw error;
      }
      const results = new ResultCollector();
      for (let message = await exchange.next(); message; message = await exchange.next()) results.add(message);
      return results.finished[0]?.command ?? '';
    } finally {
      await exchange.abandon();
    }
  }

  /** Sends until the source ends or the server reports an error, which {@link Exchange.next} then throws. */
  async #sendAll(
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    exchange: Exchange,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    for await (const chunk of source) {
      for (let offset = 0; offset < chunk.length; offset += copyMessageBytes) {
        throwIfAborted(signal);
        exchange.poll();
        if (exchange.hasFailed) return;
        const hasRoom = this.#send(encodeCopyData(chunk.subarray(offset, offset + copyMessageBytes)));
        if (!hasRoom) await this.#drained();
      }
    }
  }

  async #drained(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const go = (): void => resolve(undefined);
    this.#socket.once('drain', go).once('close', go);
    await promise;
    this.#socket.off('drain', go).off('close', go);
    if (this.#parts.messages.failure) throw this.#parts.messages.failure;
  }

  /**
   * The primitive under the others: sends one Query message and hands out the raw answers. For replication commands
   * (BASE_BACKUP, START_REPLICATION), whose streams have a framing of their own. The caller reads to the end or abandons.
   */
  exchange(sql: string, options: ExchangeOptions = {}): Exchange {
    throwIfAborted(options.signal);
    assert(!this.#exchange, 'a connection runs one request at a time');
    const { messages, server } = this.#parts;
    if (this.#isClosed || messages.failure) throw messages.failure ?? connectionLost(server.address);
    const host: ExchangeHost = {
      server,
      messages,
      cancel: () => this.#cancel(),
      send: (bytes) => this.#send(bytes),
      onNotice: (report) => this.#parts.options.onNotice?.(report),
      onParameter: (name, value) => void this.#parts.session.parameters.set(name, value),
      onEnd: () => {
        this.#exchange = undefined;
      },
    };
    const bytes = encodeQuery(sql);
    this.#exchange = new Exchange(host, options);
    this.#send(bytes);
    return this.#exchange;
  }

  #send(bytes: Uint8Array): boolean {
    return this.#socket.destroyed ? false : this.#socket.write(bytes);
  }

  /** Asks the server, on a connection of its own, to stop what this session is doing. */
  async #cancel(): Promise<void> {
    const { options, session } = this.#parts;
    if (!session.cancelKey) return;
    try {
      const { socket } = await openTransport({
        ...options,
        signal: undefined,
        tls: options.tls ?? 'prefer',
        connectTimeoutMs: options.connectTimeoutMs ?? defaultConnectTimeoutMs,
      });
      const { promise, resolve } = Promise.withResolvers<undefined>();
      socket.on('error', () => socket.destroy()).on('close', () => resolve(undefined));
      const timer = setTimeout(() => socket.destroy(), closeGraceMs);
      socket.resume();
      socket.end(encodeCancelRequest(session.cancelKey));
      await promise;
      clearTimeout(timer);
    } catch {
      // The server cannot be reached for the request: the exchange hangs up after its grace time.
    }
  }

  /** Ends the session; a request under way is cut off. Safe to call again. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const socket = this.#socket;
    if (socket.destroyed) return;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    socket.once('close', () => resolve(undefined));
    if (this.#exchange) {
      this.#parts.messages.fail(connectionLost(this.server.address));
    } else {
      socket.end(encodeTerminate());
      socket.resume();
    }
    const timer = setTimeout(() => socket.destroy(), closeGraceMs);
    await promise;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
