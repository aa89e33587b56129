// `rclone serve restic`: a REST server of restic's protocol that we did not write, over a folder.

import { execa } from 'execa';
import { freePort, startChildServer, type ChildServer } from './child-server.ts';

export interface RcloneServer extends AsyncDisposable {
  /** `http://127.0.0.1:port/`, without credentials. */
  readonly url: string;
  readonly server: ChildServer;
}

export interface RcloneServerOptions {
  readonly folder: string;
  readonly user?: string | undefined;
  readonly password?: string | undefined;
  readonly appendOnly?: boolean | undefined;
}

/** The version text (`v1.60.1`), undefined when rclone is not installed. */
export async function rcloneAvailable(): Promise<string | undefined> {
  const result = await execa('rclone', ['version'], { reject: false });
  return result.exitCode === 0 ? (/rclone (\S+)/.exec(result.stdout)?.[1] ?? 'unknown') : undefined;
}

export async function startRcloneServer(options: RcloneServerOptions): Promise<RcloneServer> {
  const port = await freePort();
  const credentials: Record<string, string> =
    options.user === undefined ? {} : { RCLONE_USER: options.user, RCLONE_PASS: options.password ?? '' };
  const server = await startChildServer({
    program: 'rclone',
    args: [
      'serve',
      'restic',
      // With its cache on, rclone 1.60 goes on reporting an upload that was broken off and removed.
      '--cache-objects=false',
      `--addr=127.0.0.1:${port}`,
      ...(options.appendOnly ? ['--append-only'] : []),
      options.folder,
    ],
    env: { RCLONE_CONFIG: '/dev/null', ...credentials },
    port,
  });
  return { url: `http://127.0.0.1:${port}/`, server, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}
