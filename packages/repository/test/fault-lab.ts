// The bench of the fault enumeration: what changes a repository, each with the repository that it begins from and with what has to
// be true of it in the middle and at the end. Contents are compared by walking trees and hashing files, not through the disk.

import { cpSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isAppError, Secret } from '@varve/base';
import {
  addKey,
  backupPaths,
  changePassword,
  copySnapshots,
  createRepository,
  lockRepository,
  migrateRepository,
  openRepository,
  planIndexRepair,
  removeKey,
  rewriteSnapshots,
  runPrune,
  tagSnapshots,
  type Repository,
  type Snapshot,
} from '@varve/repository';
import type { FileHandle, Storage } from '@varve/storage';
import { quickTemporaryFolder } from '@varve/testing';
import { expect } from 'vitest';
import { noise } from './odd-tree.ts';
import { password, quick } from './prune-lab.ts';
import { cheapKey, ScratchFolder } from './restic-oracle.ts';
import { find, linesOfFolder, type Found } from './snapshot-contents.ts';

export const otherPassword = new Secret('ein anderes');
const thirdPassword = new Secret('ein drittes');

/** A repository that a case works on. */
export interface Site {
  readonly folder: ScratchFolder;
  /** Folder whose `source` is backed up; shared by all cases and not changed. */
  readonly home: string;
  /** The repository that is copied from, and its snapshots; shared by all cases and not changed. */
  readonly origin: Repository;
  readonly originals: readonly Snapshot[];
}

export interface Operation {
  readonly name: string;
  /** Makes of the common history what the operation begins from. */
  readonly prepare?: (site: Site) => Promise<void>;
  readonly run: (site: Site, repository: Repository) => Promise<unknown>;
  /** Whether check finds no error before the operation, and so in the middle of it. Default true. */
  readonly isSoundBefore?: boolean;
  /** Expects of an interrupted run that nothing that was there is lost. */
  readonly expectBetween?: (found: readonly Found[], before: readonly Found[], site: Site) => void;
  /** Expects the result. */
  readonly expectDone: (found: readonly Found[], before: readonly Found[], site: Site) => void;
  /** Passwords that open afterwards; the usual one when absent. */
  readonly passwords?: readonly Secret[];
  /** Key files at the end, at most. */
  readonly mostKeys?: number;
}

/** Runs a task under a lock, as the commands do; its failure counts, not that of removing the lock. */
async function locked<T>(repository: Repository, exclusive: boolean, task: () => Promise<T>): Promise<T> {
  const lock = await lockRepository(repository, { ...quick.lock, exclusive });
  let result: T;
  try {
    result = await task();
  } catch (error) {
    await lock.release().catch(() => {});
    throw error;
  }
  await lock.release();
  return result;
}

const idsOf = (found: readonly Found[]): string[] => found.map(({ snapshot }) => snapshot.id).sort();
const firstId = ({ snapshot }: Found): string => snapshot.original ?? snapshot.id;
const without = (lines: readonly string[], part: string): string[] => lines.filter((line) => !line.includes(part));

/** Every snapshot of before is there as it was. */
function expectAll(found: readonly Found[], before: readonly Found[]): void {
  for (const { snapshot, lines } of before) {
    const now = found.find(({ snapshot: { id } }) => id === snapshot.id);
    expect(now?.snapshot).toEqual(snapshot);
    expect(now?.lines).toEqual(lines);
  }
}

function expectSame(found: readonly Found[], before: readonly Found[]): void {
  expect(idsOf(found)).toEqual(idsOf(before));
  expectAll(found, before);
}

/** Every snapshot of before is there in some version, with its content or what `changed` makes of it. */
function expectVersions(
  found: readonly Found[],
  before: readonly Found[],
  changed: (lines: readonly string[]) => readonly string[] = (lines) => lines,
): void {
  for (const { snapshot, lines } of before) {
    const versions = found.filter((one) => firstId(one) === snapshot.id);
    expect(versions.length).toBeGreaterThan(0);
    for (const version of versions) {
      expect(version.lines).toEqual(version.snapshot.id === snapshot.id ? lines : changed(lines));
    }
  }
}

const backup: Operation = {
  name: 'a backup',
  run: (site, repository) => backUp(site.home, repository),
  expectBetween: (found, before, site) => {
    expectAll(found, before);
    expectBackups(found, before, site);
  },
  expectDone: (found, before, site) => {
    expectAll(found, before);
    expect(expectBackups(found, before, site)).toBeGreaterThan(0);
  },
};

/** Snapshots that came are of the source as it is. Yields how many. */
function expectBackups(found: readonly Found[], before: readonly Found[], { home }: Site): number {
  const known = new Set(idsOf(before));
  const fresh = found.filter(({ snapshot }) => !known.has(snapshot.id));
  for (const { lines } of fresh) expect(lines).toEqual(linesOfFolder(home));
  return fresh.length;
}

