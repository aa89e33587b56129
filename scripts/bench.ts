// `npm run bench`: Varve against restic, pgBackRest and PostgreSQL's own programs on the same data in the same run, medians of
// alternating runs. Prints tables and, with `--write`, puts them into docs/benchmarks.md.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { medianOf, type Figures } from './bench/measure.ts';
import { makeMixedTree } from './bench/mixed-tree.ts';
import { postgresRows } from './bench/postgres-rows.ts';
import { keepOtherRows, replaceSection, sectionOf, tableOf, tableOfPeers, type RowResult } from './bench/report.ts';
import { repositoryRows, type Row } from './bench/repository-rows.ts';
import { buildCli } from './build-cli.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const launcher = join(root, 'varve');

const usage = `npm run bench [-- options]
  --runs N         runs of each program, alternating (3)
  --scale X        size of the data: 1 is 165,000 files and 3.5 GB, and a cluster of 1 GB (1)
  --restic FILE    the peer (restic on the PATH)
  --pgbackrest FILE  the peer of base backups (pgbackrest on the PATH; its rows are left out when it is not there)
  --postgres DIR   folder of the programs of a PostgreSQL server with pgbench (the newest of /usr/lib/postgresql)
  --folder DIR     where files and repositories go, about 15 GB (/var/tmp/varve-bench)
  --only TEXT      rows whose name has this text; earlier rows must have run in the same folder
  --write          put the tables into docs/benchmarks.md; rows that did not run stay, with the run that they are of`;

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    restic: { type: 'string', default: 'restic' },
    pgbackrest: { type: 'string', default: 'pgbackrest' },
    postgres: { type: 'string' },
    folder: { type: 'string', default: '/var/tmp/varve-bench' },
    only: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (options.help) console.log(usage);
else await main();

async function main(): Promise<void> {
  await buildCli();
  await measureRepository();
  await measurePostgres();
}

async function measureRepository(): Promise<void> {
  const scale = Number(options.scale);
  const treeFolder = join(options.folder, `mixed-${options.scale}`);
  const places = { folder: options.folder, tree: treeFolder, launcher, restic: options.restic };
  const rows = repositoryRows(places).filter(({ name }) => name.includes(options.only));
  if (rows.length === 0) return;
  makeMixedTree({
    folder: treeFolder,
    files: Math.round(165_000 * scale),
    bytes: Math.round(3.5e9 * scale),
    seed: 'varve',
    log: (line) => console.log(line),
  });
  const results: RowResult[] = [];
  for (const row of rows) results.push(await runRow(row, Number(options.runs)));
  const peer = versionOf(options.restic).split(' ').slice(0, 2).join(' ');
  const files = `${Math.round(165_000 * scale).toLocaleString('en')} files`;
  report('repository', [machineLine(files, '--restic FILE'), '', tableOf(results, peer)].join('\n'));
}

async function measurePostgres(): Promise<void> {
  const programs = options.postgres ?? newestPostgres();
  const pgbackrest = isThere(options.pgbackrest) ? options.pgbackrest : undefined;
  if (programs === undefined) {
    console.log('No PostgreSQL server was found: its rows are left out (--postgres DIR).');
    return;
  }
  const scale = Number(options.scale);
  const bench = postgresRows({ folder: options.folder, launcher, pgbackrest, programs, scale });
  const rows = bench.rows.filter(({ name }) => name.includes(options.only));
  if (rows.length === 0) return;
  if (pgbackrest === undefined) console.log('pgBackRest was not found: its rows are left out (--pgbackrest FILE).');
  const results: RowResult[] = [];
  try {
    for (const row of rows) results.push(await runRow(row, Number(options.runs)));
  } finally {
    bench.end();
  }
  const peers = [versionOf(join(programs, 'postgres'), '--version'), ...(pgbackrest ? [versionOf(pgbackrest)] : [])];
  const data = `a cluster of ${scale} GB, ${peers.join(', ')}`;
  report('postgres', [machineLine(data, '--pgbackrest FILE'), '', tableOfPeers(results)].join('\n'));
}

function report(section: string, table: string): void {
  console.log(`\n${table}`);
  if (!options.write) return;
  const page = join(root, 'docs/benchmarks.md');
  const content = options.only === '' ? table : keepOtherRows(sectionOf(page, section), table);
  replaceSection(page, section, content);
}

function newestPostgres(): string | undefined {
  const folder = '/usr/lib/postgresql';
  const majors = existsSync(folder) ? readdirSync(folder).map(Number) : [];
  const found = majors.toSorted((a, b) => b - a).map((major) => join(folder, String(major), 'bin'));
  return found.find((bin) => existsSync(join(bin, 'pgbench')) && existsSync(join(bin, 'initdb')));
}

function isThere(program: string): boolean {
  return spawnSync(program, ['version'], { stdio: 'ignore' }).status === 0;
}

function versionOf(program: string, parameter = 'version'): string {
  return execFileSync(program, [parameter], { encoding: 'utf8' }).trim();
}

async function runRow(row: Row, runs: number): Promise<RowResult> {
  await row.prepare?.();
  const varve: Figures[] = [];
  const peer: Figures[] = [];
  for (let run = 0; run < runs; run++) {
    varve.push(await row.varve());
    peer.push(await row.peer());
    const line = (figures: Figures | undefined): string =>
      `${figures?.storedBytes === undefined ? '' : `${figures.storedBytes} bytes stored, `}${figures?.wallSeconds} s wall, ${figures?.cpuSeconds.toFixed(1)} s CPU, ${figures?.peakMegabytes.toFixed(0)} MB`;
    console.log(`${row.name} ${run + 1}/${runs}: Varve ${line(varve.at(-1))}; peer ${line(peer.at(-1))}`);
  }
  const { name, peerName, floor, goal } = row;
  return { name, peerName, floor, goal, varve: medianOf(varve), peer: medianOf(peer) };
}

function machineLine(data: string, peers: string): string {
  const [cpu] = cpus();
  const day = new Date().toISOString().slice(0, 10);
  return `${day}, ${data}, ${cpus().length} × ${cpu?.model.trim() ?? 'unknown processor'}, Node ${process.version}, medians of ${options.runs} alternating runs; command: \`npm run bench -- ${peers} --scale ${options.scale}${options.only === '' ? '' : ` --only "${options.only}"`} --write\`.`;
}
