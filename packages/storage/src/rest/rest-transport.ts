// What the REST storage needs of HTTP: one request, one whole answer. HTTP/1.1 over the network and HTTP/2 over a program's
// standard input and output provide it.

import type { OnTransfer } from '../contract.ts';

export interface RestRequest {
  readonly method: 'HEAD' | 'GET' | 'POST' | 'DELETE';
  /** Below the repository, such as `data/` or `config`; may have a query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: readonly Uint8Array[] | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onTransfer?: OnTransfer | undefined;
}

export interface RestResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface RestTransport {
  /** Rejects only when no whole answer came (the network, the program); every status is an answer. */
  request(request: RestRequest): Promise<RestResponse>;
  /** More about a failed connection, such as what a program last said. */
  explain?(error: unknown): Promise<string>;
  close(): Promise<void>;
}

/** What of the body of an error is read. */
export const errorBodyLimitBytes = 64 * 1024;
