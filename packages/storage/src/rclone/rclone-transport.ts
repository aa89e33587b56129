// HTTP/2 over the standard input and output of `rclone serve restic --stdio` (restic internal/backend/rclone). The program
// is started at the first request, again when it has died, and ended by close: its input ends, then it is killed.

import { spawn, type ChildProcess } from 'node:child_process';
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AppError, cancelledError } from '@varve/base';
import type { Environment } from '../open-options.ts';
import { partsOf, steps } from '../transfer.ts';
import {
  errorBodyLimitBytes,
  type RestRequest,
  type RestResponse,
  type RestTransport,
} from '../rest/rest-transport.ts';

export interface RcloneOptions {
  readonly program: string;
  readonly args: readonly string[];
  /** How long the program may take until it answers. */
  readonly timeoutMs: number;
  readonly environment: Environment;
}

interface Connection {
  readonly child: ChildProcess;
  readonly session: ClientHttp2Session;
  /** Settles when the program has ended. */
  readonly ended: Promise<void>;
}

/** One socket for both directions: Node's HTTP/2 breaks down over a pair of pipes when the program dies. */
const joinStreams = 'exec "$0" "$@" <&3 >&3 3<&-';
/** What the shell says of a program that it cannot start. */
const notStarted = new Set([126, 127]);
const saidLimitBytes = 4096;
const endGraceMs = 3000;
/** How long the reason of a broken connection is waited for. */
const explainMs = 500;

export class RcloneTransport implements RestTransport {
  readonly #options: RcloneOptions;
  #connection: Promise<Connection> | null = null;
  /** The last lines of its standard error. */
  #said = '';
  #exit = '';

  constructor(options: RcloneOptions) {
    this.#options = options;
  }

  async request(request: RestRequest): Promise<RestResponse> {
    const { session } = await this.#connected();
    return exchange(session, request);
  }

  /** What became of the program. */
  async explain(): Promise<string> {
    const connection = await this.#connection?.catch(() => null);
    if (connection) await Promise.race([connection.ended, new Promise((resolve) => setTimeout(resolve, explainMs))]);
    if (this.#exit === '') return '';
    return [this.#exit, this.#said.trim().replace(/\s*\n\s*/g, '; ')].filter((text) => text !== '').join(': ');
  }

  async close(): Promise<void> {
    const connection = await this.#connection?.catch(() => null);
    this.#connection = null;
    if (!connection) return;
    const { child, session, ended } = connection;
    session.destroy();
    const timer = setTimeout(() => child.kill('SIGKILL'), endGraceMs);
    child.kill('SIGTERM');
    await ended;
    clearTimeout(timer);
  }

  /** A connection that lives; a new one when the last has ended, whether or not its events have come yet. */
  async #connected(): Promise<Connection> {
    for (;;) {
      const connecting = (this.#connection ??= this.#start());
      try {
        const connection = await connecting;
        const { child, session } = connection;
        if (!session.destroyed && !session.closed && child.exitCode === null && child.signalCode === null) {
          return connection;
        }
      } catch (error) {
        if (this.#connection === connecting) this.#connection = null;
        throw error;
      }
      if (this.#connection === connecting) this.#connection = null;
    }
  }

  async #start(): Promise<Connection> {
    const { program, args, environment, timeoutMs } = this.#options;
    this.#said = '';
    this.#exit = '';
    const child = spawn('/bin/sh', ['-c', joinStreams, program, ...args], {
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
      env: environmentFor(environment),
    });
    const socket = child.stdio[3];
    if (!(socket instanceof Socket) || child.stderr === null) throw new Error('the program has no socket');
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#said = (this.#said + text).slice(-saidLimitBytes);
    });
    // The socket of a program that dies is reported by the session.
    socket.on('error', () => {});
    const ended = new Promise<void>((resolve) => {
      child.once('error', () => resolve());
      child.once('close', (code, signal) => {
        this.#exit = `${program} ended with ${signal === null ? `exit code ${code}` : `signal ${signal}`}`;
        resolve();
      });
    });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (error) => reject(startError(program, error)));
    });
    const session = connect('http://localhost', { createConnection: () => socket });
    session.on('error', () => {});
    // A pipe whose other end has died is not always noticed by the session.
    child.once('exit', () => session.destroy());
    void ended.then(() => session.destroy());
    try {
      await firstSettings(session, ended, timeoutMs);
    } catch (error) {
      session.destroy();
      child.kill('SIGKILL');
      await ended;
      if (notStarted.has(child.exitCode ?? 0)) throw startError(program, error);
      const reason = [this.#exit, this.#said.trim()].filter((text) => text !== '').join(': ');
      throw new AppError('STORAGE_UNREACHABLE', `rclone did not start serving: ${reason}`, {
        hint: 'Check the remote with `rclone lsd <remote>:`, as the user that runs Varve, and the file of RCLONE_CONFIG.',
        cause: error,
      });
    }
    return { child, session, ended };
  }
}

