// The server that recovers, wherever it runs: started on a folder, looked after by the files it writes there, stopped.

import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { promoteServer, serverStatus, startServer, stopServer, type FileOwner } from '@varve/postgres';

/** Everything of one recovery is in one folder. */
export interface RecoveryPlace {
  /** The folder as this process sees it. */
  readonly here: string;
  /** As the server sees it. */
  readonly there: string;
  /** Whom the files belong to; undefined: this process is the server's user. */
  readonly owner: FileOwner | undefined;
  /** Where its socket is, from here; a path that is short enough for a socket. */
  readonly socketHere: string;
  readonly socketThere: string;
}

/** Names in the folder. */
export const placeNames = {
  data: 'data',
  exchange: 'wal',
  settings: 'server.conf',
  /** What ALTER SYSTEM had set. */
  ownSettings: 'cluster.conf',
  hba: 'hba.conf',
  ident: 'ident.conf',
  log: 'server.log',
  socket: 's',
} as const;

export interface RecoveryServer {
  /** Launches it; whether it lives shows afterwards. */
  start(): Promise<void>;
  isRunning(): Promise<boolean>;
  /** fast: with a shutdown checkpoint. immediate: at once, for what is thrown away. */
  stop(mode: 'fast' | 'immediate'): Promise<void>;
  /** Ends its recovery, and waits until it has. */
  promote(): Promise<void>;
}

/** Where there is no TCP the port is a part of the socket's name only. */
export const socketPort = 5432;

const logTailBytes = 16_384;

/** A server of this host. */
export function hostRecoveryServer(
  place: RecoveryPlace,
  binDir: string,
  options: { readonly signal?: AbortSignal | undefined } = {},
): RecoveryServer {
  const dataDirectory = join(place.here, placeNames.data);
  const server = { dataDirectory, binDir };
  return {
    async start() {
      const settings = join(place.there, placeNames.settings);
      await startServer({
        ...server,
        logFile: join(place.here, placeNames.log),
        options: `-c config_file='${settings.replaceAll("'", `'\\''`)}'`,
        waits: false,
        signal: options.signal,
      });
    },
    isRunning: async () => (await serverStatus({ dataDirectory })).isRunning,
    stop: async (mode) => void (await stopServer({ ...server, mode })),
    promote: () => promoteServer(server),
  };
}

/** The end of the server's log. */
export async function logTail(place: RecoveryPlace): Promise<string> {
  try {
    await using file = await open(join(place.here, placeNames.log), 'r');
    const { size } = await file.stat();
    const start = Math.max(0, size - logTailBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(logTailBytes), 0, logTailBytes, start);
    return buffer.subarray(0, bytesRead).toString('utf8');
  } catch {
    return '';
  }
}

/** The server's own words for why it ended: its last FATAL, PANIC or ERROR line, with what explains it. */
export function lastFailure(log: string): string | undefined {
  const lines = log.split('\n').map((line) => line.replace(/^\S+ \S+ \S+ \[\d+\] /, ''));
  const at = lines.findLastIndex((line) => /^(FATAL|PANIC|ERROR):/.test(line) && !/startup process/.test(line));
  if (at === -1) return undefined;
  // Which setting it is stands before the line that says that there is one.
  const before = lines
    .slice(0, at)
    .filter((line) => /^LOG:.*(configuration parameter|in file|value for parameter)/.test(line));
  const more = lines.slice(at + 1).filter((line, index) => index < 2 && /^(DETAIL|HINT):/.test(line));
  return [...(/configuration file/.test(lines[at] ?? '') ? before.slice(-1) : []), lines[at], ...more].join(' ').trim();
}
