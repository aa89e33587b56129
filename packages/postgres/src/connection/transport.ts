// Opens the byte stream to a server: TCP or Unix socket, with TLS as asked for. Manual: "SSL Session Encryption"
// (protocol-flow, 55.2.10); channel binding: RFC 5929 §4 (tls-server-end-point).

import { createHash, type X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { connect as connectTcp, isIP } from 'node:net';
import { basename, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { AppError, messageOf, systemErrorCode, throwIfAborted } from '@varve/base';
import { encodeSslRequest } from '../wire/frontend-messages.ts';

/**
 * Encryption of the connection, as libpq's sslmode. `prefer` and `require` do not check the certificate (`prefer` also
 * goes on without TLS where the server has none), `verify-ca` checks its issuer, `verify-full` also the host name.
 */
export type TlsMode = 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';

/** A way to a server that is neither TCP nor a Unix socket of this host: through its container, for example. */
export interface PostgresStream {
  /** Names the way in messages, in place of host and port. */
  readonly address: string;
  /** Nobody can listen on the way: a clear password may be sent without TLS. */
  readonly isPrivate: boolean;
  /**
   * Opens a stream to the server, ready to be written to. Called for the session, and again for each CancelRequest. Its
   * errors and the end of the server's bytes must end the stream; destroying it must close the connection to the server.
   */
  open(options: { readonly signal: AbortSignal }): Promise<Duplex>;
}

export interface TransportOptions {
  readonly host: string;
  readonly port: number;
  /** Folder of the server's Unix socket, or the socket itself; used in place of host. */
  readonly socketPath?: string | undefined;
  /** Used in place of host, port and socket. */
  readonly stream?: PostgresStream | undefined;
  readonly tls: TlsMode;
  /** PEM file with the certificates to trust in the verify modes; the system's own when absent. */
  readonly tlsCaFile?: string | undefined;
  readonly connectTimeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** An open byte stream. */
export interface Transport {
  readonly socket: Duplex;
  readonly isEncrypted: boolean;
  /** TLS, a Unix socket or loopback: nobody can listen on the way. */
  readonly isPrivate: boolean;
  /** Hash of the server's certificate for channel binding; absent without TLS or where RFC 5929 defines none. */
  readonly certificateHash: Uint8Array | undefined;
}

/** `host:port`, or the path of the socket: how messages name the server. */
export function addressOf(options: Pick<TransportOptions, 'host' | 'port' | 'socketPath' | 'stream'>): string {
  if (options.stream) return options.stream.address;
  if (options.socketPath !== undefined) return socketFile(options.socketPath, options.port);
  return isIP(options.host) === 6 ? `[${options.host}]:${options.port}` : `${options.host}:${options.port}`;
}

function socketFile(path: string, port: number): string {
  return basename(path).startsWith('.s.PGSQL.') ? path : join(path, `.s.PGSQL.${port}`);
}

/** Opens the stream. Throws DATABASE_UNREACHABLE with the address and what to check, CANCELLED after an abort. */
export async function openTransport(options: TransportOptions): Promise<Transport> {
  throwIfAborted(options.signal);
  const address = addressOf(options);
  const over = new AbortController();
  const stop = (): void => over.abort(new Error('cancelled'));
  const timer = setTimeout(() => {
    over.abort(new Error(`no answer within ${options.connectTimeoutMs / 1000} s`));
  }, options.connectTimeoutMs);
  options.signal?.addEventListener('abort', stop, { once: true });
  let opened: Duplex | undefined;
  try {
    const { socket, isPrivate, mayEncrypt } = await openStream(options, over.signal);
    opened = socket;
    const giveUp = (): void => void socket.destroy(over.signal.reason as Error);
    over.signal.addEventListener('abort', giveUp, { once: true });
    try {
      if (!mayEncrypt || options.tls === 'disable' || !(await acceptsTls(socket, options, address))) {
        return { socket, isEncrypted: false, isPrivate, certificateHash: undefined };
      }
      const secure = await encrypt(socket, options, address);
      const certificate = secure.getPeerX509Certificate();
      const certificateHash = certificate && endPointHash(certificate);
      return { socket: secure, isEncrypted: true, isPrivate: true, certificateHash };
    } finally {
      over.signal.removeEventListener('abort', giveUp);
    }
  } catch (error) {
    opened?.destroy();
    throwIfAborted(options.signal);
    if (error instanceof AppError) throw error;
    throw unreachable(address, options, error);
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', stop);
  }
}

interface OpenStream {
  readonly socket: Duplex;
  readonly isPrivate: boolean;
  readonly mayEncrypt: boolean;
}

/** Rejects with the signal's reason after an abort. */
async function openStream(options: TransportOptions, signal: AbortSignal): Promise<OpenStream> {
  const { stream, socketPath, port, host } = options;
  if (stream) {
    try {
      return { socket: await stream.open({ signal }), isPrivate: stream.isPrivate, mayEncrypt: true };
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    }
  }
  const socket = connectTcp(socketPath === undefined ? { host, port } : { path: socketFile(socketPath, port) });
  const giveUp = (): void => void socket.destroy(signal.reason as Error);
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    await eventOf(socket, 'connect');
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
  socket.setNoDelay(true);
  socket.setKeepAlive(true, 30_000);
  const isLoopback = /^(127\.|::1$|::ffff:127\.)/.test(socket.remoteAddress ?? '');
  return { socket, isPrivate: socketPath !== undefined || isLoopback, mayEncrypt: socketPath === undefined };
}

function eventOf(socket: Duplex, event: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const settle = (): void => {
    socket.off('error', reject);
    socket.off('close', onClose);
  };
  const onClose = (): void => reject(new Error('the server closed the connection'));
  socket.once(event, () => resolve(undefined));
  socket.once('error', reject);
  socket.once('close', onClose);
  return promise.finally(settle);
}

/** Sends SSLRequest. True: the server waits for a TLS handshake. False: it has no TLS and the mode allows that. */
async function acceptsTls(socket: Duplex, options: TransportOptions, address: string): Promise<boolean> {
  socket.write(encodeSslRequest());
  await eventOf(socket, 'readable');
  const answer: unknown = socket.read();
  // More than one byte would be data that was injected before the encryption started (CVE-2021-23222).
  const letter = answer instanceof Uint8Array && answer.length === 1 ? String.fromCharCode(answer[0] ?? 0) : '';
  if (letter === 'S') return true;
  if (letter !== 'N') {
    throw new AppError('DATABASE_PROTOCOL', `What answers at ${address} does not speak the PostgreSQL protocol.`, {
      hint: 'Check host and port.',
      context: { address },
    });
  }
  if (options.tls === 'prefer') return false;
  throw new AppError('DATABASE_UNREACHABLE', `PostgreSQL at ${address} does not offer TLS, which is required here.`, {
    hint: 'Turn on ssl in the server, or choose the TLS mode “prefer” or “disable” for this database.',
    context: { address },
  });
}

async function encrypt(socket: Duplex, options: TransportOptions, address: string): Promise<TLSSocket> {
  const verify = options.tls === 'verify-ca' || options.tls === 'verify-full';
  const tlsOptions: ConnectionOptions = {
    socket,
    ALPNProtocols: ['postgresql'],
    rejectUnauthorized: verify,
    minVersion: 'TLSv1.2',
    ...(isIP(options.host) === 0 ? { servername: options.host } : { host: options.host }),
    ...(options.tlsCaFile === undefined ? {} : { ca: await readFile(options.tlsCaFile) }),
    ...(options.tls === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
  };
  const secure = connectTls(tlsOptions);
  try {
    await eventOf(secure, 'secureConnect');
    return secure;
  } catch (error) {
    throw new AppError(
      'DATABASE_UNREACHABLE',
      `The TLS handshake with PostgreSQL at ${address} failed: ${messageOf(error)}.`,
      {
        hint: verify
          ? 'Check the certificate authority file and that the certificate names this host.'
          : 'Check the TLS settings of the server.',
        context: { address, tls: options.tls },
        cause: error,
      },
    );
  }
}

/** RFC 5929 §4.1: the hash of the signature algorithm, SHA-256 in place of MD5 and SHA-1; none where it has none. */
function endPointHash(certificate: X509Certificate): Uint8Array | undefined {
  const match = /(md5|sha1|sha224|sha256|sha384|sha512)/i.exec(certificate.signatureAlgorithm ?? '');
  const name = match?.[1]?.toLowerCase();
  if (name === undefined) return undefined;
  return createHash(name === 'md5' || name === 'sha1' ? 'sha256' : name)
    .update(certificate.raw)
    .digest();
}

function unreachable(address: string, options: TransportOptions, error: unknown): AppError {
  const code = systemErrorCode(error);
  let hint = 'Check that the server runs and that host and port are right.';
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    hint = `Check the host name “${options.host}”: it cannot be resolved here.`;
  if (code === 'ECONNREFUSED') {
    hint = 'Nothing listens there: check that the server runs, its port, and listen_addresses in postgresql.conf.';
  }
  if (code === 'ENOENT') hint = 'There is no such socket: check that the server runs and its unix_socket_directories.';
  if (code === 'EACCES') hint = 'This user may not open the socket: check the permissions of its folder.';
  return new AppError('DATABASE_UNREACHABLE', `Cannot reach PostgreSQL at ${address}: ${messageOf(error)}.`, {
    hint,
    context: { address, ...(code === undefined ? {} : { systemCode: code }) },
    retry: code !== 'ENOTFOUND' && code !== 'EACCES',
    cause: error,
  });
}
