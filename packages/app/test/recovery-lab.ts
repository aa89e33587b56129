// A database with a ledger whose rows the client has noted as acknowledged, its base backups as snapshots, and its log in the
// archive of a repository: taken from the server's own pg_wal, with the facts that the WAL reader finds.

import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret, silentLogger } from '@varve/base';
import type { App, RecoveryRequestInput, WalBlock } from '@varve/contract';
import { recoveryRequestSchema } from '@varve/contract';
import {
  connectPostgres,
  formatLsn,
  formatUnixMicros,
  lsnFromBigInt,
  parseLsn,
  parseWalFileName,
  readServerFacts,
  WalReader,
  type Lsn,
  type PgConnection,
  type WalEvent,
} from '@varve/postgres';
import { startPostgres, type PostgresServer } from '@varve/testing';
import { parametersOf } from '../src/wal-capture/block-draft.ts';
import { commitBlock } from '../src/wal-archive/commit-block.ts';
import type { RecoveredDatabase } from '../src/recovery/run-recovery.ts';
import type { TakenSnapshot } from '../src/use-case.ts';
import { runFixture, type RunFixture } from './run-fixture.ts';

const mebibyte = 1024 * 1024;

/** A row that the server has acknowledged, with its own time of the commit. */
export interface Acknowledged {
  readonly id: number;
  readonly micros: number;
  readonly lsn: string;
}

export interface RecoveryLab extends AsyncDisposable {
  readonly fixture: RunFixture;
  readonly server: PostgresServer;
  readonly app: App;
  /** Every row of the ledger, in the order of their commits. */
  readonly ledger: Acknowledged[];
  query(sql: string, database?: string): Promise<string>;
  /** Commits rows, one transaction each. */
  write(count: number): Promise<void>;
  base(): Promise<TakenSnapshot>;
  /** Brings the archive up to date with the server, leaving out what `without` names. */
  archive(options?: { readonly without?: readonly string[] }): Promise<void>;
}

/** Starts a server with small segments; takes some seconds. */
export async function recoveryLab(options: {
  readonly binDir: string;
  readonly settings?: Readonly<Record<string, string>>;
}): Promise<RecoveryLab> {
  const fixture = await runFixture();
  const server = await startPostgres({
    binDir: options.binDir,
    initdbOptions: ['--wal-segsize=1', '--data-checksums'],
    settings: {
      wal_keep_size: '2GB',
      track_commit_timestamp: 'on',
      autovacuum: 'off',
      synchronous_commit: 'on',
      ...options.settings,
    },
  });
  fixture.secrets.set('url', new Secret(server.url));
  const app = fixture.app([
    {
      kind: 'database',
      name: 'db',
      engine: 'postgresql',
      method: 'base',
      source: { type: 'url', urlSecret: 'url', display: 'postgresql://tester@127.0.0.1' },
      dataDirectory: server.dataDir,
      binDirectory: server.binDir,
      excludes: [],
      wal: true,
    },
  ]);
  const ledger: Acknowledged[] = [];
  const query = async (sql: string, database = 'postgres'): Promise<string> => {
    await using connection = await connect(server, database);
    const results = await connection.query(sql);
    return (results.at(-1)?.rows ?? []).map((row) => row.join('|')).join('\n');
  };
  await query('CREATE TABLE ledger (id bigint PRIMARY KEY, filler text)');
  return {
    fixture,
    server,
    app,
    ledger,
    query,
    async write(count) {
      await using connection = await connect(server, 'postgres');
      for (let n = 0; n < count; n++) await writeRow(connection, ledger);
    },
    base: () => fixture.snapshot(app),
    archive: ({ without = [] } = {}) => archiveServer({ fixture, server, app, without }),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      await fixture[Symbol.asyncDispose]();
    },
  };
}

export function request(input: RecoveryRequestInput) {
  return recoveryRequestSchema.parse(input);
}

export async function connect(server: PostgresServer, database: string): Promise<PgConnection> {
  const { host, port, user, password } = server;
  return connectPostgres({ host, port, user, password: new Secret(password), database });
}

async function writeRow(connection: PgConnection, ledger: Acknowledged[]): Promise<void> {
  const id = ledger.length + 1;
  await connection.query(`INSERT INTO ledger VALUES (${id}, repeat(md5(random()::text), 40))`);
  const [result] = await connection.query(
    `SELECT extract(epoch from pg_xact_commit_timestamp(xmin)) * 1000000, pg_current_wal_lsn() FROM ledger WHERE id = ${id}`,
  );
  const [micros, lsn] = result?.rows[0] ?? [];
  ledger.push({ id, micros: Math.round(Number(micros)), lsn: lsn ?? '' });
}

export interface Archiving {
  readonly fixture: RunFixture;
  readonly app: App;
  readonly component: string;
  /** The server's `pg_wal`. */
  readonly folder: string;
  readonly segmentBytes: number;
  readonly systemId: string;
  readonly version: string;
  readonly flushLsn: Lsn;
  readonly without: readonly string[];
}

async function archiveServer(
  input: Pick<Archiving, 'fixture' | 'app' | 'without'> & { readonly server: PostgresServer },
): Promise<void> {
  await using connection = await connect(input.server, 'postgres');
  const { systemId, version } = await readServerFacts(connection);
  const [flushed] = await connection.query('SELECT pg_current_wal_flush_lsn()');
  const folder = join(input.server.dataDir, 'pg_wal');
  const flushLsn = parseLsn(flushed?.rows[0]?.[0] ?? '0/0');
  await archiveWal({ ...input, component: 'db', folder, segmentBytes: mebibyte, systemId, version, flushLsn });
}

