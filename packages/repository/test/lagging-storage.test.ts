import { readdirSync, writeFileSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Secret } from '@varve/base';
import { openStorage } from '@varve/storage';
import { LaggingStorage } from '@varve/testing';
import {
  backupPaths,
  checkRepository,
  createRepository,
  lockRepository,
  openRepository,
  restoreTree,
  unlockRepository,
} from '@varve/repository';
import { expect, onTestFinished, test, vi } from 'vitest';
import { noise } from './odd-tree.ts';
import { cheapKey, resticMissing, resticPassword, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 60_000 });
const noRestic = resticMissing();

test('on a storage whose lists lag, backups and restores work, and a check is content when they have caught up', async () => {
  const folder = await ScratchFolder.create();
  onTestFinished(() => folder[Symbol.asyncDispose]());
  const storage = new LaggingStorage(openStorage(folder.repo));
  const password = new Secret(resticPassword);
  const source = join(folder.path, 'source');
  mkdirSync(source);
  writeFileSync(join(source, 'one.bin'), noise(3_000_000, 'one'));
  const backUp = async (): Promise<string> => {
    await using repository = await openRepository({ storage, password });
    const { snapshot } = await backupPaths(repository, { paths: [source], hostname: 'host' });
    return snapshot.id;
  };
  await using made = await createRepository({ storage, password, keyDerivation: cheapKey });
  storage.catchUp();

  // Neither the snapshot nor the index of the first is listed for the second: it saves everything again, and nothing is lost.
  await backUp();
  writeFileSync(join(source, 'two.bin'), noise(100_000, 'two'));
  await backUp();
  storage.catchUp();

  // Locks that are gone are still listed by now.
  await using lock = await lockRepository(made, { exclusive: false });
  await lock[Symbol.asyncDispose]();
  storage.catchUp();
  await backUp();
  await unlockRepository(made);
  await using repository = await openRepository({ storage, password });
  const early = await checkRepository(repository, { readData: true });
  expect(early.errors).toEqual([]);

  storage.catchUp();
  await using again = await openRepository({ storage, password });
  const report = await checkRepository(again, { readData: true });
  expect(report.errors).toEqual([]);
  expect(report.snapshots).toBe(3);
  if (noRestic === null) expect(await folder.restic(['check', '--read-data'])).toContain('no errors were found');
  expect(readdirSync(join(folder.repo, 'locks'))).toEqual([]);
  const target = join(folder.path, 'target');
  const latest = (await again.listSnapshots()).at(-1);
  expect(latest).toBeDefined();
  await restoreTree(again, { treeId: latest?.tree ?? '', target });
  expect(readFileSync(join(target, source, 'one.bin')).equals(readFileSync(join(source, 'one.bin')))).toBe(true);
});
