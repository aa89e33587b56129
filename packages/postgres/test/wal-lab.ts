// The write-ahead log of real servers, as bytes, and what pg_waldump says of it.

import { execFile } from 'node:child_process';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Secret } from '@varve/base';
import { startPostgres, type PostgresServer } from '@varve/testing';
import { connectPostgres, parseWalFileName, type Lsn, type WalEvent } from '../src/index.ts';
import { WalReader, type WalReaderStart } from '../src/wal-reader/wal-reader.ts';

const run = promisify(execFile);
const mebibyte = 1024 * 1024;

export interface WalServer extends AsyncDisposable {
  readonly server: PostgresServer;
  /** Runs statements one after another, each in its own transaction. Yields the first value of the last. */
  query(...statements: readonly string[]): Promise<string>;
}

/** A server that keeps all its WAL. */
export async function startWalServer(options: {
  readonly binDir: string;
  readonly segmentMebibytes?: number;
  readonly settings?: Readonly<Record<string, string>>;
}): Promise<WalServer> {
  const server = await startPostgres({
    binDir: options.binDir,
    user: 'postgres',
    initdbOptions: [`--wal-segsize=${options.segmentMebibytes ?? 16}`],
    settings: { fsync: 'off', wal_keep_size: '1GB', autovacuum: 'off', ...options.settings },
  });
  return {
    server,
    async query(...statements) {
      const { host, port, user } = server;
      const password = new Secret(server.password);
      await using connection = await connectPostgres({ host, port, user, password, database: 'postgres' });
      let value = '';
      for (const statement of statements) {
        value = (await connection.query(statement)).at(-1)?.rows[0]?.[0] ?? '';
      }
      return value;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** Moves the log of a stopped server to a segment of another place. False when its programs have no pg_resetwal. */
export async function moveWal(server: PostgresServer, segmentName: string): Promise<boolean> {
  const program = join(server.binDir, 'pg_resetwal');
  if (!(await stat(program).catch(() => undefined))) return false;
  const { uid, gid } = await stat(server.dataDir);
  const owner = process.getuid?.() === 0 ? { uid, gid } : {};
  await run(program, ['-l', segmentName, '-D', server.dataDir], { cwd: '/', ...owner });
  return true;
}

export interface WalFile {
  readonly name: string;
  readonly timeline: number;
  readonly startLsn: Lsn;
  readonly bytes: Buffer;
}

/** The segments of a stopped server, in their order. */
export async function readSegments(server: PostgresServer, segmentMebibytes = 16): Promise<WalFile[]> {
  const folder = join(server.dataDir, 'pg_wal');
  const files: WalFile[] = [];
  for (const name of (await readdir(folder)).sort()) {
    const parsed = parseWalFileName(name, segmentMebibytes * mebibyte);
    if (parsed?.kind !== 'segment') continue;
    const { timeline, startLsn } = parsed;
    files.push({ name, timeline, startLsn, bytes: await readFile(join(folder, name)) });
  }
  return files;
}

export interface DumpedRecord {
  readonly resourceManager: string;
  readonly lsn: string;
  readonly xid: number;
  readonly description: string;
}

/** The records as pg_waldump tells them, or undefined when this server's programs have none. */
export async function dumpRecords(
  server: PostgresServer,
  segments: readonly WalFile[],
): Promise<DumpedRecord[] | undefined> {
  const program = join(server.binDir, 'pg_waldump');
  if (!(await stat(program).catch(() => undefined))) return undefined;
  const names = [segments[0]?.name ?? '', segments.at(-1)?.name ?? ''];
  const options = { cwd: join(server.dataDir, 'pg_wal'), env: { TZ: 'UTC' }, maxBuffer: 512 * mebibyte };
  // At the end of what is valid it ends with an error.
  const { stdout } = await run(program, names, options).catch((error: unknown) => error as { stdout: string });
  return stdout.split('\n').flatMap((line) => {
    const match = /^rmgr: (\S+) .*tx:\s+(\d+), lsn: (\S+), prev \S+, desc: (.*)$/.exec(line);
    if (!match) return [];
    const [, resourceManager = '', xid, lsn = '', description = ''] = match;
    return [{ resourceManager, xid: Number(xid), lsn: lsn.replace(/\/0+(?=.)/, '/'), description }];
  });
}

/** All events of some bytes, given in pieces of `pieceBytes`. */
export function readEvents(
  start: WalReaderStart,
  bytes: Uint8Array,
  pieceBytes = mebibyte,
): { readonly reader: WalReader; readonly events: WalEvent[] } {
  const reader = new WalReader(start);
  const events: WalEvent[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    events.push(...reader.push(bytes.subarray(at, at + pieceBytes)));
  }
  return { reader, events };
}

/** Positions of all records: no record is shorter than 24 bytes, so after every 8 at most one is new. */
export function recordPositions(start: WalReaderStart, bytes: Uint8Array): Lsn[] {
  const reader = new WalReader(start);
  const positions: Lsn[] = [];
  for (let at = 0; at < bytes.length && reader.end === undefined; at += 8) {
    reader.push(bytes.subarray(at, at + 8));
    if (reader.recordCount > positions.length && reader.lastRecordLsn !== undefined)
      positions.push(reader.lastRecordLsn);
  }
  return positions;
}

type EventOf<Type extends WalEvent['type']> = Extract<WalEvent, { type: Type }>;

/** The events of some types. */
export function eventsOf<Type extends WalEvent['type']>(
  events: readonly WalEvent[],
  ...types: readonly Type[]
): EventOf<Type>[] {
  const wanted: ReadonlySet<string> = new Set(types);
  return events.filter((event): event is EventOf<Type> => wanted.has(event.type));
}

/** The one event of a type. */
export function onlyEvent<Type extends WalEvent['type']>(events: readonly WalEvent[], type: Type): EventOf<Type> {
  const found = eventsOf(events, type);
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} events are ${type}`);
  return found[0];
}
