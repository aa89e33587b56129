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
      : `${(peer.wallSeconds / varve.wallSeconds).toFixed(2)}× faster, ${(varve.cpuSeconds / peer.cpuSeconds).toFixed(2)}× CPU`;
    const [ours, theirs] = isStored ? [stored(varve), stored(peer)] : [figures(varve), figures(peer)];
    return `| ${name} | ${ours} | ${peerName ?? ''}: ${theirs} | **${ratio}** | ${floor} | ${goal} |`;
  });
  return [head, '|---|---|---|---|---|---|', ...lines].join('\n');
}

function stored({ storedBytes = NaN }: Figures): string {
  return `${(storedBytes / 1e6).toFixed(1)} MB`;
}

function figures({ wallSeconds, cpuSeconds, peakMegabytes }: Figures): string {
  return `${wallSeconds.toFixed(2)} s, CPU ${cpuSeconds.toFixed(1)} s, ${peakMegabytes.toFixed(0)} MB`;
}

/** Replaces what is between `<!-- NAME -->` and `<!-- /NAME -->` of a page. */
export function replaceSection(page: string, name: string, content: string): void {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`];
  const text = readFileSync(page, 'utf8');
  const [start, stop] = [text.indexOf(begin), text.indexOf(end)];
  if (start < 0 || stop < start) throw new Error(`${page} has no section ${begin} … ${end}.`);
  writeFileSync(page, `${text.slice(0, start + begin.length)}\n${content}\n${text.slice(stop)}`);
}
