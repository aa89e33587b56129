// Two repositories that restic and Varve change in turn, with a model of what has to be in them. Varve comes as several hosts:
// one that keeps the repository open and remembers, one with a cache, one that opens it anew each time.

import { createHash } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import {
  addKey,
  backupPaths,
  changePassword,
  checkRepository,
  copySnapshots,
  createRepository,
  listKeys,
  lockRepository,
  openRepository,
  planIndexRepair,
  removeKey,
  restoreTree,
  rewriteSnapshots,
  runPrune,
  tagSnapshots,
  unlockRepository,
  type Repository,
  type RepositoryCache,
} from '@varve/repository';
import { CachedStorage, FileCache } from '@varve/storage';
import { FaultyStorage, quickTemporaryFolder, resticCommand } from '@varve/testing';
import { expect } from 'vitest';
import { encodeLock } from '../src/lock/lock-file.ts';
import { snapshotTimeNs } from '../src/snapshot/snapshot.ts';
import { leaveBeside } from './fault-lab.ts';
import { noise } from './odd-tree.ts';
import { password, quick } from './prune-lab.ts';
import { cheapKey, resticPassword, resticVersion, ScratchFolder } from './restic-oracle.ts';
import { find, linesOfFolder } from './snapshot-contents.ts';

type Random = (below: number) => number;
type Program = 'restic' | 'varve';

/** A snapshot that has to be there. Ids change with tags and rewriting; the time does not. */
interface Entry {
  readonly id: string;
  readonly time: bigint;
  readonly lines: readonly string[];
}

/** What a step does to the main repository: the entries that it has to hold afterwards. */
type Step = (program: Program) => Promise<readonly Entry[]>;

const canRewrite = !/restic 0\.(?:[0-9]|1[0-4])\./.test(resticVersion());
const fileNames = Array.from({ length: 9 }, (_, number) => `file-${number}`);

export class InteropLab implements AsyncDisposable {
  /** What was done, for the message of a failure. */
  readonly log: string[] = [];
  readonly #random: Random;
  readonly #main: ScratchFolder;
  readonly #second: ScratchFolder;
  readonly #longOpen: Repository;
  #entries: readonly Entry[] = [];
  #copies: readonly Entry[] = [];
  #version = 0;

