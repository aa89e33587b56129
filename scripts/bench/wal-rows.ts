// The rows of the write-ahead log: how long a commit takes to be durable in the spool while pgbench writes, what capturing costs
// pgbench, and how fast a recovering server gets its log. Captured by `varve wal receive` and by pg_receivewal, in turn.

import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Secret } from '../../packages/base/src/index.ts';
import { connectPostgres } from '../../packages/postgres/src/index.ts';
import { measure, type Figures } from './measure.ts';
import type { Cluster } from './postgres-cluster.ts';
import type { Row } from './repository-rows.ts';

export interface WalPlaces {
  /** Emptied and filled by each run. */
  readonly folder: string;
  readonly launcher: string;
  /** Starts the cluster when it does not run. */
  readonly cluster: () => Promise<Cluster>;
}

/** How the log is captured. */
type Capture = 'varve' | 'pg_receivewal' | 'nobody';

const transactionsPerClient = 2500;
const clients = 4;
const probes = 50;
const servedSegments = 100;

/** In any order. */
export function walRows(places: WalPlaces): Row[] {
  const load = (capture: Capture) => () => pgbenchWhile(places, capture);
  const lag = (capture: Capture) => () => commitLag(places, capture);
  let copied: Figures | undefined;
  return [
    {
      name: 'WAL: commit to durable in the spool under pgbench, p99',
      peerName: 'pg_receivewal --synchronous',
      floor: '2 s',
      goal: '0.2 s',
      varve: lag('varve'),
      peer: lag('pg_receivewal'),
    },
    {
      name: `WAL: ${clients * transactionsPerClient} transactions of pgbench while it is captured`,
      peerName: 'captured by pg_receivewal',
      floor: 'same',
      goal: 'less',
      varve: load('varve'),
      peer: load('pg_receivewal'),
    },
    {
      name: 'WAL: the same, by what capturing costs',
      peerName: 'not captured',
      floor: '',
      goal: '',
      varve: load('varve'),
      peer: load('nobody'),
    },
    {
      name: `WAL: ${servedSegments} segments of 16 MiB served from a repository`,
      peerName: 'cp from a folder',
      floor: '2 s (50/s)',
      goal: '',
      varve: async () => {
        const run = serveSegments();
        copied = run.copied;
        return run.served;
      },
      peer: async () => copied ?? { wallSeconds: NaN, cpuSeconds: NaN, peakMegabytes: NaN },
    },
  ];
}

function serveSegments(): { readonly served: Figures; readonly copied: Figures } {
  const script = fileURLToPath(new URL('../wal-serve.ts', import.meta.url));
  const parameters = [script, '--segments', String(servedSegments), '--json'];
  return JSON.parse(execFileSync(process.execPath, parameters, { encoding: 'utf8' })) as ReturnType<
    typeof serveSegments
  >;
}

async function pgbenchWhile(places: WalPlaces, capture: Capture): Promise<Figures> {
  const cluster = await places.cluster();
  await using _ = await startCapture(places, cluster, capture);
  cluster.sql('checkpoint');
  return await measure({ program: join(cluster.programs, 'pgbench'), parameters: pgbenchParameters(cluster) });
}

function pgbenchParameters({ folder, port }: Cluster): string[] {
  const where = ['-h', folder, '-p', String(port), '-U', 'postgres'];
  return [...where, '-n', '-c', String(clients), '-j', '1', '-t', String(transactionsPerClient), 'postgres'];
}

/** The 99th percentile of the time from a commit's answer to the server's knowing that its log is durable elsewhere. */
async function commitLag(places: WalPlaces, capture: Capture): Promise<Figures> {
  const cluster = await places.cluster();
  cluster.sql('drop table if exists probe; create table probe (at timestamptz)');
  await using _ = await startCapture(places, cluster, capture);
  const load = spawn(join(cluster.programs, 'pgbench'), [...pgbenchParameters(cluster), '-T', '60'].filter(notCount), {
    stdio: 'ignore',
  });
  const ended = once(load, 'close');
  try {
    const seconds: number[] = [];
    const options = { host: '127.0.0.1', port: cluster.port, user: 'postgres', password: new Secret('') };
    await using connection = await connectPostgres({ ...options, database: 'postgres' });
    const text = async (statement: string): Promise<string> =>
      (await connection.query(statement)).at(-1)?.rows[0]?.[0] ?? '';
    for (let probe = 0; probe < probes; probe++) {
      await connection.query('insert into probe values (clock_timestamp())');
      const committedAt = performance.now();
      const lsn = await text('select pg_current_wal_flush_lsn()');
      const isThere = `select coalesce(bool_or(flush_lsn >= '${lsn}'), false)::text from pg_stat_replication`;
      while ((await text(isThere)) !== 'true') await wait(1);
      seconds.push((performance.now() - committedAt) / 1000);
    }
    seconds.sort((a, b) => a - b);
    return {
      wallSeconds: seconds[Math.ceil(probes * 0.99) - 1] ?? NaN,
      cpuSeconds: NaN,
      peakMegabytes: NaN,
    };
  } finally {
    load.kill();
    await ended;
  }
}

/** pgbench takes a time or a count. */
function notCount(parameter: string, index: number, all: readonly string[]): boolean {
  return parameter !== '-t' && all[index - 1] !== '-t';
}

async function startCapture(places: WalPlaces, cluster: Cluster, capture: Capture): Promise<AsyncDisposable> {
  if (capture === 'nobody') return { [Symbol.asyncDispose]: async () => {} };
  const spool = join(places.folder, 'wal-spool');
  rmSync(spool, { recursive: true, force: true });
  mkdirSync(spool, { recursive: true, mode: 0o700 });
  const slot = `bench_${capture}`;
  const child =
    capture === 'varve' ? startVarve(places, { cluster, spool, slot }) : startPeer(cluster, { spool, slot });
  const ended = once(child, 'close');
  const isStreaming = `select count(*) from pg_stat_replication where state = 'streaming'`;
  while (cluster.sql(isStreaming) === '0') {
    if (child.exitCode !== null) throw new Error(`${capture} ended with ${child.exitCode}.`);
    await wait(50);
  }
  return {
    async [Symbol.asyncDispose]() {
      child.kill('SIGINT');
      await ended;
      const isFree = `select count(*) from pg_replication_slots where active`;
      while (cluster.sql(isFree) !== '0') await wait(50);
      cluster.sql(`select pg_drop_replication_slot('${slot}')`);
    },
  };
}

interface CaptureRun {
  readonly cluster: Cluster;
  readonly spool: string;
  readonly slot: string;
}

function startVarve({ folder, launcher }: WalPlaces, { cluster, spool, slot }: CaptureRun): ChildProcess {
  const url = join(folder, 'wal-url');
  writeFileSync(url, cluster.url, { mode: 0o600 });
  const parameters = ['wal', 'receive', '--url-file', url, '--spool', spool, '--slot', slot, '--create-slot', '-q'];
  return spawn(launcher, parameters, { stdio: 'ignore' });
}

function startPeer({ programs, folder, port }: Cluster, { spool, slot }: Omit<CaptureRun, 'cluster'>): ChildProcess {
  const program = join(programs, 'pg_receivewal');
  const where = ['-h', folder, '-p', String(port), '-U', 'postgres', '-S', slot];
  execFileSync(program, [...where, '--create-slot'], { stdio: 'ignore' });
  return spawn(program, [...where, '-D', spool, '--synchronous'], { stdio: 'ignore' });
}
