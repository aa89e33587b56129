// The cluster that base backups are measured on: PostgreSQL with data checksums, half pgbench's tables, half rows that do not
// compress well, from a seed. It is made once in the benchmark's folder and started for each run of the benchmark.

import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';

export interface ClusterOptions {
  /** Folder with initdb, pg_ctl, psql, pgbench. */
  readonly programs: string;
  readonly folder: string;
  readonly bytes: number;
  readonly log: (line: string) => void;
}

/** pgbench's tables take about 15 MB for each unit of its scale. */
const pgbenchBytesPerScale = 15e6;
const rowBytes = 180;

/** A running cluster; whoever made it stops it. */
export class Cluster {
  readonly dataDir: string;
  readonly port: number;
  /** Holds the socket. */
  readonly folder: string;
  readonly programs: string;
  readonly ids: { readonly uid?: number; readonly gid?: number };

  constructor({ programs, folder }: ClusterOptions, port: number) {
    this.port = port;
    this.programs = programs;
    this.folder = folder;
    this.dataDir = join(folder, 'data');
    this.ids = process.getuid?.() === 0 ? idsOf('postgres') : {};
  }

  get url(): string {
    return `postgresql://postgres@127.0.0.1:${this.port}/postgres`;
  }

  /** Runs one of PostgreSQL's programs as the owner of the cluster; yields what it prints. */
  run(program: string, ...parameters: string[]): string {
    const where = ['-h', this.folder, '-p', String(this.port), '-U', 'postgres'];
    const options = { ...this.ids, cwd: '/', encoding: 'utf8' as const, stdio: ['ignore', 'pipe', 'pipe'] as const };
    return execFileSync(join(this.programs, program), [...where, ...parameters], {
      ...options,
      stdio: [...options.stdio],
    });
  }

  sql(statement: string): string {
    return this.run('psql', '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-d', 'postgres', '-c', statement).trim();
  }

  start(): void {
    this.control('start', '-l', join(this.folder, 'log'), '-o', `-p ${this.port} -k ${this.folder}`);
  }

  stop(): void {
    this.control('stop', '-m', 'fast');
  }

  control(action: string, ...parameters: string[]): void {
    const options = { ...this.ids, cwd: '/', stdio: 'ignore' as const };
    execFileSync(
      join(this.programs, 'pg_ctl'),
      ['-D', this.dataDir, '-w', '-t', '120', action, ...parameters],
      options,
    );
  }
}

/** Makes the cluster unless it is there, and starts it. */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const port = await freePort();
  if (!existsSync(options.folder)) makeCluster(options, port);
  const cluster = new Cluster(options, port);
  cluster.start();
  return cluster;
}

/** Never half there: it is made under another name. */
function makeCluster(options: ClusterOptions, port: number): void {
  const { folder, log, bytes } = options;
  const working = `${folder}.making`;
  rmSync(working, { recursive: true, force: true });
  mkdirSync(working, { recursive: true, mode: 0o755 });
  chmodSync(working, 0o755);
  const cluster = new Cluster({ ...options, folder: working }, port);
  const { uid, gid } = cluster.ids;
  if (uid !== undefined && gid !== undefined) chownSync(working, uid, gid);
  log(`making a cluster of ${(bytes / 1e9).toFixed(1)} GB in ${folder}`);
  const init = [
    '-D',
    cluster.dataDir,
    '-U',
    'postgres',
    '-E',
    'UTF8',
    '--no-locale',
    '--auth=trust',
    '--data-checksums',
  ];
  execFileSync(join(options.programs, 'initdb'), init, { ...cluster.ids, cwd: '/', stdio: 'ignore' });
  appendFileSync(
    join(cluster.dataDir, 'postgresql.conf'),
    [
      '',
      "listen_addresses = '127.0.0.1'",
      'shared_buffers = 256MB',
      'max_wal_size = 2GB',
      'autovacuum = off',
      'archive_mode = on',
      // Set by the peer that needs it.
      "archive_command = '/bin/true'",
      '',
    ].join('\n'),
  );
  cluster.start();
  try {
    cluster.run(
      'pgbench',
      '-i',
      '-q',
      '-F',
      '90',
      '-s',
      String(Math.round(bytes / 2 / pgbenchBytesPerScale)),
      'postgres',
    );
    cluster.sql(`create table mixed with (fillfactor = 90) as
      select i as id, 0 as n, md5(i::text) || md5((i * 7)::text) || repeat(md5((i / 50)::text), 2) as body
      from generate_series(1, ${Math.round(bytes / 2 / rowBytes)}) i`);
    cluster.sql('vacuum freeze analyze');
  } finally {
    cluster.stop();
  }
  renameSync(working, folder);
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

function idsOf(user: string): { uid: number; gid: number } {
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((entry) => entry.startsWith(`${user}:`));
  if (line === undefined) throw new Error(`As root this needs the user ${user}: PostgreSQL does not run as root.`);
  const [, , uid, gid] = line.split(':');
  return { uid: Number(uid), gid: Number(gid) };
}
