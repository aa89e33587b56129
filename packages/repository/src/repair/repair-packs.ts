// Saves what is good in damaged packs: their good blobs go into new packs, the index forgets the damaged ones, a copy of each is
// kept outside of the repository, and only then are they removed. A crash leaves blobs that are stored twice.

import { AppError, isAppError, throwIfAborted, type OnProgress } from '@varve/base';
import { BlobIndex } from '../blob-index/blob-index.ts';
import { scanIndexFiles, type IndexScan } from '../blob-index/index-scan.ts';
import { findAffectedFiles, type AffectedFiles } from '../check/affected-files.ts';
import { isHexId, type BlobType } from '../pack/blob-type.ts';
import { PackUploader } from '../pack/pack-uploader.ts';
import type { CallOptions, Repository } from '../repository.ts';
import { BlobSaver } from './blob-saver.ts';
import { rewriteIndexFiles } from './rewrite-index.ts';
import { keyOf, salvagePacks, type DamagedPack } from './salvage-packs.ts';

export interface PackRepairOptions extends CallOptions {
  /** Names of packs, 64 hex digits each. */
  readonly packIds: readonly string[];
  readonly onProgress?: OnProgress | undefined;
}

/** What a repair of packs would do; plain data. The affected files are those that lose content by it. */
export interface PackRepairPlan extends AffectedFiles {
  readonly packs: readonly DamagedPack[];
  readonly salvagedBlobs: number;
  readonly salvagedBytes: number;
  readonly lostBlobs: number;
}

export interface PackRepairRunOptions extends CallOptions {
  /** Keeps the file of a damaged pack; called before anything is changed, again after an interruption. */
  readonly keepCopy: (packId: string, bytes: Uint8Array) => Promise<void>;
  readonly onProgress?: OnProgress | undefined;
}

export interface PackRepairResult {
  readonly packsWritten: number;
  readonly packsRemoved: number;
}

export interface PackRepair {
  readonly plan: PackRepairPlan;
  /** Carries the plan out. Can be repeated after an interruption: plan again. */
  run(options: PackRepairRunOptions): Promise<PackRepairResult>;
}

const mostAffectedListed = 10_000;

/**
 * Reads the packs and finds out what is good in them. REPOSITORY_DAMAGED when an index file cannot be read (repair the index
 * before), STORAGE_FILE_NOT_FOUND when neither storage nor index know any of the packs. The caller holds an exclusive lock from before
 * the plan until after the run.
 */
export async function planPackRepair(repository: Repository, options: PackRepairOptions): Promise<PackRepair> {
  const { signal, onProgress } = options;
  const packIds = [...new Set(options.packIds)];
  if (!packIds.every(isHexId)) {
    throw new AppError('USAGE_INVALID', 'The name of a pack has 64 hex digits, all of which are needed.');
  }
  const { snapshots } = await repository.readSnapshots({ signal });
  const scan = await readableIndex(repository, signal);
  const salvage = { scan, packIds, signal };
  let salvagedBlobs = 0;
  let salvagedBytes = 0;
  const packs = await salvagePacks(repository, salvage, {
    onGood: ({ plaintext }) => {
      salvagedBlobs++;
      salvagedBytes += plaintext.length;
    },
    onPack: (done) => onProgress?.({ filesDone: done, filesTotal: packIds.length, bytesDone: 0, current: 'packs' }),
  });
  if (packs.every(({ state }) => state === 'unknown')) {
    const [first = ''] = packIds;
    throw new AppError('STORAGE_FILE_NOT_FOUND', `There is no pack ${first}, and no index file lists one.`, {
      hint: 'Take the names of damaged packs from a check with --read-data.',
    });
  }
  const lost = new Set(packs.flatMap((pack) => pack.lost.map(keyOf)));
  const search = {
    repository,
    index: scan.index,
    lost: { reasonOf: (type: BlobType, id: string) => (lost.has(keyOf({ type, id })) ? ('damaged' as const) : null) },
    mostListed: mostAffectedListed,
    signal,
  };
  const affected = await findAffectedFiles(lost.size === 0 ? [] : snapshots, search);
  const damaged = packs.filter(({ state }) => state === 'damaged' || state === 'missing');
  return {
    plan: { packs, salvagedBlobs, salvagedBytes, lostBlobs: lost.size, ...affected },
    run: (runOptions) => runRepair(repository, { ...runOptions, scan, damaged }),
  };
}

async function readableIndex(repository: Repository, signal: AbortSignal | undefined): Promise<IndexScan> {
  const scan = await scanIndexFiles(repository, signal);
  const [damaged] = scan.damaged;
  if (!damaged) return scan;
  throw new AppError('REPOSITORY_DAMAGED', damaged.reason, {
    hint: 'Repair the index before the packs: varve repo repair index.',
  });
}

async function runRepair(
  repository: Repository,
  repair: PackRepairRunOptions & { readonly scan: IndexScan; readonly damaged: readonly DamagedPack[] },
): Promise<PackRepairResult> {
  repository.assertWritable();
  const { scan, damaged, keepCopy, signal, onProgress } = repair;
  const { storage } = repository;
  for (const { packId, state } of damaged) {
    throwIfAborted(signal);
    if (state === 'damaged')
      await keepCopy(packId, await storage.load({ type: 'pack', name: packId }, { signal, fresh: true }));
  }
  const packIds = damaged.map(({ packId }) => packId);
  const uploader = new PackUploader(repository, { signal });
  const writer = new BlobSaver(repository, uploader);
  try {
    const packs = await salvagePacks(
      repository,
      { scan, packIds, signal },
      {
        onGood: ({ type, id, plaintext }) => writer.add(type, id, plaintext),
        onPack: (done) => onProgress?.({ filesDone: done, filesTotal: packIds.length, bytesDone: 0, current: 'packs' }),
      },
    );
    refuseNewLoss(damaged, packs);
    await writer.flush();
  } finally {
    await uploader.settle();
  }
  await rewriteIndexFiles(repository, { scan, fresh: new BlobIndex(), dropped: new Set(packIds) }, { signal });
  let packsRemoved = 0;
  for (const { packId, state } of damaged) {
    throwIfAborted(signal);
    if (state !== 'damaged') continue;
    await storage.remove({ type: 'pack', name: packId }, { signal }).catch((error: unknown) => {
      if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
    });
    packsRemoved++;
  }
  return { packsWritten: uploader.packsStored, packsRemoved };
}

/** A disk that reads well now and then must not cost what was shown as saved. */
function refuseNewLoss(planned: readonly DamagedPack[], found: readonly DamagedPack[]): void {
  const expected = new Set(planned.flatMap((pack) => pack.lost.map(keyOf)));
  const unexpected = found.flatMap((pack) => pack.lost).filter((blob) => !expected.has(keyOf(blob)));
  const [first] = unexpected;
  if (!first) return;
  throw new AppError(
    'REPOSITORY_DAMAGED',
    `${unexpected.length} blobs that could be read for the plan cannot be read any more, such as ${first.type} blob ${first.id}. No pack was removed.`,
    { hint: 'The storage does not read the same each time: look at it, then start again.' },
  );
}
