// Starts the HTTP server and stops it without cutting off an answer.

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Varve } from '@varve/app';
import { AppError, messageOf, silentLogger, systemClock, systemErrorCode, throwIfAborted } from '@varve/base';
import type { Clock, Logger } from '@varve/base';
import { openAccounts, type Accounts } from './accounts/accounts.ts';
import { createHttpApp } from './http-app.ts';
import { defaultListenAddress, isLoopback, parseListenAddress, urlOf, type ListenAddress } from './listen-address.ts';

export interface ServerOptions {
  /** Its data directory holds the accounts and the setup token too. */
  readonly varve: Varve;
  /** `host:port`; 127.0.0.1:8470 when absent. Port 0 takes a free one. */
  readonly listen?: string | undefined;
  /** Listen on an address that other machines reach. */
  readonly allowRemote?: boolean | undefined;
  /** URL under which browsers come in through a proxy, e.g. `https://varve.example.org`. */
  readonly publicUrl?: string | undefined;
  /** The built UI (packages/web/dist). */
  readonly webRoot: string;
  readonly logger?: Logger | undefined;
  readonly clock?: Clock | undefined;
  readonly heartbeatMs?: number | undefined;
  /** Aborted: the server closes as by {@link RunningServer.close}. */
  readonly signal?: AbortSignal | undefined;
}

export interface RunningServer extends AsyncDisposable {
  /** URL to open in a browser. */
  readonly url: string;
  /** Claims the installation; undefined once there is an owner. */
  readonly setupToken: string | undefined;
  /** Resolves when the server has closed, whoever asked for it. */
  readonly closed: Promise<void>;
  /** Takes no new requests, ends event streams, waits for answers under way, then closes. Idempotent. */
  close(): Promise<void>;
}

const defaultHeartbeatMs = 15_000;
/** How long answers under way may take after close was called. */
const closeGraceMs = 10_000;

/**
 * Starts the server. USAGE_INVALID for an address or URL that cannot be used or that other machines reach without
 * `allowRemote`; SERVER_ADDRESS_IN_USE when another program has the port.
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  throwIfAborted(options.signal);
  const logger = options.logger ?? silentLogger;
  const address = parseListenAddress(options.listen ?? defaultListenAddress);
  assertAllowed(address, options.allowRemote ?? false);
  const publicUrl = parsePublicUrl(options.publicUrl);
  const shutdown = new AbortController();
  const server = createServer({ requestTimeout: 60_000, headersTimeout: 15_000, keepAliveTimeout: 10_000 });
  const listening = await listen(server, address);
  const url = urlOf({ host: address.host, port: listening.port });
  let accounts: Accounts;
  try {
    accounts = await openAccounts({
      varve: options.varve,
      baseUrl: publicUrl?.origin ?? url,
      clock: options.clock ?? systemClock,
      logger,
    });
  } catch (error) {
    server.close();
    throw error;
  }
  const app = createHttpApp({
    varve: options.varve,
    accounts,
    logger,
    version: options.varve.version,
    shutdown: shutdown.signal,
    webRoot: options.webRoot,
    publicUrl,
    heartbeatMs: options.heartbeatMs ?? defaultHeartbeatMs,
    listenHost: address.host,
  });
  const answer = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  server.on('request', (request, response) => void answer(request, response));
  const running = new Running({
    server,
    accounts,
    shutdown,
    url: publicUrl?.origin ?? url,
    setupToken: await accounts.setupToken(),
  });
  options.signal?.addEventListener('abort', () => void running.close().catch(() => {}), { once: true });
  if (options.signal?.aborted) await running.close();
  return running;
}

class Running implements RunningServer {
  readonly url: string;
  readonly setupToken: string | undefined;
  readonly closed: Promise<void>;
  readonly #server: Server;
  readonly #shutdown: AbortController;
  #isClosing = false;

  constructor(options: {
    server: Server;
    accounts: Accounts;
    shutdown: AbortController;
    url: string;
    setupToken: string | undefined;
  }) {
    this.url = options.url;
    this.setupToken = options.setupToken;
    this.#server = options.server;
    this.#shutdown = options.shutdown;
    this.closed = new Promise((resolve) => {
      options.server.once('close', () => {
        options.accounts[Symbol.dispose]();
        resolve();
      });
    });
  }

  async close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      this.#shutdown.abort();
      this.#server.close();
      this.#server.closeIdleConnections();
      const force = setTimeout(() => this.#server.closeAllConnections(), closeGraceMs);
      // Connections become idle when their last answer ends.
      const idle = setInterval(() => this.#server.closeIdleConnections(), 50);
      void this.closed.then(() => {
        clearTimeout(force);
        clearInterval(idle);
      });
    }
    await this.closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function assertAllowed(address: ListenAddress, allowRemote: boolean): void {
  if (allowRemote || isLoopback(address.host)) return;
  throw new AppError('USAGE_INVALID', `Other machines can reach ${address.host}, and this was not allowed.`, {
    hint: 'Add --allow-remote, and put a proxy with TLS in front: passwords travel in plain text otherwise.',
  });
}

function parsePublicUrl(text: string | undefined): URL | undefined {
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url && ['http:', 'https:'].includes(url.protocol) && url.pathname === '/' && url.username === '') return url;
  throw new AppError('USAGE_INVALID', `"${text}" is not a URL under which browsers can reach the server.`, {
    hint: 'Give scheme and host only, for example https://varve.example.org.',
  });
}

function listen(server: Server, address: ListenAddress): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, address)));
    server.listen({ host: address.host, port: address.port }, () => {
      const bound = server.address();
      if (bound === null || typeof bound === 'string') reject(new Error('The server has no address.'));
      else resolve(bound);
    });
  });
}

function listenError(error: Error, address: ListenAddress): AppError {
  const where = `${address.host}:${address.port}`;
  switch (systemErrorCode(error)) {
    case 'EADDRINUSE':
      return new AppError('SERVER_ADDRESS_IN_USE', `Another program already listens on ${where}.`, {
        hint: 'Stop it, or choose another address: varve server --listen 127.0.0.1:8471',
        cause: error,
      });
    case 'EACCES':
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new AppError('USAGE_INVALID', `The server cannot listen on ${where}: ${messageOf(error)}.`, {
        hint: 'Choose an address of this machine and a port above 1023.',
        cause: error,
      });
    default:
      return new AppError('INTERNAL', `The server cannot listen on ${where}: ${messageOf(error)}.`, { cause: error });
  }
}
