// The storage goes away in the middle: a disk that is unplugged, a share that is unmounted, so that there is nothing or an empty
// folder in its place. Nothing is written beside it, nothing counts as done, and all is well when it is back.

import { mkdirSync, readdirSync, renameSync, rmdirSync } from 'node:fs';
import { existsSync } from 'node:fs';
import { backupPaths, runPrune, type Repository } from '@varve/repository';
import type { FileType, ListOptions, Storage } from '@varve/storage';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { hooked, PruneLab, quick } from './prune-lab.ts';

const everything = { ...quick, maxUnused: { bytes: 0 }, workers: 0 } as const;
const remains = ['nothing', 'an empty folder'] as const;

let history: PruneLab;

beforeAll(async () => {
  history = await PruneLab.create();
  await history.makeHistory();
});

afterAll(() => history[Symbol.asyncDispose]());

async function labWithHistory(): Promise<PruneLab> {
  const lab = await history.copy();
  onTestFinished(() => lab[Symbol.asyncDispose]());
  return lab;
}

/** Takes the repository away and brings it back. */
class Disk {
  readonly #repo: string;
  readonly #leavesFolder: boolean;

  constructor({ folder }: PruneLab, left: (typeof remains)[number]) {
    this.#repo = folder.repo;
    this.#leavesFolder = left === 'an empty folder';
  }

  get isAway(): boolean {
    return existsSync(`${this.#repo}.away`);
  }

  unplug(): void {
    if (this.isAway) return;
    renameSync(this.#repo, `${this.#repo}.away`);
    if (this.#leavesFolder) mkdirSync(this.#repo);
  }

  plugIn(): void {
    // Nobody has put anything into its place.
    if (this.#leavesFolder) rmdirSync(this.#repo);
    expect(existsSync(this.#repo)).toBe(false);
    renameSync(`${this.#repo}.away`, this.#repo);
  }
}

describe.for(remains)('a storage that vanishes and leaves %s', (left) => {
  const vanishing = async (
    call: 'save' | 'remove',
    type: FileType,
  ): Promise<{ lab: PruneLab; disk: Disk; storage: Storage }> => {
    const lab = await labWithHistory();
    const disk = new Disk(lab, left);
    const storage = hooked(lab.folder.storage(), (made, handle) => {
      if (made === call && handle.type === type) disk.unplug();
    });
    return { lab, disk, storage };
  };

  test.for(['lock', 'pack', 'index', 'snapshot'] as const)('ends a backup that saves a file: %s', async (type) => {
    const { lab, disk, storage } = await vanishing('save', type);
    lab.write('later', ['a', 'later']);
    const paths = { paths: ['source'], cwd: lab.folder.path, hostname: 'host', workers: 1 };
    const repository = await lab.open(storage);
    await expect(backupPaths(repository, paths)).rejects.toMatchObject({
      code: 'STORAGE_UNREACHABLE',
      message: expect.stringContaining(lab.folder.repo),
      hint: expect.stringContaining('mounted'),
    });
    disk.plugIn();
    const lock = type === 'lock' ? 0 : 1;
    await lab.expectSound({ withRestic: false, restores: false, locks: lock });
    await clearLocks(lab);
    await lab.backUp(await lab.open());
    await lab.expectSound({ withRestic: false });
  });

  test.for([
    ['save', 'pack'],
    ['save', 'index'],
    ['remove', 'index'],
    ['remove', 'pack'],
  ] as const)('ends a prune: %s %s', async ([call, type]) => {
    const { lab, disk, storage } = await vanishing(call, type);
    await expect(runPrune(await lab.open(storage), everything)).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
    disk.plugIn();
    await clearLocks(lab);
    await lab.expectSound({ withRestic: false });
    await runPrune(await lab.open(), everything);
    expect(lab.packBytes()).toBeLessThan(1_520_000);
    await lab.expectSound({ withRestic: false });
  });

  test('does not make a forget believe that it is done', async () => {
    const { lab, disk, storage } = await vanishing('remove', 'snapshot');
    const repository = await lab.open(storage);
    const ids = (await repository.listSnapshots()).map(({ id }) => id);
    await expect(repository.removeSnapshots(ids)).rejects.toMatchObject({ code: 'STORAGE_UNREACHABLE' });
    disk.plugIn();
    await lab.expectSound({ withRestic: false });
  });

  test('while snapshots are listed does not make a prune believe that there are none', async () => {
    for (const failingList of [1, 2]) {
      const lab = await labWithHistory();
      const disk = new Disk(lab, left);
      const storage = withLists(lab.folder.storage(), { failingList, around: disk });
      await expect(runPrune(await lab.open(storage), everything)).rejects.toMatchObject({
        code: 'STORAGE_UNREACHABLE',
      });
      await lab.expectSound({ withRestic: false });
    }
  });
});

test('a list of snapshots that is empty once removes nothing that they use', async () => {
  for (const failingList of [1, 2]) {
    const lab = await labWithHistory();
    const storage = withLists(lab.folder.storage(), { failingList, around: null });
    await runPrune(await lab.open(storage), everything);
    await lab.expectSound({ withRestic: false });
  }
});

async function clearLocks(lab: PruneLab): Promise<void> {
  const repository: Repository = await lab.open();
  for (const { name } of await repository.listFiles('lock')) await repository.storage.remove({ type: 'lock', name });
  expect(readdirSync(lab.folder.repo)).toContain('config');
}

/** A storage of which one list of the snapshots is made while it is away, or is empty. */
function withLists(
  storage: Storage,
  { failingList, around }: { readonly failingList: number; readonly around: Disk | null },
): Storage {
  let lists = 0;
  async function* list(type: FileType, options?: ListOptions): ReturnType<Storage['list']> {
    if (type !== 'snapshot' || ++lists !== failingList) {
      yield* storage.list(type, options);
      return;
    }
    if (!around) return;
    around.unplug();
    try {
      yield* storage.list(type, options);
    } finally {
      around.plugIn();
    }
  }
  return new Proxy(storage, {
    get(target, key) {
      if (key === 'list') return list;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}