  private constructor(random: Random, folders: readonly [ScratchFolder, ScratchFolder], longOpen: Repository) {
    this.#random = random;
    [this.#main, this.#second] = folders;
    this.#longOpen = longOpen;
  }

  /** Two empty repositories of which either program has made either. */
  static async create(random: Random): Promise<InteropLab> {
    const main = await ScratchFolder.create(quickTemporaryFolder());
    const second = await ScratchFolder.create(quickTemporaryFolder());
    if (random(2) === 0) await main.createRepository();
    else {
      await main.restic(['init']);
      // restic's keys take half a second each time.
      const made = await openRepository({ storage: main.storage(), password });
      await changePassword(made, { password, keyDerivation: cheapKey });
    }
    const longOpen = await openRepository({ storage: main.storage(), password });
    const { chunkerPolynomial } = longOpen.config;
    await createRepository({ storage: second.storage(), password, keyDerivation: cheapKey, chunkerPolynomial });
    mkdirSync(join(main.path, 'source'));
    writeFileSync(join(main.path, 'password'), resticPassword);
    return new InteropLab(random, [main, second], longOpen);
  }

  /** Does something by chance, and expects that everything is there that has to be. */
  async step(): Promise<void> {
    const steps: readonly (readonly [number, string, Step])[] = [
      [6, 'backup', (program) => this.#backUp(program)],
      [3, 'forget', (program) => this.#forget(program)],
      [4, 'prune', (program) => this.#prune(program)],
      [2, 'copy', (program) => this.#copy(program)],
      [2, 'tag', (program) => this.#tag(program)],
      [2, 'rewrite', (program) => this.#rewrite(program)],
      [1, 'key', (program) => this.#changeKeys(program)],
      [1, 'check', (program) => this.#check(program)],
      [2, 'restore', (program) => this.#restore(program)],
      [2, 'repair of the index', (program) => this.#repairIndex(program)],
      [1, 'unlock', (program) => this.#unlock(program)],
      [3, 'kill', (program) => this.#kill(program)],
    ];
    let chance = this.#random(steps.reduce((sum, [weight]) => sum + weight, 0));
    const [, name, run] = steps.find(([weight]) => (chance -= weight) < 0)!;
    const program = this.#random(2) === 0 ? 'restic' : 'varve';
    this.log.push(`${program} ${name}`);
    const expected = await run(program);
    const found = await this.#read(this.#main);
    expect(found.map(keyOf).sort()).toEqual(expected.map(keyOf).sort());
    this.#entries = found;
  }

  /** Both programs find both repositories in order, and restic restores the last snapshot. */
  async expectSound(): Promise<void> {
    for (const [folder, entries] of [
      [this.#main, this.#entries],
      [this.#second, this.#copies],
    ] as const) {
      const repository = await openRepository({ storage: folder.storage(), password });
      const { errors } = await checkRepository(repository, { readData: true, workers: 0 });
      expect(errors).toEqual([]);
      expect((await this.#read(folder)).map(keyOf).sort()).toEqual(entries.map(keyOf).sort());
      expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
      const listed = JSON.parse(await folder.restic(['snapshots', '--json'])) as { id: string }[];
      expect(listed.map(({ id }) => id).sort()).toEqual(entries.map(({ id }) => id).sort());
      expect(await repository.listFiles('lock')).toEqual([]);
    }
    for (const entry of this.#entries) await this.#restoreWith('restic', entry);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#main[Symbol.asyncDispose]();
    await this.#second[Symbol.asyncDispose]();
  }

  // ——— the steps

  async #backUp(program: Program): Promise<readonly Entry[]> {
    this.#changeSource();
    if (program === 'restic') {
      const options = this.#random(3) === 0 ? ['--force'] : [];
      await this.#main.restic(['backup', '--host', 'host', ...options, 'source'], { cwd: this.#main.path });
    } else {
      await this.#backUpWith(await this.#open());
    }
    return [...this.#entries, await this.#newEntry()];
  }

  async #forget(program: Program): Promise<readonly Entry[]> {
    const gone = this.#some(Math.min(2, this.#entries.length - 1)).map(({ id }) => id);
    if (gone.length === 0) return this.#entries;
    if (program === 'restic') await this.#main.restic(['forget', ...gone]);
    else await this.#locked(await this.#open(), (repository) => repository.removeSnapshots(gone));
    return this.#entries.filter(({ id }) => !gone.includes(id));
  }

  async #prune(program: Program): Promise<readonly Entry[]> {
    const isThorough = this.#random(2) === 0;
    if (program === 'restic') await this.#main.restic(['prune', ...(isThorough ? ['--max-unused', '0'] : [])]);
    else await runPrune(await this.#open(), { ...quick, ...(isThorough ? { maxUnused: { bytes: 0 } } : {}) });
    return this.#entries;
  }

  async #copy(program: Program): Promise<readonly Entry[]> {
    const before = this.#copies.map(keyOf);
    if (program === 'restic') {
      const from = ['--from-repo', this.#main.repo, '--from-password-file', join(this.#main.path, 'password')];
      await this.#second.restic(['copy', ...from]);
    } else {
      const source = await this.#open();
      const destination = await openRepository({ storage: this.#second.storage(), password });
      await copySnapshots({ source, destination, snapshots: await source.listSnapshots(), workers: 0 });
    }
    this.#copies = await this.#read(this.#second);
    const after = this.#copies.map(keyOf);
    const wanted = this.#entries.map(keyOf);
    expect(after).toEqual(expect.arrayContaining([...before, ...wanted]));
    expect([...before, ...wanted]).toEqual(expect.arrayContaining(after));
    return this.#entries;
  }

  async #tag(program: Program): Promise<readonly Entry[]> {
    const ids = this.#some(3).map(({ id }) => id);
    const name = `tag-${this.log.length}`;
    if (ids.length === 0) return this.#entries;
    if (program === 'restic') await this.#main.restic(['tag', '--add', name, ...ids]);
    else {
      await this.#locked(await this.#open(), async (repository) => {
        const snapshots = (await repository.listSnapshots()).filter(({ id }) => ids.includes(id));
        await tagSnapshots(repository, snapshots, { change: { add: [name] } });
      });
    }
    return this.#entries;
  }

  async #rewrite(program: Program): Promise<readonly Entry[]> {
    const ids = this.#some(3).map(({ id }) => id);
    const name = this.#oneOf(fileNames);
    if (ids.length === 0) return this.#entries;
    if (program === 'restic' && canRewrite) {
      await this.#main.restic(['rewrite', '--forget', '--exclude', name, ...ids]);
    } else {
      await this.#locked(await this.#open(), async (repository) => {
        const snapshots = (await repository.listSnapshots()).filter(({ id }) => ids.includes(id));
        await rewriteSnapshots(repository, { snapshots, excludes: [name], forget: true });
      });
    }
    const stays = (line: string): boolean => !line.includes(`/${name} `);
    return this.#entries.map((entry) =>
      ids.includes(entry.id) ? { ...entry, lines: entry.lines.filter(stays) } : entry,
    );
  }

  /** One program adds a password, the other one opens with it; then it goes. */
  async #changeKeys(program: Program): Promise<readonly Entry[]> {
    const other = new Secret('noch eins');
    if (program === 'restic') {
      const file = join(this.#main.path, 'other');
      writeFileSync(file, other.reveal());
      await this.#main.restic(['key', 'add', '--new-password-file', file]);
      await openRepository({ storage: this.#main.storage(), password: other });
    } else {
      await addKey(await this.#open(), { password: other, keyDerivation: cheapKey });
      await this.#main.restic(['snapshots'], { password: other.reveal() });
    }
    await this.#locked(await this.#open(), async (repository) => {
      const { keys } = await listKeys(repository);
      for (const { id, isCurrent } of keys) if (!isCurrent) await removeKey(repository, id);
    });
    return this.#entries;
  }

  async #check(program: Program): Promise<readonly Entry[]> {
    if (program === 'restic')
      expect(await this.#main.restic(['check', '--read-data'])).toContain('no errors were found');
    else {
      const { errors } = await checkRepository(await this.#open(), { readData: true, workers: 0 });
      expect(errors).toEqual([]);
    }
    return this.#entries;
  }

  async #restore(program: Program): Promise<readonly Entry[]> {
    for (const entry of this.#some(1)) await this.#restoreWith(program, entry);
    return this.#entries;
  }

  /** With an index file that is lost, as often as not. */
  async #repairIndex(program: Program): Promise<readonly Entry[]> {
    const files = await Array.fromAsync(this.#main.storage().list('index'), ({ name }) => name);
    if (files.length > 0 && this.#random(2) === 0) {
      await this.#main.storage().remove({ type: 'index', name: this.#oneOf(files) });
      this.log.push('… of which a file is lost');
    }
    if (program === 'restic') await this.#main.restic(['rebuild-index']);
    else await this.#locked(await this.#open(), async (repository) => (await planIndexRepair(repository)).run());
    return this.#entries;
  }

  async #unlock(program: Program): Promise<readonly Entry[]> {
    const repository = await this.#open();
    const time = new Date(Date.now() - 31 * 60_000).toISOString();
    const lock = { time, exclusive: true, hostname: 'elsewhere', username: 'ana', pid: 4711 };
    await repository.saveUnpacked('lock', encodeLock(lock));
    if (program === 'restic') await this.#main.restic(['unlock']);
    else await unlockRepository(await this.#open());
    expect(await repository.listFiles('lock')).toEqual([]);
    return this.#entries;
  }

  /** A backup or a prune that dies somewhere. */
  async #kill(program: Program): Promise<readonly Entry[]> {
    const isBackup = this.#random(2) === 0;
    this.log.push(`… of a ${isBackup ? 'backup' : 'prune'}`);
    if (isBackup) this.#changeSource();
    if (program === 'restic') await this.#killRestic(isBackup ? ['backup', 'source'] : ['prune', '--max-unused', '0']);
    else {
      const leaveBehind = leaveBeside(this.#main.repo);
      const plan = { failingCall: 1 + this.#random(isBackup ? 7 : 15), kind: 'kill', leaveBehind } as const;
      const storage = new FaultyStorage(this.#main.storage(), plan);
      const repository = await openRepository({ storage, password });
      const run = isBackup ? this.#backUpWith(repository) : runPrune(repository, { ...quick, maxUnused: { bytes: 0 } });
      await run.catch((error: unknown) => expect(error).toMatchObject({ code: 'STORAGE_UNREACHABLE' }));
    }
    await unlockRepository(await this.#open(), { all: true });
    const fresh = isBackup ? await this.#freshEntries() : [];
    for (const { lines } of fresh) expect(lines).toEqual(linesOfFolder(this.#main.path));
    return [...this.#entries, ...fresh];
  }

  // ——— what they share

  async #killRestic(args: readonly string[]): Promise<void> {
    const child = spawn(resticCommand(), args, {
      cwd: this.#main.path,
      env: {
        ...process.env,
        HOME: this.#main.path,
        RESTIC_REPOSITORY: this.#main.repo,
        RESTIC_PASSWORD: resticPassword,
        RESTIC_CACHE_DIR: join(this.#main.path, 'cache'),
      },
      stdio: 'ignore',
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), this.#random(600));
    await once(child, 'exit');
    clearTimeout(timer);
  }

  async #restoreWith(program: Program, { id, lines }: Entry): Promise<void> {
    const target = join(this.#main.path, 'restored');
    if (program === 'restic') await this.#main.restic(['restore', id, '--target', target]);
    else {
      const repository = await this.#open();
      const { tree } = await repository.findSnapshot(id);
      await restoreTree(repository, { treeId: tree, target });
    }
    expect(linesOfFolder(target)).toEqual(lines);
    rmSync(target, { recursive: true });
  }

  async #backUpWith(repository: Repository): Promise<void> {
    const paths = { paths: ['source'], cwd: this.#main.path, hostname: 'host', workers: 1, packSizeBytes: 100_000 };
    await backupPaths(repository, paths);
  }

  /** The repository as one of three hosts sees it. */
  async #open(): Promise<Repository> {
    const host = this.#random(3);
    this.log.push(['… long open', '… cached', '… opened anew'][host] ?? '');
    if (host === 0) return this.#longOpen;
    if (host === 2) return openRepository({ storage: this.#main.storage(), password });
    const cache = async (repositoryId: string): Promise<RepositoryCache> => {
      const files = await FileCache.open({ root: join(this.#main.path, 'varve-cache'), repositoryId });
      return { storage: new CachedStorage(this.#main.storage(), files), digests: files };
    };
    return openRepository({ storage: this.#main.storage(), password, cache });
  }

  async #locked<T>(repository: Repository, task: (repository: Repository) => Promise<T>): Promise<T> {
    await using lock = await lockRepository(repository, { ...quick.lock, exclusive: true });
    const result = await task(repository);
    lock.signal.throwIfAborted();
    return result;
  }

  #changeSource(): void {
    for (let count = 1 + this.#random(3); count > 0; count--) {
      const folder = this.#oneOf(['.', 'one', 'two']);
      const path = join(this.#main.path, 'source', folder, this.#oneOf(fileNames));
      mkdirSync(join(path, '..'), { recursive: true });
      if (this.#random(4) === 0) rmSync(path, { force: true });
      // Contents come back now and then, and some files have several chunks.
      const content = this.#random(3) === 0 ? this.#random(5) : this.#version++;
      const sizeBytes = this.#random(5) === 0 ? 1_500_000 : this.#random(60_000);
      if (this.#random(4) > 0) writeFileSync(path, noise(sizeBytes, `${content}`));
    }
  }

  async #read(folder: ScratchFolder): Promise<Entry[]> {
    const repository = await openRepository({ storage: folder.storage(), password });
    const found = await find(repository);
    return found.map(({ snapshot, lines }) => ({ id: snapshot.id, time: snapshotTimeNs(snapshot), lines }));
  }

  async #freshEntries(): Promise<Entry[]> {
    const known = new Set(this.#entries.map(({ id }) => id));
    return (await this.#read(this.#main)).filter(({ id }) => !known.has(id));
  }

  async #newEntry(): Promise<Entry> {
    const [entry, ...more] = await this.#freshEntries();
    expect(more).toEqual([]);
    expect(entry?.lines).toEqual(linesOfFolder(this.#main.path));
    return entry!;
  }

  #oneOf<T>(items: readonly T[]): T {
    return items[this.#random(items.length)]!;
  }

  /** Up to so many entries. */
  #some(most: number): Entry[] {
    const left = [...this.#entries];
    while (left.length > Math.max(0, most)) left.splice(this.#random(left.length), 1);
    return left;
  }
}

function keyOf({ time, lines }: Entry): string {
  return `${time} ${createHash('sha256').update(lines.join('\n')).digest('hex')}`;
}
