// Runs a command as a process of its own and takes its figures from GNU time: wall clock, processor seconds of it and of its
// children, peak resident memory of the largest of them.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Command {
  readonly program: string;
  readonly parameters: readonly string[];
  readonly env?: Readonly<Record<string, string>> | undefined;
}

export interface Figures {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
  readonly peakMegabytes: number;
  /** What a repository grew by, where that is asked for. */
  readonly storedBytes?: number | undefined;
}

const gnuTime = '/usr/bin/time';

/** Throws with the command's output when it fails, or when GNU time is missing. */
export async function measure({ program, parameters, env }: Command): Promise<Figures> {
  if (!existsSync(gnuTime)) throw new Error(`${gnuTime} is missing: install the package "time".`);
  const folder = mkdtempSync(join(tmpdir(), 'varve-bench-'));
  try {
    const report = join(folder, 'figures');
    const child = spawn(gnuTime, ['-f', '%e %U %S %M', '-o', report, program, ...parameters], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-4000);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const exitCode = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    if (exitCode !== 0) throw new Error(`${program} ${parameters.join(' ')} ended with ${exitCode}:\n${output}`);
    const [wall = NaN, user = NaN, system = NaN, kilobytes = NaN] = (
      readFileSync(report, 'utf8').trim().split('\n').at(-1) ?? ''
    )
      .split(' ')
      .map(Number);
    return { wallSeconds: wall, cpuSeconds: user + system, peakMegabytes: kilobytes / 1024 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The figures of the middle run, each figure by itself. */
export function medianOf(runs: readonly Figures[]): Figures {
  const middle = (pick: (figures: Figures) => number): number =>
    runs.map(pick).toSorted((a, b) => a - b)[Math.floor(runs.length / 2)] ?? NaN;
  return {
    wallSeconds: middle((run) => run.wallSeconds),
    cpuSeconds: middle((run) => run.cpuSeconds),
    peakMegabytes: middle((run) => run.peakMegabytes),
    ...(runs[0]?.storedBytes === undefined ? {} : { storedBytes: middle((run) => run.storedBytes ?? NaN) }),
  };
}
