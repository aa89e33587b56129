// HTTP/1.1 with kept connections, and credentials from the URL or the environment (restic: RESTIC_REST_USERNAME,
// RESTIC_REST_PASSWORD, RESTIC_CACERT, RESTIC_TLS_CLIENT_CERT).

import { Buffer } from 'node:buffer';
import { Agent as PlainAgent, request as requestPlain, type IncomingMessage } from 'node:http';
import { Agent as TlsAgent, request as requestTls } from 'node:https';
import { pipeline } from 'node:stream/promises';
import { Readable } from 'node:stream';
import { cancelledError, type Secret } from '@varve/base';
import { tlsAgentOptions, type TlsFiles } from '../tls-files.ts';
import { collect, partsOf, steps } from '../transfer.ts';
import { errorBodyLimitBytes, type RestRequest, type RestResponse, type RestTransport } from './rest-transport.ts';

export interface HttpTransportOptions {
  /** Ends with a slash; holds no credentials. */
  readonly baseUrl: URL;
  readonly user: string | undefined;
  readonly password: Secret | undefined;
  readonly connections: number;
  readonly tls: TlsFiles;
}

/** Idle connections that a server or a router may have forgotten are not used again after this. */
const keepAliveMs = 30_000;

export class HttpTransport implements RestTransport {
  readonly #options: HttpTransportOptions;
  readonly #agent: PlainAgent;

  constructor(options: HttpTransportOptions) {
    this.#options = options;
    const sockets = { keepAlive: true, maxSockets: options.connections, timeout: keepAliveMs };
    this.#agent =
      options.baseUrl.protocol === 'https:'
        ? new TlsAgent({ ...sockets, ...tlsAgentOptions(options.tls) })
        : new PlainAgent(sockets);
  }

  async request(request: RestRequest): Promise<RestResponse> {
    const { parts, sizeBytes } = partsOf(request.body ?? []);
    const url = new URL(request.path, this.#options.baseUrl);
    const headers: Record<string, string> = { 'user-agent': 'varve', ...this.#authorization(), ...request.headers };
    if (request.body) headers['content-length'] = String(sizeBytes);
    const send = url.protocol === 'https:' ? requestTls : requestPlain;
    const outgoing = send(url, { method: request.method, headers, agent: this.#agent, signal: request.signal });
    // An abort between two awaits is reported by the promises below; without a listener it would end the process.
    outgoing.on('error', () => {});
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('error', reject);
    });
    try {
      if (request.body) {
        const body = Readable.from(steps(parts, request.onTransfer), { objectMode: false });
        const sent = pipeline(body, outgoing);
        // A server that refuses may answer before it has read everything.
        await Promise.race([sent, answered]);
        sent.catch(() => {});
      } else {
        outgoing.end();
      }
      const answer = await answered;
      const status = answer.statusCode ?? 0;
      const isError = status >= 400;
      const body = await collect(answer, {
        onTransfer: isError ? undefined : request.onTransfer,
        limitBytes: isError ? errorBodyLimitBytes : undefined,
      });
      return { status, headers: answer.headers, body };
    } catch (error) {
      outgoing.destroy();
      if (request.signal?.aborted) throw cancelledError(request.signal);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#agent.destroy();
  }

  #authorization(): Record<string, string> {
    const { user, password } = this.#options;
    if (user === undefined && password === undefined) return {};
    const pair = `${user ?? ''}:${password?.reveal() ?? ''}`;
    return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` };
  }
}
