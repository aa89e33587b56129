// What goes into an exec and what comes out.

import type { Secret } from '@varve/base';

export interface ExecOptions {
  /** argv; visible in the process list, so no secrets here. */
  readonly command: readonly string[];
  /** Added to the container's environment. Passwords belong here. */
  readonly env?: Readonly<Record<string, string | Secret>> | undefined;
  /** `name`, `uid` or `uid:gid`; the container's user by default. */
  readonly user?: string | undefined;
  readonly workingDir?: string | undefined;
  /** Fed to the process; its end reaches the process as end of file. When it throws, the process is killed. */
  readonly stdin?: AsyncIterable<Uint8Array> | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ExecResult {
  readonly exitCode: number;
  /** The last 64 KiB. */
  readonly stderr: string;
}

export interface ExecProcess {
  /**
   * Standard output, read once and to its end: an unread process stalls once about 1 MiB is waiting, and stopping early
   * kills it. It ends normally whatever the exit code; only {@link finished} says whether the process succeeded.
   */
  readonly stdout: AsyncIterable<Uint8Array>;
  /** Settles after the process ended: CANCELLED, DOCKER_UNREACHABLE, DOCKER_REQUEST_FAILED, or the error of stdin. */
  readonly finished: Promise<ExecResult>;
}

export interface CollectOptions extends ExecOptions {
  /** More standard output than this fails the call and kills the process. Default 1 MiB. */
  readonly maxOutputBytes?: number | undefined;
}

export interface CollectedResult extends ExecResult {
  readonly stdout: Buffer;
}
