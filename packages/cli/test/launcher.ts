// Runs the real launcher as a user does, with an environment of its own.

import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Secret } from '@varve/base';
import { createRepository } from '@varve/repository';
import { openStorage } from '@varve/storage';

export const launcher = fileURLToPath(new URL('../../../varve', import.meta.url));

export interface Outcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCommand {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
  /** Resolves with the pattern's first group when it has appeared on stdout or stderr. */
  waitFor(pattern: RegExp): Promise<string>;
}

export interface Lab extends AsyncDisposable {
  readonly folder: string;
  /** Path below the lab's folder. */
  path(...parts: string[]): string;
  /**
   * A new repository in a folder of the lab, as `repo init` makes it but for its key: that costs little to open, which each
   * command does. Gives the options that name it.
   */
  makeRepository(name: string, passwordFile?: string): Promise<string[]>;
  start(args: readonly string[], options?: { env?: Record<string, string>; cwd?: string }): RunningCommand;
  run(
    args: readonly string[],
    options?: { env?: Record<string, string>; input?: string; cwd?: string },
  ): Promise<Outcome>;
}

/** A folder with a data directory, and an environment without any of the variables that a command reads. */
export async function makeLab(): Promise<Lab> {
  const folder = await mkdtemp(join(tmpdir(), 'varve-cli-'));
  const path = (...parts: string[]): string => join(folder, ...parts);
  await writeFile(path('password'), 'correct horse\n', { mode: 0o600 });
  const children = new Set<ChildProcess>();

  const start: Lab['start'] = (args, options = {}) => {
    const child = spawn(launcher, args, {
      cwd: options.cwd ?? folder,
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: folder,
        TMPDIR: folder,
        VARVE_DATA: path('data'),
        DOCKER_HOST: `unix://${path('no-docker.sock')}`,
        ...options.env,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    children.add(child);
    let stdout = '';
    let stderr = '';
    const listeners = new Set<() => void>();
    const notify = (): void => listeners.forEach((listener) => listener());
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      stdout += chunk;
      notify();
    });
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      stderr += chunk;
      notify();
    });
    child.stdin.on('error', () => {});
    const outcome = new Promise<Outcome>((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (exitCode) => {
        children.delete(child);
        resolve({ exitCode, stdout, stderr });
        notify();
      });
    });
    const waitFor = (pattern: RegExp): Promise<string> =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = pattern.exec(stdout) ?? pattern.exec(stderr);
          if (match) resolve(match[1] ?? '');
          else if (child.exitCode !== null)
            reject(new Error(`ended without ${String(pattern)}:\n${stdout}\n${stderr}`));
          else return;
          listeners.delete(look);
        };
        listeners.add(look);
        look();
      });
    return { child, outcome, waitFor };
  };

  return {
    folder,
    path,
    start,
    async makeRepository(name, passwordFile = path('password')) {
      const password = new Secret((await readFile(passwordFile, 'utf8')).trimEnd());
      const storage = openStorage(path(name));
      const keyDerivation = { N: 1024, r: 8, p: 1 };
      await (await createRepository({ storage, password, keyDerivation }))[Symbol.asyncDispose]();
      return ['--repo', path(name), '--password-file', passwordFile];
    },
    async run(args, options = {}) {
      const { child, outcome } = start(args, options);
      child.stdin?.end(options.input ?? '');
      return outcome;
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill('SIGKILL');
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The error that a command printed in JSON mode. */
export function jsonError(outcome: Outcome): { code: string; message: string; hint: string | null } {
  return (JSON.parse(outcome.stderr) as { error: { code: string; message: string; hint: string | null } }).error;
}
