// A real server whose WAL is captured: small segments, so that there are many borders; its own WAL kept, to compare with.

import { execFile } from 'node:child_process';
import { appendFile, chown, cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Secret } from '@varve/base';
import { findPostgresMajors, freePort, startPostgres } from '@varve/testing';
import {
  connectPostgres,
  formatLsn,
  parseLsn,
  receiveWal,
  WalSpool,
  type ConnectOptions,
  type Lsn,
  type PgConnection,
  type ReceiveWalOptions,
  type WalCaptureEvent,
  type WalSpoolOptions,
} from '../src/index.ts';

const run = promisify(execFile);

/** One server of every major that this machine has, the newest first. */
export const installedServers = await findPostgresMajors();

export interface WalServer extends AsyncDisposable {
  location: ConnectOptions;
  readonly dataDir: string;
  readonly binDir: string;
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
  start(): Promise<void>;
  sql(sql: string): Promise<readonly (readonly (string | null)[])[]>;
  /** About 3 MB of WAL in many commits. */
  load(commits?: number): Promise<void>;
  /** End of its WAL. */
  position(): Promise<Lsn>;
  replication(): Promise<PgConnection>;
}

export interface WalServerOptions {
  readonly binDir: string;
  readonly settings?: Readonly<Record<string, string>>;
  readonly segmentMb?: number;
}

export async function startWalServer(options: WalServerOptions): Promise<WalServer> {
  const server = await startPostgres({
    binDir: options.binDir,
    user: 'postgres',
    settings: { fsync: 'off', wal_keep_size: '1GB', max_wal_size: '1GB', ...options.settings },
    initdbOptions: [`--wal-segsize=${options.segmentMb ?? 1}`],
  });
  const { port, user, password, dataDir, binDir } = server;
  const location: ConnectOptions = {
    host: '127.0.0.1',
    port,
    user,
    password: new Secret(password),
    database: 'postgres',
    tls: 'disable',
  };
  return describe({
    location,
    dataDir,
    binDir,
    stop: (mode = 'fast') => server.stop(mode),
    start: () => server.start(),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  });
}

function describe(parts: Omit<WalServer, 'sql' | 'load' | 'position' | 'replication'>): WalServer {
  const server: WalServer = Object.assign(parts, {
    async sql(sql: string) {
      await using connection = await connectPostgres(server.location);
      const results = await connection.query(sql);
      return results.at(-1)?.rows ?? [];
    },
    async load(commits = 100) {
      await using connection = await connectPostgres(server.location);
      await connection.query('create table if not exists load (id bigserial primary key, body text)');
      const insert =
        "insert into load (body) select string_agg(md5(random()::text), '') from generate_series(1, 30) s, generate_series(1, 20) group by s";
      for (let commit = 0; commit < commits; commit++) await connection.query(insert);
    },
    async position() {
      const rows = await server.sql('select pg_current_wal_flush_lsn()');
      return parseLsn(rows[0]?.[0] ?? '');
    },
    replication: () => connectPostgres({ ...server.location, replication: 'database' }),
  });
  return server;
}

/** A copy of a stopped server's files that follows it as a standby, on a port of its own. */
export async function startStandby(primary: WalServer): Promise<WalServer> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-standby-'));
  const dataDir = join(folder, 'data');
  const { uid, gid } = await stat(primary.dataDir);
  await cp(primary.dataDir, dataDir, { recursive: true, preserveTimestamps: true });
  await run('chown', ['-R', `${uid}:${gid}`, folder]);
  const port = await freePort();
  const { host, user, password } = primary.location;
  const origin = `host=${host} port=${primary.location.port} user=${user} password=${password?.reveal() ?? ''}`;
  const lines = [`port = ${port}`, `unix_socket_directories = '${folder}'`, `primary_conninfo = '${origin}'`];
  await appendFile(join(dataDir, 'postgresql.conf'), `\n${lines.join('\n')}\n`);
  await writeFile(join(dataDir, 'standby.signal'), '');
  await chown(join(dataDir, 'standby.signal'), uid, gid);
  const control = async (...parameters: string[]): Promise<void> => {
    const ids = process.getuid?.() === 0 ? { uid, gid } : {};
    await run(join(primary.binDir, 'pg_ctl'), ['-D', dataDir, '-w', '-t', '60', ...parameters], { cwd: '/', ...ids });
  };
  const stop = async (mode: string = 'fast'): Promise<void> => {
    if ((await readdir(dataDir)).includes('postmaster.pid')) await control('-m', mode, 'stop');
  };
  const start = (): Promise<void> => control('-l', join(folder, 'log'), '-s', 'start');
  const server = describe({
    location: { ...primary.location, port },
    dataDir,
    binDir: primary.binDir,
    stop,
    start,
    [Symbol.asyncDispose]: async () => {
      await stop('immediate').catch(() => {});
      await rm(folder, { recursive: true, force: true });
    },
  });
  return server;
}

