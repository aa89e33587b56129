// What the tests of copy, rewrite, tags and keys share: two repositories side by side, and a source to back up.

import { cpSync } from 'node:fs';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import { backupPaths, checkRepository, openRepository, type Repository, type Snapshot } from '@varve/repository';
import type { Storage } from '@varve/storage';
import { expect } from 'vitest';
import { noise } from './odd-tree.ts';
import { resticMissing, resticPassword, type ScratchFolder } from './restic-oracle.ts';

export const password = new Secret(resticPassword);
export const missing = resticMissing();

/** Makes a folder with a few kinds of files in it, and yields its path; without `large` for tests that repeat much. */
export async function makeSource(
  folder: ScratchFolder,
  { name = 'source', large = true }: { readonly name?: string; readonly large?: boolean } = {},
): Promise<string> {
  const path = join(folder.path, name);
  await mkdir(join(path, 'sub', 'deep'), { recursive: true });
  await mkdir(join(path, 'logs', 'deep'), { recursive: true });
  await writeFile(join(path, 'large'), noise(large ? 2_500_000 : 10_000, 'large'));
  await writeFile(join(path, 'text'), 'some text, again and again. '.repeat(5000));
  await writeFile(join(path, 'empty'), '');
  for (const sub of ['sub', 'sub/deep', 'logs', 'logs/deep']) {
    for (let file = 0; file < 5; file++) {
      await writeFile(join(path, sub, `${file}.log`), `${sub} log ${file}`);
      await writeFile(join(path, sub, `${file}.TXT`), `${sub} text ${file} & <more>`);
    }
  }
  await writeFile(Buffer.concat([Buffer.from(`${path}/sub/`), Buffer.from([0x6e, 0xff, 0x22, 0x6d])]), 'odd name');
  return path;
}

export async function backUp(
  repository: Repository,
  path: string,
  options: Partial<Parameters<typeof backupPaths>[1]> = {},
): Promise<Snapshot> {
  const { snapshot } = await backupPaths(repository, { paths: [path], hostname: 'here', workers: 1, ...options });
  if (!snapshot) throw new Error('The backup made no snapshot.');
  return snapshot;
}

/** Two snapshots of a source that changes in between. */
export async function backUpTwice(repository: Repository, path: string): Promise<[Snapshot, Snapshot]> {
  const first = await backUp(repository, path, { tags: ['first', 'x'], time: new Date('2026-01-02T03:04:05.678Z') });
  await writeFile(join(path, 'sub', 'new'), noise(600, 'new'));
  await utimes(join(path, 'sub', 'new'), 1000, 1000);
  const second = await backUp(repository, path, { time: new Date('2026-01-03T03:04:05Z') });
  return [first, second];
}

/** Opens a repository anew, so that nothing that was read before is believed. */
export function reopen(folder: ScratchFolder, storage: Storage = folder.storage()): Promise<Repository> {
  return openRepository({ storage, password });
}

/** Our own check of everything. */
export async function expectGood(folder: ScratchFolder): Promise<void> {
  const { errors } = await checkRepository(await reopen(folder), { readData: true, workers: 0 });
  expect(errors).toEqual([]);
}

/** Our own check and, where it is there, restic's. */
export async function expectBothChecks(folder: ScratchFolder): Promise<void> {
  await expectGood(folder);
  if (missing === null) expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
}

/** Makes `to`'s repository a copy of `from`'s, file by file. */
export function cloneRepository(from: ScratchFolder, to: ScratchFolder): void {
  cpSync(from.repo, to.repo, { recursive: true });
}