const prune: Operation = {
  name: 'a prune',
  prepare: (site) => forgetOldest(site, 2),
  run: (_site, repository) => runPrune(repository, { ...quick, maxUnused: { bytes: 0 }, workers: 0 }),
  expectDone: expectSame,
};

const forget: Operation = {
  name: 'a forget',
  run: (_site, repository) =>
    locked(repository, true, async () => {
      const snapshots = await repository.listSnapshots();
      await repository.removeSnapshots(snapshots.slice(0, -2).map(({ id }) => id));
    }),
  expectBetween: (found, before) => {
    expectAll(found, before.slice(-2));
    expectAll(before, found);
  },
  expectDone: (found, before) => expectSame(found, before.slice(-2)),
};

const copy: Operation = {
  name: 'a copy',
  prepare: async ({ folder, origin }) => {
    rmSync(folder.repo, { recursive: true });
    const chunkerPolynomial = origin.config.chunkerPolynomial;
    await createRepository({ storage: folder.storage(), password, keyDerivation: cheapKey, chunkerPolynomial });
  },
  run: ({ origin: source, originals }, destination) =>
    locked(destination, false, async () => {
      await copySnapshots({ source, destination, snapshots: originals, workers: 0 });
    }),
  expectBetween: (found, _before, site) => void expectCopies(found, site),
  expectDone: (found, _before, site) => expect(found).toHaveLength(expectCopies(found, site)),
};

/** What is there is copies of snapshots of the origin, of each at most one. Yields how many could be. */
function expectCopies(found: readonly Found[], { originals }: Site): number {
  const trees = new Map(originals.map(({ id, tree }) => [id, tree]));
  for (const { snapshot } of found) expect(trees.get(snapshot.original ?? '')).toBe(snapshot.tree);
  expect(new Set(found.map(firstId)).size).toBe(found.length);
  return trees.size;
}

const change: Operation = {
  name: 'a change of the password',
  run: (_site, repository) =>
    locked(repository, true, () => changePassword(repository, { password: otherPassword, keyDerivation: cheapKey })),
  expectDone: expectSame,
  passwords: [otherPassword],
  // One that an interrupted run has left, which `key list` shows.
  mostKeys: 2,
};

const add: Operation = {
  name: 'a new password',
  run: (_site, repository) =>
    locked(repository, false, () => addKey(repository, { password: otherPassword, keyDerivation: cheapKey })),
  expectDone: expectSame,
  passwords: [password, otherPassword],
  mostKeys: 3,
};

const remove: Operation = {
  name: 'the removal of a password',
  prepare: async ({ folder }) => {
    const repository = await openRepository({ storage: folder.storage(), password });
    await addKey(repository, { password: thirdPassword, keyDerivation: cheapKey });
  },
  run: (_site, repository) =>
    locked(repository, true, async () => {
      const names = await Array.fromAsync(repository.storage.list('key'), ({ name }) => name);
      for (const name of names) if (name !== repository.keyId) await removeKey(repository, name);
    }),
  expectDone: expectSame,
  mostKeys: 1,
};

const tag: Operation = {
  name: 'a change of tags',
  run: (_site, repository) =>
    locked(repository, true, async () => {
      await tagSnapshots(repository, await repository.listSnapshots(), { change: { add: ['new'] } });
    }),
  expectBetween: (found, before) => expectVersions(found, before),
  expectDone: (found, before) => {
    expectVersions(found, before);
    expect(found.map(({ snapshot }) => snapshot.tags)).toEqual(before.map(() => ['new']));
  },
};

const excluded = 'sub/c';
const rewrite: Operation = {
  name: 'a rewrite',
  run: (_site, repository) =>
    locked(repository, true, async () => {
      const snapshots = await repository.listSnapshots();
      await rewriteSnapshots(repository, { snapshots, excludes: [excluded], forget: true });
    }),
  expectBetween: (found, before) => expectVersions(found, before, (lines) => without(lines, excluded)),
  expectDone: (found, before) => {
    expect(found).toHaveLength(before.length);
    expectVersions(found, before, (lines) => without(lines, excluded));
    for (const { lines } of found) expect(without(lines, excluded)).toEqual(lines);
  },
};

const repair: Operation = {
  name: 'a repair of the index',
  isSoundBefore: false,
  prepare: async ({ folder }) => {
    const repository = await openRepository({ storage: folder.storage(), password });
    await repository.loadIndex();
    const packs = [...repository.index.packs()];
    const [first, second] = await repository.listFiles('index');
    // Listed twice; an index file that is gone; one that cannot be read; one that lists a pack that is not there.
    await repository.saveRepairedIndexFile(packs.slice(0, 2));
    await repository.saveRepairedIndexFile([{ packId: 'ab'.repeat(32), blobs: packs[0]?.blobs ?? [] }]);
    rmSync(join(folder.repo, 'index', first?.name ?? ''));
    rmSync(join(folder.repo, 'index', second?.name ?? ''));
    writeFileSync(join(folder.repo, 'index', 'cd'.repeat(32)), 'not an index file at all, and long enough');
  },
  run: (_site, repository) => locked(repository, true, async () => (await planIndexRepair(repository)).run()),
  expectDone: expectSame,
};

