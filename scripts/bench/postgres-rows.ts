// The rows of base backups: a cluster of about 1 GB, read by Varve from its data folder, against pgBackRest (its own reader, two
// processes, zstd) and pg_basebackup (one stream, not compressed). Repositories are new for every full backup.

import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { measure, type Figures } from './measure.ts';
import { startCluster, type Cluster } from './postgres-cluster.ts';
import type { Row } from './repository-rows.ts';
import { walRows } from './wal-rows.ts';

export interface PostgresPlaces {
  readonly folder: string;
  readonly launcher: string;
  /** The program, or undefined: its rows are left out. */
  readonly pgbackrest: string | undefined;
  /** Folder of the server's programs. */
  readonly programs: string;
  readonly scale: number;
}

const pageBytes = 8192;

/** In the order in which they have to run. Start the cluster with `prepare` of the first one that runs; `end` stops it. */
export function postgresRows(places: PostgresPlaces): { readonly rows: readonly Row[]; readonly end: () => void } {
  const bench = new PostgresBench(places);
  const prepare = async (): Promise<void> => {
    await bench.start();
  };
  const size = `${places.scale} GB`;
  const rows: Row[] = [
    {
      name: `base backup of ${size}, pg_basebackup`,
      peerName: 'pg_basebackup, one stream, not compressed',
      floor: '',
      goal: '1× wall',
      prepare,
      varve: () => bench.fullBackup(),
      peer: () => bench.pgBasebackup(),
    },
  ];
  const isBackrestThere = places.pgbackrest !== undefined;
  if (isBackrestThere) {
    rows.push({
      name: `base backup of ${size}`,
      peerName: 'pgBackRest, 2 processes, zst',
      floor: '1.3× wall',
      goal: '2× wall',
      prepare,
      varve: () => bench.fullBackup(),
      peer: () => bench.backrestBackup(),
    });
  }
  rows.push({
    name: 'second base backup, 1 % of the pages changed: stored',
    peerName: 'bytes of these pages',
    floor: '3× bytes',
    goal: '1.3× bytes',
    prepare: async () => {
      await prepare();
      await bench.fullBackup();
    },
    varve: () => bench.secondBackup(),
    peer: async () => bench.changedPages,
  });
  if (isBackrestThere) {
    rows.push({
      name: `restore of the base backup of ${size}`,
      peerName: 'pgBackRest, 2 processes',
      floor: '1× wall',
      goal: '1.5× wall',
      prepare: async () => {
        await prepare();
        await bench.fullBackup();
        await bench.backrestBackup();
      },
      varve: () => bench.restore(),
      peer: () => bench.backrestRestore(),
    });
  }
  const folder = join(places.folder, 'postgres');
  rows.push(...walRows({ folder, launcher: places.launcher, cluster: () => bench.start() }));
  return { rows, end: () => bench.stop() };
}

class PostgresBench {
  readonly #places: PostgresPlaces;
  #cluster: Cluster | undefined;
  #changes = 0;
  /** What the last {@link PostgresBench.secondBackup} had to store at least. */
  changedPages: Figures = { wallSeconds: NaN, cpuSeconds: NaN, peakMegabytes: NaN };

  constructor(places: PostgresPlaces) {
    this.#places = places;
  }

