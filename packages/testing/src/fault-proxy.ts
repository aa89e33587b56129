// An HTTP server between a client and a real server that misbehaves as a test says: refuses, answers slowly or never, cuts
// connections in the middle of a body either way, damages a byte. Nothing else that it lets through is changed, so signatures
// stay valid.

import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { sleep } from '@varve/base';

export interface ProxiedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  /** From 1, of all requests. */
  readonly number: number;
  /** When it came, in `performance.now()`. */
  readonly at: number;
}

/** What happens to a request. Undefined: it is passed on. */
export type Fault =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** No answer, ever. */
  | { readonly kind: 'hang' }
  /** The connection is cut after so many bytes of the request's body have come. */
  | { readonly kind: 'cut-request'; readonly afterBytes: number }
  /** The connection is cut after so many bytes of the answer's body have gone. */
  | { readonly kind: 'cut-answer'; readonly afterBytes: number }
  /** It reaches the server and is carried out, but the answer is lost. */
  | { readonly kind: 'lose-answer' }
  /** The answer's body goes in steps of so many bytes with pauses between. */
  | { readonly kind: 'slow-answer'; readonly stepBytes: number; readonly pauseMs: number }
  /** One bit of the request's body, in the byte at this offset, arrives wrong. */
  | { readonly kind: 'damage-request'; readonly atByte: number }
  /** The request goes on without these headers, to a server that does not understand them. */
  | { readonly kind: 'without-headers'; readonly names: readonly string[] };

export interface FaultProxy extends AsyncDisposable {
  /** `http://127.0.0.1:port` */
  readonly url: string;
  readonly requests: readonly ProxiedRequest[];
  /** Decides about every request from now on; undefined lets all pass. */
  misbehave(decide: ((request: ProxiedRequest) => Fault | undefined) | undefined): void;
}

/** `target` is the `http://host:port` of the real server. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const requests: ProxiedRequest[] = [];
  let decide: ((request: ProxiedRequest) => Fault | undefined) | undefined;
  const ended = new AbortController();
  const server = createServer((incoming, response) => {
    const { method = 'GET', url = '/', headers } = incoming;
    const seen = { method, url, headers, number: requests.length + 1, at: performance.now() };
    requests.push(seen);
    // Either side may go away at any time; that is what this is for.
    incoming.on('error', () => {});
    response.on('error', () => {});
    handle(target, incoming, response, decide?.(seen), ended.signal).catch(() => response.destroy());
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  return {
    url: `http://127.0.0.1:${address !== null && typeof address === 'object' ? address.port : 0}`,
    requests,
    misbehave: (next) => {
      decide = next;
    },
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      const closed = new Promise<void>((done) => void server.close(() => done()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function handle(
  target: string,
  incoming: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
  signal: AbortSignal,
): Promise<void> {
  switch (fault?.kind) {
    case 'hang':
      return;
    case 'answer':
      incoming.resume();
      response.writeHead(fault.status, fault.headers);
      response.end(incoming.method === 'HEAD' ? undefined : fault.body);
      return;
    case 'cut-request':
      await receive(incoming, fault.afterBytes);
      response.socket?.destroy();
      return;
    default: {
      const answer = await passOn(target, incoming, fault);
      if (fault?.kind === 'lose-answer') {
        answer.resume();
        response.socket?.destroy();
        return;
      }
      await sendBack(answer, response, fault, signal);
    }
  }
}

/** Reads at least so many bytes, or all there are. */
async function receive(incoming: IncomingMessage, bytes: number): Promise<void> {
  let received = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    received += chunk.length;
    if (received >= bytes) return;
  }
}

function passOn(target: string, incoming: IncomingMessage, fault: Fault | undefined): Promise<IncomingMessage> {
  const without = fault?.kind === 'without-headers' ? fault.names : [];
  const { hostname, port } = new URL(target);
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = Object.fromEntries(Object.entries(incoming.headers).filter(([name]) => !without.includes(name)));
  const outgoing = request(
    { hostname, port, method: incoming.method, path: incoming.url, headers, agent: false },
    resolve,
  );
  outgoing.on('error', reject);
  incoming.once('close', () => {
    if (!incoming.complete) outgoing.destroy();
  });
  const damage = fault?.kind === 'damage-request' ? [damageAt(fault.atByte)] : [];
  // Its failures are those of either side, which are heard above.
  pipeline([incoming, ...damage, outgoing]).catch(() => {});
  return promise;
}

/** Passes bytes on with one bit changed in the byte at `offset`. */
function damageAt(offset: number): Transform {
  let passed = 0;
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      const at = offset - passed;
      passed += chunk.length;
      if (at >= 0 && at < chunk.length) chunk.writeUInt8(chunk.readUInt8(at) ^ 1, at);
      done(null, chunk);
    },
  });
}

async function sendBack(
  answer: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
  signal: AbortSignal,
): Promise<void> {
  response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
  let sent = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    const left = fault?.kind === 'cut-answer' ? fault.afterBytes - sent : Infinity;
    const piece = chunk.subarray(0, Math.min(chunk.length, left));
    sent += piece.length;
    if (fault?.kind === 'slow-answer') {
      for (let offset = 0; offset < piece.length; offset += fault.stepBytes) {
        response.write(piece.subarray(offset, offset + fault.stepBytes));
        await sleep(fault.pauseMs, { signal });
      }
    } else {
      response.write(piece);
    }
    if (piece.length < chunk.length) {
      // What was written has to be on its way before the connection ends.
      await new Promise<void>((done) => void response.write('', () => done()));
      response.socket?.destroy();
      return;
    }
  }
  response.end();
}
