// The real restic, as the oracle of these tests: repositories that it makes, and its judgement of ours.

import { execFile, execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Secret } from '@varve/base';
import { createRepository, type Repository } from '@varve/repository';
import { openStorage, type Storage } from '@varve/storage';
import { resticCommand } from '@varve/testing';

export const resticPassword = 'geheim ünd lang';

/** Cheap scrypt parameters, so that tests need no half second for each repository. */
export const cheapKey = { N: 1024, r: 8, p: 1 } as const;

/** Why restic's tests cannot run, or null when they can. */
export function resticMissing(): string | null {
  try {
    execFileSync(resticCommand(), ['version'], { stdio: 'ignore' });
    return null;
  } catch {
    return 'restic is not installed';
  }
}

/** Such as `restic 0.14.0 compiled with …`. */
export function resticVersion(): string {
  return execFileSync(resticCommand(), ['version'], { encoding: 'utf8' });
}

/** A folder that is removed at the end of the test. */
export class ScratchFolder implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** In the system's folder for temporary files, or in `parent`. */
  static async create(parent: string = tmpdir()): Promise<ScratchFolder> {
    return new ScratchFolder(await mkdtemp(join(parent, 'varve-repository-')));
  }

  get repo(): string {
    return join(this.path, 'repo');
  }

  storage(): Storage {
    return openStorage(this.repo);
  }

  /** A new repository of ours in {@link ScratchFolder.repo}. */
  createRepository(): Promise<Repository> {
    return createRepository({ storage: this.storage(), password: new Secret(resticPassword), keyDerivation: cheapKey });
  }

  /** Runs restic on {@link ScratchFolder.repo} and yields what it prints; rejects when it fails. */
  async restic(
    args: readonly string[],
    options: { readonly password?: string; readonly cwd?: string } = {},
  ): Promise<string> {
    const cache = join(this.path, 'cache');
    await mkdir(cache, { recursive: true });
    const env = {
      PATH: process.env['PATH'],
      HOME: this.path,
      TZ: 'UTC',
      GOMAXPROCS: '2',
      RESTIC_PASSWORD: options.password ?? resticPassword,
      RESTIC_REPOSITORY: this.repo,
      RESTIC_CACHE_DIR: cache,
    };
    const { stdout } = await promisify(execFile)(resticCommand(), args, {
      env,
      cwd: options.cwd,
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  }

  /** Unpacks a fixture into {@link ScratchFolder.repo}; false when the folder of fixtures is not there. */
  unpackFixture(name: string): boolean {
    const archive = join(import.meta.dirname, '../../../../shared/fixtures', name);
    if (!existsSync(archive)) return false;
    execFileSync('tar', ['-xzf', archive, '-C', this.path]);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }
}