/** Everything but our own passwords: rclone does not need them. */
function environmentFor(environment: Environment): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !/^(?:VARVE|RESTIC)_/.test(name)));
}

function startError(program: string, error: unknown): AppError {
  return new AppError(
    'STORAGE_UNREACHABLE',
    `${program} could not be started: it is not installed, or not a program.`,
    {
      hint: 'Install rclone (rclone.org/install), or name it in the option rclone.program.',
      cause: error,
    },
  );
}

/** The first sign of life of the server. */
async function firstSettings(session: ClientHttp2Session, ended: Promise<void>, timeoutMs: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  session.once('remoteSettings', () => resolve());
  session.once('error', reject);
  void ended.then(() => reject(new Error('the program ended')));
  const timer = setTimeout(() => reject(new Error(`no answer for ${timeoutMs / 1000} s`)), timeoutMs);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
  }
}

async function exchange(session: ClientHttp2Session, request: RestRequest): Promise<RestResponse> {
  const { parts, sizeBytes } = partsOf(request.body ?? []);
  const headers: Record<string, string> = {
    ':method': request.method,
    ':path': `/${request.path}`,
    ...request.headers,
  };
  if (request.body) headers['content-length'] = String(sizeBytes);
  const stream = session.request(headers, { endStream: !request.body });
  const onAbort = (): void => void stream.destroy(cancelledError(request.signal));
  request.signal?.addEventListener('abort', onAbort, { once: true });
  // Listened to from the start: what nobody reads of an HTTP/2 stream is dropped when the other side closes it.
  const answered = answerOf(stream, request);
  answered.catch(() => {});
  try {
    if (request.body) {
      const body = Readable.from(steps(parts, request.onTransfer), { objectMode: false });
      await Promise.race([pipeline(body, stream).catch(() => answered), answered]);
    }
    const answer = await answered;
    const length = Number(answer.headers['content-length'] ?? answer.body.length);
    if (request.method !== 'HEAD' && answer.body.length !== length) throw new Error('the answer was cut short');
    return answer;
  } catch (error) {
    stream.destroy();
    if (request.signal?.aborted) throw cancelledError(request.signal);
    throw error;
  } finally {
    request.signal?.removeEventListener('abort', onAbort);
  }
}

function answerOf(stream: ClientHttp2Stream, request: RestRequest): Promise<RestResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<RestResponse>();
  let status = 0;
  let headers: RestResponse['headers'] = {};
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  const finish = (): void => resolve({ status, headers, body: Buffer.concat(chunks, sizeBytes) });
  stream.once('response', (found) => {
    status = found[':status'] ?? 0;
    headers = { ...found };
  });
  stream.on('data', (chunk: Buffer) => {
    sizeBytes += chunk.length;
    if (status >= 400 && sizeBytes > errorBodyLimitBytes) reject(new Error('the answer is too long'));
    chunks.push(chunk);
    const held = status < 400 ? request.onTransfer?.(chunk.length) : undefined;
    if (!held) return;
    stream.pause();
    held.then(() => stream.resume(), reject);
  });
  stream.once('end', () => {
    if (status !== 0) finish();
  });
  stream.once('error', reject);
  stream.once('close', () => {
    // Some answers without a body close without an end.
    if (status !== 0 && stream.rstCode === constants.NGHTTP2_NO_ERROR) finish();
    else reject(new Error('the connection to rclone ended'));
  });
  return promise;
}
