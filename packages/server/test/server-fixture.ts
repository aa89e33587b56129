// A server over a real installation in a temporary folder, on a free loopback port, and a client that keeps its cookie.

import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openVarve, type Varve } from '@varve/app';
import { startServer, type RunningServer, type ServerOptions } from '../src/index.ts';

export const owner = { name: 'Ana', email: 'ana@example.com', password: 'correct horse battery' };

export interface TestServer extends AsyncDisposable {
  readonly varve: Varve;
  readonly server: RunningServer;
  readonly folder: string;
  readonly port: number;
  /** Sends JSON; with the session once there is one. */
  readonly call: Client['call'];
  /** Makes the owner; later calls are signed in. */
  signUp(): Promise<void>;
}

/** Starts a server; no Docker is looked for. */
export async function startTestServer(options: Partial<ServerOptions> = {}): Promise<TestServer> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-server-'));
  const dataDirectory = join(folder, 'data');
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  const dockerHost = `unix://${join(folder, 'no-docker.sock')}`;
  const varve = cleanup.use(await openVarve({ dataDirectory, dockerHost }));
  const port = await freePort();
  const server = cleanup.use(
    await startServer({ varve, listen: `127.0.0.1:${port}`, webRoot: join(folder, 'web'), ...options }),
  );
  const owned = cleanup.move();
  const client = new Client(`http://127.0.0.1:${port}`);
  return {
    varve,
    server,
    folder,
    port,
    call: client.call,
    async signUp() {
      const response = await client.call('POST', '/api/setup', { ...owner, setupToken: server.setupToken });
      if (response.status !== 200) throw new Error(`setup: ${response.status} ${await response.text()}`);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** A browser's worth of cookies. */
export class Client {
  readonly #url: string;
  readonly #cookies = new Map<string, string>();

  constructor(url: string) {
    this.#url = url;
  }

  get cookie(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
  }

  readonly call = async (
    method: string,
    path: string,
    body?: unknown,
    init: { readonly headers?: Readonly<Record<string, string>>; readonly signal?: AbortSignal } = {},
  ): Promise<Response> => {
    const response = await fetch(this.#url + path, {
      method,
      headers: {
        ...(this.#cookies.size > 0 ? { cookie: this.cookie } : {}),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...init.headers,
      },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
      signal: init.signal ?? null,
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ''] = line.split(';');
      const split = pair.indexOf('=');
      if (/max-age=0/i.test(line)) this.#cookies.delete(pair.slice(0, split));
      else this.#cookies.set(pair.slice(0, split), pair.slice(split + 1));
    }
    return response;
  };
}

/** The code of an error answer. */
export async function errorCode(response: Response): Promise<string> {
  const body = (await response.json()) as { error?: { code?: string } };
  return body.error?.code ?? 'no error';
}
