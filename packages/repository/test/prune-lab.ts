// Repositories with a history for the tests of prune and forget, and the judgement of what is left of them.

import { cpSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import {
  backupPaths,
  checkRepository,
  openRepository,
  restoreTree,
  type Repository,
  type RunPruneOptions,
  type Snapshot,
} from '@varve/repository';
import type { FileHandle, Storage } from '@varve/storage';
import { describeTree, quickTemporaryFolder } from '@varve/testing';
import { expect } from 'vitest';
import { resticLockTimes } from '../src/lock/repository-lock.ts';
import { noise } from './odd-tree.ts';
import { resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';

export const password = new Secret(resticPassword);

/** Locks that do not wait for others that come at the same moment: there are none in a test. */
export const quick: RunPruneOptions = { lock: { times: { ...resticLockTimes, settleMs: 1, retryMs: 20 } } };

export interface Saved {
  readonly snapshot: Snapshot;
  /** The folder as it was. */
  readonly lines: readonly string[];
}

export class PruneLab implements AsyncDisposable {
  readonly folder: ScratchFolder;
  readonly saved: Saved[] = [];

  private constructor(folder: ScratchFolder) {
    this.folder = folder;
  }

  /** A new repository. */
  static async create(): Promise<PruneLab> {
    const lab = new PruneLab(await ScratchFolder.create(quickTemporaryFolder()));
    mkdirSync(lab.source);
    await lab.folder.createRepository();
    return lab;
  }

  get source(): string {
    return join(this.folder.path, 'source');
  }

  open(storage: Storage = this.folder.storage()): Promise<Repository> {
    return openRepository({ storage, password });
  }

  /** Writes files of 300 KB whose content follows from their names and `version`. */
  write(version: string, names: readonly string[]): void {
    for (const name of names) {
      const path = join(this.source, name);
      mkdirSync(join(path, '..'), { recursive: true });
      writeFileSync(path, noise(300_000, `${name} ${version}`));
    }
  }

  async backUp(repository: Repository): Promise<Snapshot> {
    const lines = describeTree(this.source);
    const paths = { paths: ['source'], cwd: this.folder.path, hostname: 'host', workers: 1 };
    const { snapshot } = await backupPaths(repository, paths);
    this.saved.push({ snapshot, lines });
    return snapshot;
  }

  async forget(repository: Repository, ...snapshots: readonly Snapshot[]): Promise<void> {
    const ids = new Set(snapshots.map(({ id }) => id));
    await repository.removeSnapshots([...ids]);
    this.saved.splice(0, Infinity, ...this.saved.filter(({ snapshot }) => !ids.has(snapshot.id)));
  }

  /** Three snapshots that share some files; the first one is forgotten. Data packs are partly used, one not at all. */
  async makeHistory(): Promise<void> {
    const repository = await this.open();
    const versions: Snapshot[] = [];
    this.write('1', ['kept', 'a', 'b', 'sub/c', 'sub/d']);
    versions.push(await this.backUp(repository));
    this.write('2', ['a', 'sub/c']);
    versions.push(await this.backUp(repository));
    rmSync(join(this.source, 'b'));
    this.write('3', ['sub/d', 'new/e']);
    versions.push(await this.backUp(repository));
    await this.forget(repository, versions[0]!, versions[1]!);
  }

  /** A copy of the repository, with what was saved. */
  async copy(): Promise<PruneLab> {
    const lab = new PruneLab(await ScratchFolder.create(quickTemporaryFolder()));
    for (const path of ['repo', 'source'])
      cpSync(join(this.folder.path, path), join(lab.folder.path, path), { recursive: true, preserveTimestamps: true });
    lab.saved.push(...this.saved);
    return lab;
  }

  /** Names of all files of the repository. */
  files(): string[] {
    return readdirSync(this.folder.repo, { recursive: true, encoding: 'utf8' }).sort();
  }

  /** Bytes of all packs. */
  packBytes(): number {
    const data = join(this.folder.repo, 'data');
    const files = readdirSync(data, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
  }

  /** Our check with all data, every snapshot restored and compared, no lock left; and restic's check. */
  async expectSound({ withRestic = true, restores = true, locks = 0 } = {}): Promise<void> {
    const repository = await this.open();
    expect((await repository.listSnapshots()).map(({ id }) => id).sort()).toEqual(
      this.saved.map(({ snapshot }) => snapshot.id).sort(),
    );
    const { errors } = await checkRepository(repository, { readData: true });
    expect(errors).toEqual([]);
    await repository.loadIndex();
    for (const { snapshot, lines } of restores ? this.saved : []) {
      const target = join(this.folder.path, `restored-${snapshot.id.slice(0, 8)}`);
      await restoreTree(repository, { treeId: snapshot.tree, target });
      expect(describeTree(join(target, 'source'))).toEqual(lines);
      rmSync(target, { recursive: true });
    }
    expect(readdirSync(join(this.folder.repo, 'locks'))).toHaveLength(locks);
    if (withRestic && resticMissing() === null)
      expect(await this.folder.restic(['check', '--read-data'])).toContain('no errors were found');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.folder[Symbol.asyncDispose]();
  }
}

type Hook = (call: 'save' | 'remove', handle: FileHandle) => Promise<void> | void;

/** A storage that waits for `before` ahead of each changing call, and for `after` when it is done. */
export function hooked(storage: Storage, before: Hook, after: Hook = () => {}): Storage {
  return new Proxy(storage, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key);
      if (typeof value !== 'function') return value;
      const call = value.bind(target) as (...args: unknown[]) => unknown;
      if (key !== 'save' && key !== 'remove') return call;
      return async (handle: FileHandle, ...rest: unknown[]): Promise<void> => {
        await before(key, handle);
        await call(handle, ...rest);
        await after(key, handle);
      };
    },
  });
}