  async start(): Promise<Cluster> {
    if (this.#cluster) return this.#cluster;
    const { folder, programs, scale } = this.#places;
    mkdirSync(folder, { recursive: true });
    const log = (line: string): void => console.log(line);
    this.#cluster = await startCluster({ programs, folder: this.#path(`cluster-${scale}`), bytes: scale * 1e9, log });
    return this.#cluster;
  }

  stop(): void {
    this.#cluster?.stop();
    this.#cluster = undefined;
  }

  async fullBackup(): Promise<Figures> {
    const cluster = this.#running();
    for (const name of ['varve-data', 'varve-repository']) this.#remove(name);
    writeFileSync(this.#path('url'), cluster.url, { mode: 0o600 });
    const varve = (...parameters: string[]): void =>
      void execFileSync(this.#places.launcher, parameters, {
        env: { ...process.env, ...this.#env() },
        stdio: 'ignore',
      });
    varve('connect', '--create', this.#path('varve-repository'));
    const database = ['--database-url-file', this.#path('url'), '--database-method', 'base'];
    const places = ['--database-directory', cluster.dataDir, '--database-programs', cluster.programs];
    varve('app', 'add', 'bench', ...database, ...places);
    return this.#snapshot();
  }

  async secondBackup(): Promise<Figures> {
    const cluster = this.#running();
    const before = cluster.sql('select pg_current_wal_insert_lsn()');
    // Every other page: two pages make a chunk.
    const rest = (2 * this.#changes++) % 100;
    for (const table of ['mixed', 'pgbench_accounts']) {
      const column = table === 'mixed' ? 'n' : 'abalance';
      cluster.sql(`update ${table} set ${column} = ${column} + 1
        where (ctid::text::point)[0]::bigint % 100 = ${rest} and (ctid::text::point)[1]::int = 1`);
    }
    cluster.sql('checkpoint');
    const pages = countPagesSince(cluster.dataDir, before);
    this.changedPages = { wallSeconds: NaN, cpuSeconds: NaN, peakMegabytes: NaN, storedBytes: pages * pageBytes };
    return this.#snapshot();
  }

  async restore(): Promise<Figures> {
    this.#remove('restored');
    execFileSync('sync');
    const kit = JSON.parse(
      execFileSync(this.#places.launcher, ['recovery-kit', '--json'], {
        env: { ...process.env, ...this.#env() },
        encoding: 'utf8',
      }),
    ) as { password: string };
    writeFileSync(this.#path('varve-password'), kit.password, { mode: 0o600 });
    const where = ['--repo', this.#path('varve-repository'), '--password-file', this.#path('varve-password')];
    const parameters = [
      'repo',
      'restore',
      'latest:/databases/db/base',
      '-q',
      '--target',
      this.#path('restored'),
      ...where,
    ];
    return measure({ program: this.#places.launcher, parameters, env: this.#env() });
  }

  async pgBasebackup(): Promise<Figures> {
    const cluster = this.#running();
    this.#remove('pg-basebackup');
    execFileSync('sync');
    const where = ['-h', cluster.folder, '-p', String(cluster.port), '-U', 'postgres'];
    const parameters = [...where, '-D', this.#path('pg-basebackup'), '-X', 'stream', '-c', 'fast'];
    return measure({ program: join(cluster.programs, 'pg_basebackup'), parameters });
  }

  async backrestBackup(): Promise<Figures> {
    this.#remove('pgbackrest');
    this.#writeBackrestSettings();
    execFileSync(this.#places.pgbackrest ?? '', [...this.#backrest(), 'stanza-create'], { stdio: 'ignore' });
    execFileSync('sync');
    const parameters = [...this.#backrest(), 'backup', '--type=full'];
    return measure({ program: this.#places.pgbackrest ?? '', parameters });
  }

  async backrestRestore(): Promise<Figures> {
    this.#remove('restored');
    mkdirSync(this.#path('restored'), { mode: 0o700 });
    execFileSync('sync');
    const parameters = [...this.#backrest(), `--pg1-path=${this.#path('restored')}`, 'restore'];
    return measure({ program: this.#places.pgbackrest ?? '', parameters });
  }

  /** Figures of a snapshot, with what the repository grew by. */
  async #snapshot(): Promise<Figures> {
    execFileSync('sync');
    const before = bytesIn(this.#path('varve-repository'));
    const parameters = ['snapshot', 'bench', '-q'];
    const figures = await measure({ program: this.#places.launcher, parameters, env: this.#env() });
    return { ...figures, storedBytes: bytesIn(this.#path('varve-repository')) - before };
  }

  #writeBackrestSettings(): void {
    const cluster = this.#running();
    const paths = ['repo1', 'log', 'lock', 'spool'].map((name) => `${name}-path=${this.#path('pgbackrest')}/${name}`);
    mkdirSync(this.#path('pgbackrest'), { recursive: true });
    const lines = [
      '[global]',
      ...paths,
      'log-level-console=warn',
      'log-level-file=off',
      // Its WAL comes from an archive, which is not measured here; ours has its WAL with it.
      'archive-check=n',
      'process-max=2',
      'compress-type=zst',
      'start-fast=y',
      'repo1-retention-full=2',
      '[bench]',
      `pg1-path=${cluster.dataDir}`,
      `pg1-port=${cluster.port}`,
      `pg1-socket-path=${cluster.folder}`,
      'pg1-user=postgres',
      '',
    ];
    writeFileSync(this.#path('pgbackrest.conf'), lines.join('\n'));
  }

  #backrest(): string[] {
    return [`--config=${this.#path('pgbackrest.conf')}`, '--stanza=bench'];
  }

  #running(): Cluster {
    if (!this.#cluster) throw new Error('The cluster was not started.');
    return this.#cluster;
  }

  #env(): Record<string, string> {
    return { VARVE_DATA: this.#path('varve-data') };
  }

  #path(name: string): string {
    return join(this.#places.folder, 'postgres', name);
  }

  #remove(name: string): void {
    rmSync(this.#path(name), { recursive: true, force: true });
  }
}

function bytesIn(folder: string): number {
  let bytes = 0;
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size;
  }
  return bytes;
}

/** Pages of the relations' main forks that were changed since a position (`0/3000028`), by what they say themselves. */
function countPagesSince(dataDir: string, since: string): number {
  const [high = '0', low = '0'] = since.split('/');
  const position = (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
  let pages = 0;
  for (const entry of readdirSync(join(dataDir, 'base'), { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/^\d+(?:_\w+)?(?:\.\d+)?$/.test(entry.name)) continue;
    const bytes = readFileSync(join(entry.parentPath, entry.name));
    for (let at = 0; at + pageBytes <= bytes.length; at += pageBytes) {
      const lsn = (BigInt(bytes.readUInt32LE(at)) << 32n) | BigInt(bytes.readUInt32LE(at + 4));
      if (lsn >= position) pages++;
    }
  }
  return pages;
}
