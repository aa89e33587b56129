// The testing room's throw-away server with what this room's tests need besides: owner, folder, programs run as the owner.

import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { Secret } from '@varve/base';
import { findPostgresMajors, startPostgres } from '@varve/testing';

const run = promisify(execFile);
/** One installation of every major that is at hand. */
export const majors = await findPostgresMajors();

/** The folder of a major's server programs, or undefined when this machine has none. */
export function binDirOf(major: number): string | undefined {
  return majors.find((binaries) => binaries.major === major)?.binDir;
}

export interface LocalServer extends AsyncDisposable {
  readonly port: number;
  readonly user: string;
  readonly password: Secret;
  /** Holds the data directory, the log and the socket. */
  readonly folder: string;
  readonly dataDirectory: string;
  readonly binDir: string;
  readonly uid: number;
  readonly gid: number;
  /** Runs a program as the owner of the server; yields its standard output. */
  run(command: string, args: readonly string[]): Promise<string>;
}

export interface LocalServerOptions {
  readonly major: number;
  readonly hba?: readonly string[];
  readonly initdbOptions?: readonly string[];
}

export async function startLocalServer(options: LocalServerOptions): Promise<LocalServer> {
  const binDir = binDirOf(options.major);
  if (binDir === undefined) throw new Error(`PostgreSQL ${options.major} is not installed`);
  const { major: _, ...rest } = options;
  const server = await startPostgres({ ...rest, binDir, user: 'postgres', settings: { fsync: 'off' } });
  const { uid, gid } = await stat(server.dataDir);
  return {
    port: server.port,
    user: server.user,
    password: new Secret(server.password),
    folder: dirname(server.dataDir),
    dataDirectory: server.dataDir,
    binDir,
    uid,
    gid,
    async run(command, args) {
      const ids = process.getuid?.() === 0 ? { uid, gid } : {};
      const { stdout } = await run(command, args, { ...ids, cwd: '/' });
      return stdout;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** A port of loopback where nothing listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
