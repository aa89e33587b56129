// The table of a benchmark: printed, and put into docs/benchmarks.md between its markers, where the words around stay.

import { readFileSync, writeFileSync } from 'node:fs';
import type { Figures } from './measure.ts';

export interface RowResult {
  readonly name: string;
  readonly peerName?: string | undefined;
  readonly floor: string;
  readonly goal: string;
  readonly varve: Figures;
  readonly peer: Figures;
}

/** A Markdown table; ratios are the peer's figure by ours, so that more is better, but for CPU: ours by the peer's. */
export function tableOf(rows: readonly RowResult[], peerName: string): string {
  const head = `| work | Varve | ${peerName} | wall, times faster | CPU, of the peer's | floor | goal |`;
  const lines = rows.map(({ name, varve, peer, floor, goal }) => {
    const faster = (peer.wallSeconds / varve.wallSeconds).toFixed(2);
    const cpu = (varve.cpuSeconds / peer.cpuSeconds).toFixed(2);
    return `| ${name} | ${figures(varve)} | ${figures(peer)} | **${faster}×** | ${cpu}× | ${floor} | ${goal} |`;
  });
  return [head, '|---|---|---|---|---|---|---|', ...lines].join('\n');
}

/** As {@link tableOf}, for rows that each name their peer; rows of stored bytes have ours by the peer's, so that less is better. */
export function tableOfPeers(rows: readonly RowResult[]): string {
  const head = '| work | Varve | peer | ratio | floor | goal |';
  const lines = rows.map(({ name, varve, peer, peerName, floor, goal }) => {
    const isStored = Number.isNaN(peer.wallSeconds);
    const ratio = isStored
      ? `${((varve.storedBytes ?? NaN) / (peer.storedBytes ?? NaN)).toFixed(2)}× the bytes`
      : [(peer.wallSeconds / varve.wallSeconds).toFixed(2) + '× faster', ...cpuRatio(varve, peer)].join(', ');
    const [ours, theirs] = isStored ? [stored(varve), stored(peer)] : [figures(varve), figures(peer)];
    return `| ${name} | ${ours} | ${peerName ?? ''}: ${theirs} | **${ratio}** | ${floor} | ${goal} |`;
  });
  return [head, '|---|---|---|---|---|---|', ...lines].join('\n');
}

function cpuRatio(varve: Figures, peer: Figures): string[] {
  const ratio = varve.cpuSeconds / peer.cpuSeconds;
  return Number.isNaN(ratio) ? [] : [`${ratio.toFixed(2)}× CPU`];
}

function stored({ storedBytes = NaN }: Figures): string {
  return `${(storedBytes / 1e6).toFixed(1)} MB`;
}

function figures({ wallSeconds, cpuSeconds, peakMegabytes }: Figures): string {
  const wall = `${wallSeconds.toFixed(2)} s`;
  if (Number.isNaN(cpuSeconds)) return wall;
  const memory = Number.isNaN(peakMegabytes) ? '' : `, ${peakMegabytes.toFixed(0)} MB`;
  return `${wall}, CPU ${cpuSeconds.toFixed(1)} s${memory}`;
}

const earlierRun = /^Of an earlier run \((?<names>.*)\): (?<line>.*)$/;

/**
 * The section that `fresh` (a line about the run, an empty one, a table) makes of `old`: rows that did not run stay in their places,
 * and lines below the table say of which run they are. Throws when the tables have other columns, so other peers.
 */
export function keepOtherRows(old: string, fresh: string): string {
  const [before, now] = [partsOf(old), partsOf(fresh)];
  const kept = [...before.rows.keys()].filter((name) => !now.rows.has(name));
  if (kept.length === 0) return fresh;
  if (before.head !== now.head) throw new Error(`The page has a table with other columns: ${before.head}`);
  const names = [...before.rows.keys(), ...[...now.rows.keys()].filter((name) => !before.rows.has(name))];
  const rows = names.map((name) => now.rows.get(name) ?? before.rows.get(name) ?? '');
  const older = new Set(before.earlier.flatMap((run) => run.names));
  const runs = [...before.earlier, { names: kept.filter((name) => !older.has(name)), line: before.line }];
  const notes = runs.flatMap(({ names: all, line }) => {
    const left = all.filter((name) => kept.includes(name));
    return left.length === 0 ? [] : ['', `Of an earlier run (${left.join('; ')}): ${line}`];
  });
  return [now.line, '', now.head, now.rule, ...rows, ...notes].join('\n');
}

function partsOf(section: string) {
  const lines = section.trim().split('\n');
  const [head = '', rule = '', ...rows] = lines.filter((line) => line.startsWith('|'));
  const earlier = lines.flatMap((text) => {
    const { names, line } = earlierRun.exec(text)?.groups ?? {};
    return names === undefined || line === undefined ? [] : [{ names: names.split('; '), line }];
  });
  return {
    line: lines[0] ?? '',
    head,
    rule,
    earlier,
    rows: new Map(rows.map((row) => [(row.split(' | ')[0] ?? '').slice(2), row])),
  };
}

/** What is between `<!-- NAME -->` and `<!-- /NAME -->` of a page. */
export function sectionOf(page: string, name: string): string {
  const text = readFileSync(page, 'utf8');
  const begin = `<!-- ${name} -->`;
  return text.slice(text.indexOf(begin) + begin.length, text.indexOf(`<!-- /${name} -->`));
}

/** Replaces what is between `<!-- NAME -->` and `<!-- /NAME -->` of a page. */
export function replaceSection(page: string, name: string, content: string): void {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const text = readFileSync(page, 'utf8');
  const [start, stop] = [text.indexOf(begin), text.indexOf(end)];
  if (start < 0 || stop < start) throw new Error(`${page} has no section ${begin} … ${end}.`);
  writeFileSync(page, `${text.slice(0, start + begin.length)}\n${content}\n${text.slice(stop)}`);
}
