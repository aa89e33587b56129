// The rows of the repository engine: the same work by Varve and by restic on the same files, in turn, each as a process of its
// own with its default settings. Caches are kept in the benchmark's folder; the file system is warm for both.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { measure, type Command, type Figures } from './measure.ts';
import { makeSnapshots } from './many-snapshots.ts';

export interface BenchPlaces {
  /** Folder for repositories and restored files. */
  readonly folder: string;
  readonly tree: string;
  readonly launcher: string;
  readonly restic: string;
}

export interface Row {
  readonly name: string;
  /** Who or what Varve is compared with, when it is not restic. */
  readonly peerName?: string | undefined;
  readonly floor: string;
  readonly goal: string;
  /** Once, before the first run. */
  readonly prepare?: (() => Promise<void>) | undefined;
  readonly varve: () => Promise<Figures>;
  readonly peer: () => Promise<Figures>;
}

const password = 'bench';
const manySnapshots = 10_000;

/** In the order in which they have to run: later rows use the repositories of earlier ones. */
export function repositoryRows(places: BenchPlaces): Row[] {
  const bench = new RepositoryBench(places);
  return [
    {
      name: 'first snapshot',
      floor: '1.5× wall, 0.7× CPU',
      goal: '2.5× wall, 0.4× CPU',
      varve: () => bench.varve(['backup', '-q', places.tree], { before: () => bench.newRepository('varve') }),
      peer: () => bench.restic(['backup', '-q', places.tree], { before: () => bench.newRepository('restic') }),
    },
    {
      name: 'second snapshot, nothing changed',
      floor: '2× wall',
      goal: '5× wall',
      varve: () => bench.varve(['backup', '-q', places.tree]),
      peer: () => bench.restic(['backup', '-q', places.tree]),
    },
    {
      name: 'restore to an empty folder',
      floor: '1.3× wall',
      goal: '2× wall',
      varve: () => bench.varve(bench.restoreParameters('varve'), { before: () => bench.removeRestored('varve') }),
      peer: () => bench.restic(bench.restoreParameters('restic'), { before: () => bench.removeRestored('restic') }),
    },
    {
      name: 'check with all data read',
      floor: '1× wall',
      goal: '1.5× wall',
      varve: () => bench.varve(['check', '-q', '--read-data']),
      peer: () => bench.restic(['check', '-q', '--read-data']),
    },
    {
      name: `open and list ${manySnapshots.toLocaleString('en')} snapshots`,
      floor: '2× wall',
      goal: '',
      prepare: () => makeSnapshots(bench.repository('many'), { password, count: manySnapshots }),
      varve: () => bench.varve(['snapshots', '-q', '--json'], { repository: 'many' }),
      peer: () => bench.restic(['snapshots', '-q', '--json'], { repository: 'many' }),
    },
    {
      name: 'list them again in an open process (restic: a new one)',
      floor: '',
      goal: '10× wall',
      varve: () => bench.listAgain('many'),
      peer: () => bench.restic(['snapshots', '-q', '--json'], { repository: 'many' }),
    },
  ];
}

class RepositoryBench {
  readonly #places: BenchPlaces;
  readonly #passwordFile: string;

  constructor(places: BenchPlaces) {
    this.#places = places;
    mkdirSync(places.folder, { recursive: true });
    this.#passwordFile = join(places.folder, 'password');
    writeFileSync(this.#passwordFile, password);
  }

  repository(name: string): string {
    return join(this.#places.folder, `repository-${name}`);
  }

  restoreParameters(name: 'varve' | 'restic'): string[] {
    return ['restore', 'latest', '-q', '--target', this.#restored(name)];
  }

  removeRestored(name: 'varve' | 'restic'): void {
    rmSync(this.#restored(name), { recursive: true, force: true });
  }

  /** An empty repository; both are made by the same program, with the same cost of key derivation. */
  newRepository(name: 'varve' | 'restic'): void {
    rmSync(this.repository(name), { recursive: true, force: true });
    execFileSync(this.#places.restic, ['init', '-q', ...this.#options(name)]);
  }

  varve(parameters: readonly string[], options: RunOptions = {}): Promise<Figures> {
    const { launcher } = this.#places;
    return this.#run({
      name: options.repository ?? 'varve',
      before: options.before,
      command: (where) => ({ program: launcher, parameters: ['repo', ...parameters, ...where] }),
    });
  }

  restic(parameters: readonly string[], options: RunOptions = {}): Promise<Figures> {
    const { restic } = this.#places;
    return this.#run({
      name: options.repository ?? 'restic',
      before: options.before,
      command: (where) => ({ program: restic, parameters: [...parameters, ...where] }),
    });
  }

  async listAgain(repository: string): Promise<Figures> {
    const script = fileURLToPath(new URL('./list-again.ts', import.meta.url));
    const parameters = [script, this.repository(repository), this.#passwordFile];
    return JSON.parse(execFileSync(process.execPath, parameters, { encoding: 'utf8' })) as Figures;
  }

  async #run(run: {
    readonly name: string;
    readonly before: (() => void) | undefined;
    readonly command: (where: readonly string[]) => Command;
  }): Promise<Figures> {
    run.before?.();
    // What earlier runs left to be written must not be paid by this one.
    execFileSync('sync');
    const env = { XDG_CACHE_HOME: join(this.#places.folder, 'cache') };
    return measure({ ...run.command(this.#options(run.name)), env });
  }

  #options(name: string): string[] {
    return ['--repo', this.repository(name), '--password-file', this.#passwordFile];
  }

  #restored(name: string): string {
    return join(this.#places.folder, `restored-${name}`);
  }
}

interface RunOptions {
  readonly repository?: string | undefined;
  readonly before?: (() => void) | undefined;
}