/** Needs restic, which makes the repository of format 1. */
export const migrate: Operation = {
  name: 'an upgrade to format 2',
  prepare: async ({ folder, home }) => {
    rmSync(folder.repo, { recursive: true });
    await folder.restic(['init', '--repository-version', '1']);
    await folder.restic(['backup', 'source'], { cwd: home });
    const repository = await openRepository({ storage: folder.storage(), password });
    await changePassword(repository, { password, keyDerivation: cheapKey });
  },
  run: ({ folder }, repository) =>
    locked(repository, true, async () => {
      if (repository.version === 2) return;
      const backupFolder = join(folder.path, `backup-${readdirSync(folder.path).length}`);
      await migrateRepository(repository, 'upgrade_repo_v2', { backupFolder });
    }),
  expectDone: expectSame,
};

export const operations: readonly Operation[] = [
  backup,
  prune,
  forget,
  copy,
  change,
  add,
  remove,
  tag,
  rewrite,
  repair,
];

/** Four snapshots of a source that changes, in packs of few blobs, and a source that has changed since. */
export class FaultLab implements AsyncDisposable {
  readonly #history: ScratchFolder;
  readonly #shared: Pick<Site, 'home' | 'origin' | 'originals'>;

  private constructor(history: ScratchFolder, shared: Pick<Site, 'origin' | 'originals'>) {
    this.#history = history;
    this.#shared = { ...shared, home: history.path };
  }

  static async create(): Promise<FaultLab> {
    const history = await ScratchFolder.create(quickTemporaryFolder());
    const repository = await history.createRepository();
    const write = (version: number, names: readonly string[]): void => {
      for (const name of names) {
        const path = join(history.path, 'source', name);
        mkdirSync(join(path, '..'), { recursive: true });
        writeFileSync(path, noise(30_000, `${name} ${version}`));
        utimesSync(path, 1000 + version, 1000 + version);
      }
    };
    write(1, ['kept', 'a', 'b', 'sub/c', 'sub/d', 'sub/deep/e']);
    await backUp(history.path, repository);
    write(2, ['a', 'sub/c']);
    await backUp(history.path, repository);
    rmSync(join(history.path, 'source', 'b'));
    write(3, ['sub/d', 'new/f']);
    await backUp(history.path, repository);
    write(4, ['a', 'new/f']);
    await backUp(history.path, repository);
    // What the next backup finds: new, changed, and back again.
    write(5, ['sub/deep/e', 'new/g', 'new/h']);
    write(1, ['b']);
    return new FaultLab(history, { origin: repository, originals: await repository.listSnapshots() });
  }

  /** A repository for an operation to begin from, and what can be restored from it, if need be after a repair. */
  async prepare({ prepare, isSoundBefore = true }: Operation): Promise<{ site: Site; before: readonly Found[] }> {
    const site = await this.copy(this.#history);
    const read = async (): Promise<readonly Found[]> =>
      find(await openRepository({ storage: site.folder.storage(), password }));
    const undamaged = isSoundBefore ? null : await read();
    await prepare?.(site);
    return { site, before: undamaged ?? (await read()) };
  }

  async copy(from: ScratchFolder): Promise<Site> {
    const folder = await ScratchFolder.create(quickTemporaryFolder());
    cpSync(from.repo, folder.repo, { recursive: true, preserveTimestamps: true });
    return { folder, ...this.#shared };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#history[Symbol.asyncDispose]();
  }
}

/** Opens a repository with the first of the passwords that opens it. */
export async function openAny(storage: Storage, passwords: readonly Secret[]): Promise<Repository> {
  for (const secret of passwords) {
    try {
      return await openRepository({ storage, password: secret });
    } catch (error) {
      if (!isAppError(error, 'REPOSITORY_PASSWORD_WRONG')) throw error;
    }
  }
  throw new Error('No password opens the repository.');
}

/** Where a process that is killed, or whose write is torn, leaves half a file: beside its place, under a temporary name. */
export function leaveBeside(repo: string): (handle: FileHandle, half: Uint8Array) => void {
  return ({ type, name }, half) => {
    const place = { config: '', key: 'keys', lock: 'locks', snapshot: 'snapshots', index: 'index', pack: 'data' }[type];
    const path =
      type === 'pack' ? join(place, name.slice(0, 2), name) : join(place, type === 'config' ? 'config' : name);
    writeFileSync(join(repo, `${path}-tmp-0123456789ab`), half);
  };
}

async function backUp(home: string, repository: Repository): Promise<void> {
  const paths = { paths: ['source'], cwd: home, hostname: 'host', workers: 1, packSizeBytes: 50_000 };
  await backupPaths(repository, paths);
}

async function forgetOldest({ folder }: Site, count: number): Promise<void> {
  const repository = await openRepository({ storage: folder.storage(), password });
  const snapshots = await repository.listSnapshots();
  await repository.removeSnapshots(snapshots.slice(0, count).map(({ id }) => id));
}