/** Writes to a server until disposed. */
export function keepLoading(server: WalServer): AsyncDisposable {
  const stopping = new AbortController();
  const loading = (async () => {
    while (!stopping.signal.aborted) await server.load(20);
  })();
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await loading;
    },
  };
}

export interface Capture extends AsyncDisposable {
  readonly folder: string;
  readonly events: readonly WalCaptureEvent[];
  readonly spool: WalSpool;
  /** How it ended: an error, or undefined when `until` was reached. */
  readonly ended: Promise<unknown>;
  waitFor<Kind extends WalCaptureEvent['kind']>(
    kind: Kind,
    test?: (event: Extract<WalCaptureEvent, { kind: Kind }>) => boolean,
  ): Promise<Extract<WalCaptureEvent, { kind: Kind }>>;
  /** Waits until everything before is durable. */
  reach(lsn: Lsn): Promise<void>;
  stop(): Promise<unknown>;
}

export async function startCapture(
  options: Omit<ReceiveWalOptions, 'spool'> & { readonly folder: string; readonly spool?: Partial<WalSpoolOptions> },
): Promise<Capture> {
  const { folder, spool: spoolOptions, ...rest } = options;
  const spool = await WalSpool.open({ folder, ...spoolOptions });
  const controller = new AbortController();
  const events: WalCaptureEvent[] = [];
  const listeners = new Set<() => void>();
  const ended = receiveWal({
    firstDelayMs: 50,
    maxDelayMs: 400,
    statusIntervalMs: 200,
    ...rest,
    spool,
    signal: controller.signal,
    onEvent: (event) => {
      events.push(event);
      rest.onEvent?.(event);
      for (const look of listeners) look();
    },
  }).then(
    () => undefined,
    (error: unknown) => error,
  );
  const until = (test: () => boolean, what: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = (): void => {
        if (!test()) return;
        listeners.delete(look);
        resolve();
      };
      listeners.add(look);
      look();
      void ended.then((error) => reject(new Error(`the receiver ended before ${what}`, { cause: error })));
    });
  const capture: Capture = {
    folder,
    events,
    spool,
    ended,
    async waitFor(kind, test = () => true) {
      type Wanted = Parameters<NonNullable<typeof test>>[0];
      const find = (): Wanted | undefined =>
        events.find((event) => event.kind === kind && test(event as Wanted)) as Wanted | undefined;
      await until(() => find() !== undefined, kind);
      return find() as Wanted;
    },
    reach: (lsn) => until(() => (spool.durable ?? 0n) >= lsn, formatLsn(lsn)),
    async stop() {
      controller.abort();
      const error = await ended;
      await spool.close();
      return error;
    },
    [Symbol.asyncDispose]: async () => void (await capture.stop()),
  };
  return capture;
}

/** The finished segments of a spool, compared with the server's own; their names, which must have no hole. */
export async function expectSameSegments(folder: string, server: WalServer, timeline = 1): Promise<string[]> {
  const prefix = timeline.toString(16).toUpperCase().padStart(8, '0');
  const names = (await readdir(folder))
    .filter((name) => /^[0-9A-F]{24}$/.test(name) && name.startsWith(prefix))
    .toSorted();
  const differing: string[] = [];
  for (const name of names) {
    const [here, there] = await Promise.all([
      readFile(join(folder, name)),
      readFile(join(server.dataDir, 'pg_wal', name)),
    ]);
    if (!here.equals(there)) differing.push(name);
  }
  const numbers = names.map(
    (name) => Number.parseInt(name.slice(8, 16), 16) * 0x1000 + Number.parseInt(name.slice(16), 16),
  );
  const holes = numbers.filter((number, index) => index > 0 && number !== (numbers[index - 1] ?? 0) + 1);
  if (differing.length > 0 || holes.length > 0) {
    throw new Error(`other bytes in ${differing.join(', ') || 'none'}; holes before ${holes.join(', ') || 'none'}`);
  }
  return names;
}

/** The first bytes of the open segment, compared with the server's own. */
export async function expectSamePartial(capture: Capture, server: WalServer): Promise<number> {
  const open = capture.spool.openSegment;
  if (!open) return 0;
  const here = (await readFile(open.path)).subarray(0, open.durableBytes);
  const there = (await readFile(join(server.dataDir, 'pg_wal', open.name))).subarray(0, open.durableBytes);
  if (!here.equals(there)) throw new Error(`other bytes in ${open.name}`);
  return open.durableBytes;
}

export function spoolFolder(server: WalServer): string {
  return join(dirname(server.dataDir), `spool-${Math.random().toString(36).slice(2)}`);
}
