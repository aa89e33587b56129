import { mkdirSync, rmSync } from 'node:fs';
import { AppError, isAppError } from '@varve/base';
import { checkRepository, planPrune, runPrune, type Repository } from '@varve/repository';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { encodeHeader } from '../src/pack/pack-header.ts';
import { hooked, PruneLab, quick } from './prune-lab.ts';
import { resticMissing } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const noRestic = resticMissing();
const everything = { ...quick, maxUnused: { bytes: 0 } } as const;

async function newLab(): Promise<PruneLab> {
  const lab = await PruneLab.create();
  onTestFinished(() => lab[Symbol.asyncDispose]());
  return lab;
}

describe.skipIf(noRestic !== null)(`prune and restic (${noRestic ?? 'both'})`, () => {
  test('take turns on one repository', async () => {
    const lab = await newLab();
    for (let round = 0; round < 5; round++) {
      lab.write(String(round), ['a', `sub/${round % 3}`, 'b/c'].slice(0, 2 + (round % 2)));
      const repository = await lab.open();
      await lab.backUp(repository);
      // restic saves the same folder too, so that its packs and ours lie side by side.
      await lab.folder.restic(['backup', '--host', 'restic', lab.source]);
      await lab.folder.restic(['forget', '--host', 'restic', '--keep-last', '1']);
      if (round > 1) await lab.forget(repository, lab.saved[0]!.snapshot);
      if (round % 2 === 0) await runPrune(await lab.open(), everything);
      else await lab.folder.restic(['prune', '--max-unused', '0']);
      expect(await lab.folder.restic(['check', '--read-data'])).toContain('no errors were found');
      const { errors } = await checkRepository(await lab.open(), { readData: true });
      expect(errors).toEqual([]);
    }
    await lab.folder.restic(['forget', '--host', 'restic', '--keep-last', '1', '--prune']);
    const ids = JSON.parse(await lab.folder.restic(['snapshots', '--json', '--host', 'restic'])) as { id: string }[];
    const repository = await lab.open();
    await repository.removeSnapshots(ids.map(({ id }) => id));
    await runPrune(repository, everything);
    await lab.expectSound();
    // restic agrees that there is nothing left to do.
    const dryRun = await lab.folder.restic(['prune', '--dry-run', '--max-unused', '0']);
    expect(dryRun).toMatch(/to delete: +0 blobs/);
    expect(dryRun).toMatch(/to repack: +0 blobs/);
  });

  test('compresses what a repository of format 1 brought along', async () => {
    const lab = await newLab();
    rmSync(lab.folder.repo, { recursive: true });
    await lab.folder.restic(['init', '--repository-version', '1']);
    mkdirSync(`${lab.source}/sub`);
    for (const name of ['a', 'sub/b'])
      await (await import('node:fs/promises')).writeFile(`${lab.source}/${name}`, name.repeat(100_000));
    await lab.folder.restic(['backup', lab.source]);
    const old = await lab.open();
    expect((await planPrune(old)).repack).toEqual([]);
    await expect(runPrune(old, quick)).rejects.toMatchObject({ code: 'REPOSITORY_VERSION_UNSUPPORTED' });
    await lab.folder.restic(['migrate', 'upgrade_repo_v2']);
    const before = lab.packBytes();
    const { plan } = await runPrune(await lab.open(), quick);
    expect(plan.repack.map(({ reason }) => reason)).toEqual(['uncompressed']);
    expect(lab.packBytes()).toBeGreaterThan(before * 0.9);
    await runPrune(await lab.open(), { ...quick, repackUncompressed: true });
    expect(lab.packBytes()).toBeLessThan(before / 10);
    expect((await planPrune(await lab.open(), { repackUncompressed: true })).repack).toEqual([]);
    expect(await lab.folder.restic(['check', '--read-data'])).toContain('no errors were found');
  });
});

/** A pack of a data and a tree blob, as only old programs wrote. */
async function storeMixedPack(repository: Repository, data: Buffer, tree: Buffer): Promise<void> {
  const { engine, cipher } = repository;
  const units = [cipher.seal(data), cipher.seal(tree)];
  const entry = (type: 'data' | 'tree', plain: Buffer, offset: number) => {
    return { type, id: engine.sha256(plain).toString('hex'), offset, length: plain.length + 32, uncompressedLength: 0 };
  };
  const header = encodeHeader([entry('data', data, 0), entry('tree', tree, data.length + 32)]);
  const unit = cipher.seal(header);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(unit.length);
  const bytes = Buffer.concat([...units, unit, length]);
  const packId = engine.sha256(bytes).toString('hex');
  await repository.storage.save({ type: 'pack', name: packId }, bytes);
  await repository.saveIndexFile([{ packId, header }]);
}

