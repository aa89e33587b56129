import { chmodSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import type { AppError } from '@varve/base';
import { checkRepository, lockRepository, planPrune, runPrune, startArchive, type Repository } from '@varve/repository';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { hooked, PruneLab, quick } from './prune-lab.ts';
import { resticMissing, ScratchFolder } from './restic-oracle.ts';

vi.setConfig({ testTimeout: 120_000 });

const noRestic = resticMissing();
const everything = { ...quick, maxUnused: { bytes: 0 } } as const;

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

const packFile = (folder: ScratchFolder, id: string): string => join(folder.repo, 'data', id.slice(0, 2), id);

describe('a prune', () => {
  test('gives back the space of what was forgotten, and the rest is as it was', async () => {
    const lab = await labWithHistory();
    const before = lab.packBytes();
    const repository = await lab.open();
    const plan = await planPrune(repository, { maxUnused: { bytes: 0 } });
    expect(plan).toMatchObject({ snapshots: 1, unreferenced: [], missing: [], sizeBytes: before });
    expect(plan.repack.length).toBeGreaterThan(0);
    expect(lab.packBytes()).toBe(before);
    const result = await runPrune(repository, everything);
    expect(result).toMatchObject({ plan, packsKept: [], problems: [] });
    expect(result.packsRemoved).toBe(plan.remove.length + plan.repack.length);
    expect(lab.packBytes()).toBe(before + result.bytesWritten - result.bytesRemoved);
    // What is left are five files of 300 KB.
    expect(lab.packBytes()).toBeGreaterThan(1_500_000);
    expect(lab.packBytes()).toBeLessThan(1_520_000);
    expect(Math.abs(lab.packBytes() - plan.sizeAfterBytes)).toBeLessThan(5_000);
    await lab.expectSound();
    const again = await runPrune(await lab.open(), everything);
    expect(again).toMatchObject({ packsRemoved: 0, packsWritten: 0, exclusiveMs: 0 });
    expect(again.plan).toMatchObject({ remove: [], repack: [], unusedAfterBytes: 0 });
  });

  test('without snapshots leaves nothing', async () => {
    const lab = await labWithHistory();
    const repository = await lab.open();
    await lab.forget(repository, ...(await repository.listSnapshots()));
    await runPrune(repository, quick);
    expect(lab.packBytes()).toBe(0);
    expect(await repository.listFiles('index')).toEqual([]);
    await lab.expectSound();
  });

  test('that tolerates unused data only deletes packs that are not used at all', async () => {
    const lab = await labWithHistory();
    const { packsWritten, plan } = await runPrune(await lab.open(), { ...quick, maxRepackBytes: 0 });
    expect(packsWritten).toBe(0);
    expect(plan.unusedAfterBytes).toBeGreaterThan(0);
    await lab.expectSound();
  });

  test('repacks the same with threads and without', async () => {
    const lab = await labWithHistory();
    const other = await lab.copy();
    onTestFinished(() => other[Symbol.asyncDispose]());
    const one = await runPrune(await lab.open(), { ...everything, workers: 0 });
    const two = await runPrune(await other.open(), { ...everything, workers: 2 });
    expect(two.bytesWritten).toBe(one.bytesWritten);
    await other.expectSound();
  });

  test('is told what to do by a plan, and keeps packs of it that came into use', async () => {
    const lab = await labWithHistory();
    const repository = await lab.open();
    const plan = await planPrune(repository, { maxUnused: { bytes: 0 } });
    lab.write('1', ['a', 'b', 'sub/c', 'sub/d']);
    await lab.backUp(repository);
    const result = await runPrune(repository, { ...quick, plan: JSON.parse(JSON.stringify(plan)) });
    expect(result.packsRemoved).toBeLessThanOrEqual(plan.remove.length + plan.repack.length);
    await lab.expectSound();
    await using foreign = await ScratchFolder.create();
    await expect(runPrune(await foreign.createRepository(), { ...quick, plan })).rejects.toMatchObject({
      code: 'USAGE_INVALID',
    });
  });

  test('removes what an interrupted backup left', async () => {
    const lab = await labWithHistory();
    const repository = await lab.open();
    const { engine } = repository;
    const rest = Buffer.from('the rest of a pack');
    await repository.storage.save({ type: 'pack', name: engine.sha256(rest).toString('hex') }, rest);
    const { plan } = await runPrune(repository, everything);
    expect(plan.unreferenced).toEqual([{ packId: engine.sha256(rest).toString('hex'), sizeBytes: rest.length }]);
    await lab.expectSound();
  });

  test('ends when it is cancelled midway, and a later one completes', async () => {
    for (const type of ['pack', 'index', 'lock'] as const) {
      for (const call of ['save', 'remove'] as const) {
        const lab = await labWithHistory();
        const controller = new AbortController();
        const seen: string[] = [];
        const storage = hooked(lab.folder.storage(), (made, handle) => {
          if (controller.signal.aborted && handle.type !== 'lock') seen.push(`${made} ${handle.type}`);
          if (made === call && handle.type === type) controller.abort();
        });
        const run = runPrune(await lab.open(storage), { ...everything, signal: controller.signal });
        await expect(run).rejects.toMatchObject({ code: 'CANCELLED' });
        // Calls that were made together with the one that was interrupted may be under way already.
        expect(seen.length).toBeLessThan(2);
        await lab.expectSound({ withRestic: type === 'index' && call === 'remove', restores: false });
        await runPrune(await lab.open(), everything);
        await lab.expectSound({ withRestic: false });
        expect(lab.packBytes()).toBeLessThan(1_520_000);
      }
    }
  });
});

describe('a prune beside others', () => {
  test('waits for a backup that began before it, and keeps what that came to use', async () => {
    const lab = await labWithHistory();
    const writer = await lab.open();
    const session = await startArchive(writer, { workers: 1 });
    await session.addBytes({ target: '/early', data: Buffer.from('early') });
    let commit: Promise<unknown> | undefined;
    const pruner = await lab.open();
    // Phase one is done: the backup goes on, and uses again what the plan removes.
    const result = await runPrune(pruner, {
      lock: { ...quick.lock, waitMs: 60_000 },
      maxUnused: { bytes: 0 },
      onPlan: (plan) => {
        expect(plan.repack.length + plan.remove.length).toBeGreaterThan(0);
        lab.write('1', ['a', 'b', 'sub/c', 'sub/d']);
        commit = (async () => {
          await session.addPath({ source: lab.source, target: '/source' });
          return session.commit({ time: new Date(), paths: ['/source'], hostname: 'host', programVersion: 'varve' });
        })();
      },
    });
    const { snapshot } = (await commit) as { snapshot: { id: string } };
    expect(result.packsKept.length).toBeGreaterThan(0);
    const { errors } = await checkRepository(await lab.open(), { readData: true });
    expect(errors).toEqual([]);
    if (noRestic === null) {
      expect(await lab.folder.restic(['check', '--read-data'])).toContain('no errors were found');
      const listed = await lab.folder.restic(['ls', snapshot.id]);
      expect(listed).toContain('/source/sub/d');
    }
  });

  test('is refused when a backup came to use what only a damaged pack has', async () => {
    const lab = await labWithHistory();
    const repository = await lab.open();
    lab.write('gone', ['only-here']);
    const extra = await lab.backUp(repository);
    await lab.forget(repository, extra);
    const { remove } = await planPrune(await lab.open());
    const data = remove.filter(({ sizeBytes }) => sizeBytes > 100_000);
    expect(data).toHaveLength(1);
    for (const { packId } of data) {
      chmodSync(packFile(lab.folder, packId), 0o600);
      truncateSync(packFile(lab.folder, packId), 100_000);
    }
    let savedLocks = 0;
    let id = 'none';
    const storage = hooked(lab.folder.storage(), async (call, handle) => {
      // As a backup would that found those blobs in the index.
      if (call === 'save' && handle.type === 'lock' && savedLocks++ === 1)
        ({ id } = await repository.saveSnapshot(extra));
    });
    const error: unknown = await runPrune(await lab.open(storage), everything).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    expect((error as AppError).message).toContain(`Affected: ${id.slice(0, 8)}`);
    for (const { packId } of remove) expect(lab.files().some((file) => file.endsWith(packId))).toBe(true);
  });

  test('keeps what a backup between its two parts came to use', async () => {
    const lab = await labWithHistory();
    let removedLocks = 0;
    const storage = hooked(lab.folder.storage(), async (call, handle) => {
      // After the shared lock was removed, before the exclusive one is taken.
      if (call !== 'save' || handle.type !== 'lock' || removedLocks++ !== 1) return;
      lab.write('1', ['a', 'b', 'sub/c', 'sub/d']);
      await lab.backUp(await lab.open());
    });
    const result = await runPrune(await lab.open(storage), everything);
    expect(result.packsKept.length).toBeGreaterThan(0);
    expect(lab.saved).toHaveLength(2);
    await lab.expectSound();
    await runPrune(await lab.open(), everything);
    await lab.expectSound();
  });

  test('lets backups run while it deletes, and they do not use what goes', async () => {
    const lab = await labWithHistory();
    let hasRun = false;
    const storage = hooked(lab.folder.storage(), async (call, handle) => {
      if (call !== 'remove' || handle.type !== 'pack' || hasRun) return;
      hasRun = true;
      lab.write('1', ['a', 'b', 'sub/c', 'sub/d']);
      await lab.backUp(await lab.open());
    });
    await runPrune(await lab.open(storage), everything);
    expect(hasRun).toBe(true);
    await lab.expectSound();
  });

  test('gives up when others do not make way, and the next one need not repack again', async () => {
    const lab = await labWithHistory();
    const repository = await lab.open();
    {
      await using lock = await lockRepository(await lab.open(), { exclusive: false });
      expect(lock.signal.aborted).toBe(false);
      const error: unknown = await runPrune(repository, everything).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: 'REPOSITORY_LOCKED' });
      expect((error as AppError).hint).toContain('--retry-lock');
      await lab.expectSound({ withRestic: false, locks: 1 });
    }
    const result = await runPrune(repository, everything);
    expect(result).toMatchObject({ packsWritten: 0 });
    expect(result.plan.duplicate.blobs).toBeGreaterThan(0);
    expect(lab.packBytes()).toBeLessThan(1_520_000);
    await lab.expectSound();
  });

  test('plans anew when somebody else pruned between its two parts', async () => {
    const lab = await labWithHistory();
    let savedLocks = 0;
    const plans: number[] = [];
    const storage = hooked(lab.folder.storage(), async (call, handle) => {
      if (call !== 'save' || handle.type !== 'lock' || savedLocks++ !== 1) return;
      if (noRestic === null) await lab.folder.restic(['prune', '--max-unused', '0']);
      else await runPrune(await lab.open(), everything);
    });
    const onPlan = (plan: { repack: readonly unknown[] }): void => void plans.push(plan.repack.length);
    await runPrune(await lab.open(storage), { ...everything, onPlan });
    expect(plans).toHaveLength(2);
    await lab.expectSound();
  });

  test('deletes no pack of a backup that is running and has not listed it yet', async () => {
    const lab = await labWithHistory();
    lab.write(
      '4',
      Array.from({ length: 70 }, (_, number) => `many/${number}`),
    );
    const stored = Promise.withResolvers<void>();
    const afterCall = (_call: string, { type }: { type: string }): void => {
      if (type === 'pack') stored.resolve();
    };
    const writer = await lab.open(hooked(lab.folder.storage(), () => {}, afterCall));
    const session = await startArchive(writer, { workers: 1, packSizeBytes: 4_000_000 });
    await session.addPath({ source: lab.source, target: '/source' });
    await stored.promise;
    expect((await planPrune(await lab.open())).unreferenced.length).toBeGreaterThan(0);
    await expect(runPrune(await lab.open(), everything)).rejects.toMatchObject({ code: 'REPOSITORY_LOCKED' });
    await session.commit({ time: new Date(), paths: ['/source'], hostname: 'h', programVersion: 'varve' });
    if (noRestic === null) expect(await lab.folder.restic(['check', '--read-data'])).toContain('no errors were found');
  });
});

