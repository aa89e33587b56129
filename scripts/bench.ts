// `npm run bench`: Varve against restic on the same files in the same run, medians of alternating runs. Prints a table and, with
// `--write`, puts it into docs/benchmarks.md.

import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { medianOf, type Figures } from './bench/measure.ts';
import { makeMixedTree } from './bench/mixed-tree.ts';
import { replaceSection, tableOf, type RowResult } from './bench/report.ts';
import { repositoryRows, type Row } from './bench/repository-rows.ts';
import { buildCli } from './build-cli.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

const usage = `npm run bench [-- options]
  --runs N         runs of each program, alternating (3)
  --scale X        size of the tree: 1 is 165,000 files and 3.5 GB (1)
  --restic FILE    the peer (restic on the PATH)
  --folder DIR     where files and repositories go, about 15 GB (/var/tmp/varve-bench)
  --only TEXT      rows whose name has this text; earlier rows must have run in the same folder
  --write          put the table into docs/benchmarks.md`;

const { values: options } = parseArgs({
  options: {
    runs: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    restic: { type: 'string', default: 'restic' },
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
  const scale = Number(options.scale);
  const tree = makeMixedTree({
    folder: join(options.folder, `mixed-${options.scale}`),
    files: Math.round(165_000 * scale),
    bytes: Math.round(3.5e9 * scale),
    seed: 'varve',
    log: (line) => console.log(line),
  });
  const places = { folder: options.folder, tree, launcher: join(root, 'varve'), restic: options.restic };
  const rows = repositoryRows(places).filter(({ name }) => name.includes(options.only));
  const results: RowResult[] = [];
  for (const row of rows) results.push(await runRow(row, Number(options.runs)));
  const peer = execFileSync(options.restic, ['version'], { encoding: 'utf8' }).split(' ').slice(0, 2).join(' ');
  const table = [machineLine(), '', tableOf(results, peer)].join('\n');
  console.log(`\n${table}`);
  if (options.write) replaceSection(join(root, 'docs/benchmarks.md'), 'repository', table);
}

async function runRow(row: Row, runs: number): Promise<RowResult> {
  await row.prepare?.();
  const varve: Figures[] = [];
  const peer: Figures[] = [];
  for (let run = 0; run < runs; run++) {
    varve.push(await row.varve());
    peer.push(await row.peer());
    const line = (figures: Figures | undefined): string =>
      `${figures?.wallSeconds} s wall, ${figures?.cpuSeconds.toFixed(1)} s CPU, ${figures?.peakMegabytes.toFixed(0)} MB`;
    console.log(`${row.name} ${run + 1}/${runs}: Varve ${line(varve.at(-1))}; peer ${line(peer.at(-1))}`);
  }
  return { name: row.name, floor: row.floor, goal: row.goal, varve: medianOf(varve), peer: medianOf(peer) };
}

function machineLine(): string {
  const [cpu] = cpus();
  const day = new Date().toISOString().slice(0, 10);
  const files = Math.round(165_000 * Number(options.scale)).toLocaleString('en');
  return `${day}, ${files} files, ${cpus().length} × ${cpu?.model.trim() ?? 'unknown processor'}, Node ${process.version}, medians of ${options.runs} alternating runs; command: \`npm run bench -- --restic FILE --scale ${options.scale} --write\`.`;
}