/** Blocks of whatever segments there are now; earlier ones are replaced by longer ones of the same beginning. */
export async function archiveWal(input: Archiving): Promise<void> {
  const { folder, segmentBytes, flushLsn, without } = input;
  const names = (await readdir(folder)).sort();
  const histories = new Map<number, Uint8Array>();
  for (const name of names) {
    const parsed = parseWalFileName(name, segmentBytes);
    if (parsed?.kind === 'history') histories.set(parsed.timeline, await readFile(join(folder, name)));
  }
  const timelines = new Set(
    names.flatMap((name) => {
      const parsed = parseWalFileName(name, segmentBytes);
      return parsed?.kind === 'segment' ? [parsed.timeline] : [];
    }),
  );
  for (const timeline of timelines) {
    let run: { name: string; startLsn: Lsn; bytes: number }[] = [];
    const flush = async (): Promise<void> => {
      if (run.length > 0) await store({ ...input, timeline, run, histories });
      run = [];
    };
    for (const name of names) {
      const parsed = parseWalFileName(name, segmentBytes);
      if (parsed?.kind !== 'segment' || parsed.isPartial || parsed.timeline !== timeline) continue;
      const left = flushLsn - parsed.startLsn;
      const bytes = left < BigInt(segmentBytes) ? Number(left) : segmentBytes;
      if (without.includes(name) || bytes <= 0) {
        await flush();
        continue;
      }
      run.push({ name, startLsn: parsed.startLsn, bytes });
    }
    await flush();
  }
}

interface Stretch extends Archiving {
  readonly timeline: number;
  readonly run: readonly { readonly name: string; readonly startLsn: Lsn; readonly bytes: number }[];
  readonly histories: ReadonlyMap<number, Uint8Array>;
}

async function store(stretch: Stretch): Promise<void> {
  const { fixture, app, run, timeline, histories } = stretch;
  const first = run[0];
  const last = run.at(-1);
  if (first === undefined || last === undefined) return;
  const reader = new WalReader({ lsn: first.startLsn });
  const read = async (name: string, bytes: number): Promise<Buffer> => {
    await using file = await open(join(stretch.folder, name), 'r');
    return (await file.read(Buffer.alloc(bytes), 0, bytes, 0)).buffer;
  };
  const segments: WalBlock['segments'] = [];
  const events: WalEvent[] = [];
  for (const { name, bytes } of run) {
    const found = reader.push(await read(name, bytes));
    events.push(...found);
    const ends = found.flatMap((event) => (event.type === 'commit' || event.type === 'abort' ? [event] : []));
    const commits = ends.filter(({ type }) => type === 'commit');
    const time = (micros: number | undefined): string | null =>
      micros === undefined ? null : formatUnixMicros(micros);
    segments.push({
      name,
      bytes,
      commits: commits.length,
      firstCommitAt: time(commits[0]?.unixMicros),
      lastCommitAt: time(commits.at(-1)?.unixMicros),
      latestAt: ends.length === 0 ? null : time(Math.max(...ends.map(({ unixMicros }) => unixMicros))),
    });
  }
  const end = formatLsn(lsnFromBigInt(last.startLsn + BigInt(last.bytes)));
  const now = new Date().toISOString();
  const needed = [...histories.keys()].filter((one) => one <= timeline);
  const block: WalBlock = {
    format: 'varve-wal-block',
    formatVersion: 1,
    varveVersion: '0.0.0',
    appId: app.id,
    component: stretch.component,
    systemId: stretch.systemId,
    serverVersion: stretch.version,
    segmentBytes: stretch.segmentBytes,
    timeline,
    startLsn: formatLsn(first.startLsn),
    endLsn: end,
    replayableLsn: formatLsn(reader.finish().lsn),
    sealed: false,
    startedAt: now,
    updatedAt: now,
    gap: null,
    segments,
    restorePoints: events.flatMap((event) =>
      event.type === 'restore-point'
        ? [{ name: event.name, lsn: formatLsn(event.lsn), at: formatUnixMicros(event.unixMicros) }]
        : [],
    ),
    parameterChanges: events.flatMap((event) =>
      event.type === 'parameter-change'
        ? [{ lsn: formatLsn(event.lsn), parameters: parametersOf(event.parameters) }]
        : [],
    ),
    restarts: [],
    tablespacesCreated: [],
    histories: needed,
  };
  await commitBlock(fixture.repository, {
    block,
    previous: null,
    appended: run.map(({ name, bytes }) => ({ name, source: piece(read(name, bytes)) })),
    histories: new Map([...histories].filter(([one]) => needed.includes(one))),
    hostName: 'host',
    programVersion: 'varve test',
    lockOwner: {},
    logger: silentLogger,
  });
}

async function* piece(bytes: Promise<Buffer>): AsyncGenerator<Uint8Array> {
  yield await bytes;
}

/** What a query of a sandbox's server yields: columns by `|`, a row a line. */
export async function inSandbox(recovered: RecoveredDatabase, sql: string): Promise<string> {
  const { connection } = recovered.sandbox ?? {};
  if (!connection?.socketFolder || connection.port === null) throw new Error('no sandbox');
  await using session = await connectPostgres({
    host: 'localhost',
    port: connection.port,
    socketPath: connection.socketFolder,
    user: connection.user,
    database: 'postgres',
    tls: 'disable',
  });
  return ((await session.query(sql)).at(-1)?.rows ?? []).map((row) => row.join('|')).join('\n');
}