describe('a prune', () => {
  test('separates trees and data that lie in one pack', async () => {
    const lab = await newLab();
    const repository = await lab.open();
    const data = Buffer.from('some data');
    const time = '2026-01-02T03:04:05Z';
    const id = repository.engine.sha256(data).toString('hex');
    const node = { name: 'f', type: 'file', mode: 420, mtime: time, atime: time, ctime: time, uid: 0, gid: 0, size: 9 };
    const tree = Buffer.from(`${JSON.stringify({ nodes: [{ ...node, content: [id] }] })}\n`);
    await storeMixedPack(repository, data, tree);
    await repository.saveSnapshot({ time, tree: repository.engine.sha256(tree).toString('hex'), paths: ['/f'] });
    const { plan, packsWritten } = await runPrune(repository, quick);
    expect(plan.repack).toMatchObject([{ reason: 'mixed' }]);
    expect(packsWritten).toBe(2);
    const { errors, warnings } = await checkRepository(await lab.open(), { readData: true });
    expect([...errors, ...warnings]).toEqual([]);
    if (noRestic === null) expect(await lab.folder.restic(['check', '--read-data'])).toContain('no errors were found');
  });

  test('on a storage that gets full repacks less, frees what it can, and the next one completes', async () => {
    const lab = await newLab();
    await lab.makeHistory();
    const before = lab.packBytes();
    let packs = 0;
    const storage = hooked(lab.folder.storage(), (call, { type }) => {
      if (call === 'save' && type === 'pack' && ++packs > 0) throw new AppError('STORAGE_FULL', 'No space is left.');
    });
    const result = await runPrune(await lab.open(storage), everything);
    expect(result).toMatchObject({ packsWritten: 0, problems: [expect.stringContaining('full')] });
    expect(result.packsKept).toEqual(result.plan.repack.map(({ packId }) => packId).sort(byPlace(result.packsKept)));
    expect(result.packsRemoved).toBe(result.plan.remove.length);
    expect(lab.packBytes()).toBeLessThanOrEqual(before);
    await lab.expectSound();
    await runPrune(await lab.open(), everything);
    expect(lab.packBytes()).toBeLessThan(1_520_000);
    await lab.expectSound();
  });

  test('without any free space deletes before it writes', async () => {
    const lab = await newLab();
    await lab.makeHistory();
    const repository = await lab.open();
    lab.write('gone', ['only-here']);
    const extra = await lab.backUp(repository);
    await lab.forget(repository, extra);
    const before = lab.packBytes();
    let removedPacks = 0;
    const storage = hooked(lab.folder.storage(), (call, { type }) => {
      if (call === 'remove' && type === 'pack') removedPacks++;
      if (call === 'save' && removedPacks === 0) throw new AppError('STORAGE_FULL', 'No space is left.');
    });
    await expect(runPrune(await lab.open(storage), { ...everything, lock: null })).rejects.toSatisfy((error) =>
      isAppError(error, 'STORAGE_FULL'),
    );
    await lab.expectSound({ withRestic: false });
    await runPrune(await lab.open(storage), { ...everything, lock: null, unsafeRecoverNoFreeSpace: true });
    expect(lab.packBytes()).toBeLessThan(before - 300_000);
    await lab.expectSound();
  });

  test('does not believe a blob that was damaged on its way, and needs only one good copy', async () => {
    const lab = await newLab();
    await lab.makeHistory();
    const storage = lab.folder.storage();
    const loads = new Set<string>();
    const flipping = new Proxy(storage, {
      get(target, key) {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        const call = value.bind(target) as (...args: unknown[]) => unknown;
        if (key !== 'load') return call;
        return async (handle: { type: string; name: string }, range: unknown): Promise<unknown> => {
          const bytes = Buffer.from((await call(handle, range)) as Uint8Array);
          // The first load of each pack comes back with a flipped bit.
          if (handle.type === 'pack' && !loads.has(handle.name)) bytes[bytes.length >> 1]! ^= 1;
          loads.add(handle.name);
          return bytes;
        };
      },
    });
    const { packsKept } = await runPrune(await lab.open(flipping), everything);
    expect(packsKept).toEqual([]);
    await lab.expectSound();
  });
});

/** Orders ids as they are in a list. */
function byPlace(ids: readonly string[]): (a: string, b: string) => number {
  return (a, b) => ids.indexOf(a) - ids.indexOf(b);
}