describe('a prune of a damaged repository', () => {
  async function expectRefused(lab: PruneLab, repository: Repository, part: string): Promise<void> {
    const before = lab.files();
    const error: unknown = await runPrune(repository, everything).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'REPOSITORY_DAMAGED' });
    const { message, hint } = error as AppError;
    expect(message).toContain(part);
    expect(message).toContain('Nothing was removed');
    expect(hint).toContain('repair index');
    expect(lab.files()).toEqual(before);
  }

  async function neededPack(lab: PruneLab): Promise<string> {
    const plan = await planPrune(await lab.open(), { maxUnused: { bytes: 0 } });
    const leaving = new Set([...plan.repack, ...plan.remove].map(({ packId }) => packId));
    const packs = await (await lab.open()).listFiles('pack');
    const pack = packs.find(({ name, sizeBytes }) => !leaving.has(name) && sizeBytes > 300_000);
    return pack!.name;
  }

  test('is refused when a pack that is needed is missing, and names the snapshots', async () => {
    const lab = await labWithHistory();
    const pack = await neededPack(lab);
    rmSync(packFile(lab.folder, pack));
    const repository = await lab.open();
    await expectRefused(lab, repository, `pack ${pack} is missing`);
    const [snapshot] = await repository.listSnapshots();
    await expectRefused(lab, repository, snapshot!.id.slice(0, 8));
  });

  test('is refused when a pack that is needed is too short', async () => {
    const lab = await labWithHistory();
    const pack = await neededPack(lab);
    chmodSync(packFile(lab.folder, pack), 0o600);
    truncateSync(packFile(lab.folder, pack), 100_000);
    await expectRefused(lab, await lab.open(), 'has 100000 bytes instead of');
  });

  test('is refused when a used blob is in no index file', async () => {
    const lab = await labWithHistory();
    const [index] = (await (await lab.open()).listFiles('index')).toSorted((a, b) => b.sizeBytes - a.sizeBytes);
    rmSync(join(lab.folder.repo, 'index', index!.name));
    await expectRefused(lab, await lab.open(), 'which is not in the index');
  });

  test('is refused when an index file cannot be read', async () => {
    const lab = await labWithHistory();
    const [index] = await (await lab.open()).listFiles('index');
    chmodSync(join(lab.folder.repo, 'index', index!.name), 0o600);
    truncateSync(join(lab.folder.repo, 'index', index!.name), 100);
    await expectRefused(lab, await lab.open(), index!.name);
  });

  test('does not need packs that are missing and not used', async () => {
    const lab = await labWithHistory();
    const repository = await lab.open();
    await lab.forget(repository, ...(await repository.listSnapshots()));
    lab.write('9', ['other']);
    for (const name of ['kept', 'a', 'sub', 'new']) rmSync(join(lab.source, name), { recursive: true });
    await lab.backUp(repository);
    const { remove } = await planPrune(repository);
    rmSync(packFile(lab.folder, remove[0]!.packId));
    const { plan } = await runPrune(repository, everything);
    expect(plan.missing).toEqual([remove[0]!.packId]);
    await lab.expectSound();
  });
});
