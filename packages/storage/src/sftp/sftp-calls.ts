// The SFTP requests that the storage makes, as promises that end when the connection is lost or the signal aborts. Status
// codes are those of draft-ietf-secsh-filexfer-02, section 7.

import { AppError, cancelledError, mapConcurrently, messageOf, throwIfAborted } from '@varve/base';
import type { SFTPWrapper, Stats } from 'ssh2';
import type { OnTransfer } from '../contract.ts';
import type { SftpConnection } from './sftp-connection.ts';

/** What every server takes in one request. */
const stepBytes = 32 * 1024;
const stepsAtOnce = 32;

export const status = { noSuchFile: 2, permissionDenied: 3, failure: 4, unsupported: 8 } as const;

/** The status code of a failed request, undefined for other errors. */
export function statusOf(error: unknown): number | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'number' ? code : undefined;
}

export class SftpCalls {
  readonly #connection: SftpConnection;
  readonly #signal: AbortSignal | undefined;

  constructor(connection: SftpConnection, signal: AbortSignal | undefined) {
    this.#connection = connection;
    this.#signal = signal;
  }

  open(path: string, mode: 'r' | 'wx'): Promise<Buffer> {
    return this.#call((sftp, done) => sftp.open(path, mode, done));
  }

  close(handle: Buffer): Promise<void> {
    return this.#call((sftp, done) => sftp.close(handle, done));
  }

  size(handle: Buffer): Promise<number> {
    return this.#call<Stats>((sftp, done) => sftp.fstat(handle, done)).then(({ size }) => size);
  }

  stat(path: string): Promise<Stats> {
    return this.#call((sftp, done) => sftp.stat(path, done));
  }

  chmod(handle: Buffer, mode: number): Promise<void> {
    return this.#call((sftp, done) => sftp.fchmod(handle, mode, done));
  }

  /** Where the server has no fsync@openssh.com, its word that the file is closed has to do. */
  async sync(handle: Buffer): Promise<void> {
    try {
      await this.#call<void>((sftp, done) => sftp.ext_openssh_fsync(handle, done));
    } catch (error) {
      if (!isUnsupported(error)) throw error;
    }
  }

  mkdir(path: string, mode: number): Promise<void> {
    return this.#call((sftp, done) => sftp.mkdir(path, { mode }, done));
  }

  /** Never replaces: version 3 of SFTP forbids it, and OpenSSH's server links and unlinks. */
  rename(from: string, to: string): Promise<void> {
    return this.#call((sftp, done) => sftp.rename(from, to, done));
  }

  unlink(path: string): Promise<void> {
    return this.#call((sftp, done) => sftp.unlink(path, done));
  }

  readFolder(path: string): Promise<{ filename: string; attrs: { size: number; mode: number } }[]> {
    return this.#call((sftp, done) => sftp.readdir(path, done));
  }

  /** Bytes that are free for us there; undefined when the server does not say (statvfs@openssh.com). */
  async freeBytes(path: string): Promise<number | undefined> {
    interface Volume {
      readonly f_frsize: number;
      readonly f_bavail: number;
    }
    const volume = await this.#call<Volume>((sftp, done) => {
      sftp.ext_openssh_statvfs(path, (error: Error | undefined, facts: unknown) => done(error, facts as Volume));
    }).catch(() => undefined);
    return volume === undefined ? undefined : volume.f_frsize * volume.f_bavail;
  }

  async write(handle: Buffer, parts: readonly Uint8Array[], onTransfer: OnTransfer | undefined): Promise<void> {
    await mapConcurrently(placedSteps(parts), stepsAtOnce, async ({ bytes, position }) => {
      throwIfAborted(this.#signal);
      await onTransfer?.(bytes.length);
      await this.#call<void>((sftp, done) => sftp.write(handle, bytes, 0, bytes.length, position, done));
    });
  }

  /** All `length` bytes; fewer when the file ends before. */
  async read(
    handle: Buffer,
    range: { readonly offset: number; readonly length: number },
    onTransfer: OnTransfer | undefined,
  ): Promise<Buffer> {
    const target = Buffer.allocUnsafeSlow(range.length);
    const starts = Array.from({ length: Math.ceil(range.length / stepBytes) }, (_, index) => index * stepBytes);
    let missing = 0;
    await mapConcurrently(starts, stepsAtOnce, async (start) => {
      const end = Math.min(start + stepBytes, range.length);
      for (let at = start; at < end;) {
        throwIfAborted(this.#signal);
        const from = at;
        const count = await this.#call<number>((sftp, done) => {
          sftp.read(handle, target, from, end - from, range.offset + from, done);
        });
        if (count === 0) {
          missing += end - at;
          break;
        }
        at += count;
        await onTransfer?.(count);
      }
    });
    return missing === 0 ? target : target.subarray(0, range.length - missing);
  }

  #call<T>(start: (sftp: SFTPWrapper, done: (error?: Error | null, value?: T) => void) => void): Promise<T> {
    const { sftp, lost } = this.#connection;
    const signal = this.#signal;
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const onAbort = (): void => reject(cancelledError(signal));
    const onLost = (): void => reject(lostError(lost.reason));
    if (signal?.aborted) return Promise.reject(cancelledError(signal));
    if (lost.aborted) return Promise.reject(lostError(lost.reason));
    signal?.addEventListener('abort', onAbort, { once: true });
    lost.addEventListener('abort', onLost, { once: true });
    start(sftp, (error, value) => (error ? reject(error) : resolve(value as T)));
    return promise.finally(() => {
      signal?.removeEventListener('abort', onAbort);
      lost.removeEventListener('abort', onLost);
    });
  }
}

function lostError(reason: unknown): AppError {
  if (reason instanceof AppError) return reason;
  return new AppError('STORAGE_UNREACHABLE', `The SSH connection was lost: ${messageOf(reason)}.`, {
    retry: true,
    hint: 'Check the network and the SSH server.',
    cause: reason,
  });
}

function isUnsupported(error: unknown): boolean {
  return statusOf(error) === status.unsupported || /not support/i.test(messageOf(error));
}

function* placedSteps(parts: readonly Uint8Array[]): Generator<{ bytes: Buffer; position: number }> {
  let position = 0;
  for (const part of parts) {
    for (let offset = 0; offset < part.length; offset += stepBytes) {
      const bytes = Buffer.from(part.buffer, part.byteOffset + offset, Math.min(stepBytes, part.length - offset));
      yield { bytes, position };
      position += bytes.length;
    }
  }
}
