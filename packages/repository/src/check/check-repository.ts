// Checks a repository: that everything a restore would need is there (structure), and with `readData` that every stored byte is
// what it was. Problems are collected, not thrown; only what stops the check itself (cancelled, storage unreachable) is.

import { availableParallelism } from 'node:os';
import {
  AppError,
  isAppError,
  mapConcurrently,
  messageOf,
  systemClock,
  throwIfAborted,
  type Clock,
  type OnProgress,
} from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import { decodeLock, lockTimeMs } from '../lock/lock-file.ts';
import { isDamage, type Repository } from '../repository.ts';
import { decodeConfig } from '../store/config.ts';
import { decodeKeyFile } from '../store/key-file.ts';
import { findAffectedFiles, type AffectedFiles } from './affected-files.ts';
import { comparePacks, readIndexFiles } from './check-index.ts';
import { checkTrees } from './check-trees.ts';
import { choosePacks, type DataSubset } from './data-subset.ts';
import { Findings, type Finding, type FindingCode } from './findings.ts';
import { LostBlobs } from './lost-blobs.ts';
import { ownBytes, SpareBuffers } from '../threads/spare-buffers.ts';
import { packsPerThread, VerifyPool } from './verify-pool.ts';
import { verifyPack, type PackToVerify } from './verify-pack.ts';

export interface CheckOptions {
  /** Reads and verifies every pack. */
  readonly readData?: boolean | undefined;
  /** Reads and verifies some packs; see `parseDataSubset`. */
  readonly readDataSubset?: DataSubset | undefined;
  readonly clock?: Clock | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Threads that verify packs; chosen by size and machine when absent, 0 for none beside this one. */
  readonly workers?: number | undefined;
}

export interface CheckReport extends AffectedFiles {
  /** Damage: something cannot be restored or verified. At most 1000 are kept. */
  readonly errors: readonly Finding[];
  /** Oddities that lose nothing. At most 1000 are kept. */
  readonly warnings: readonly Finding[];
  readonly errorCount: number;
  readonly warningCount: number;
  readonly packs: number;
  /** Different blobs that the snapshots refer to. */
  readonly blobs: number;
  readonly snapshots: number;
  /** Bytes of packs read and verified. */
  readonly bytesRead: number;
  /** Packs that hold damage or are cut short: what `planPackRepair` salvages. */
  readonly brokenPacks: readonly string[];
  /** Whether `planIndexRepair` has something to mend. */
  readonly needsIndexRepair: boolean;
}

/** Damage that a file of a snapshot may have suffered from. */
const reachesFiles: readonly FindingCode[] = [
  'INDEX_DAMAGED',
  'PACK_MISSING',
  'PACK_SIZE_WRONG',
  'PACK_DAMAGED',
  'BLOB_DAMAGED',
  'TREE_MISSING',
  'TREE_DAMAGED',
  'BLOB_MISSING',
];
const mendedByIndexRepair: readonly FindingCode[] = [
  'INDEX_DAMAGED',
  'INDEX_DUPLICATE',
  'PACK_MISSING',
  'PACK_HEADER_DIFFERENT',
];
const mostAffectedListed = 10_000;

/** Less is verified faster than threads start. */
const workersFromBytes = 64 * 1024 * 1024;
const mostWorkers = 4;
/** Clocks of hosts that share a repository may differ by so much. */
const clockToleranceMs = 5 * 60_000;

/** The caller holds a lock: shared is enough, as long as nobody prunes. */
export async function checkRepository(repository: Repository, options: CheckOptions = {}): Promise<CheckReport> {
  const { signal, onProgress } = options;
  const findings = new Findings();
  await checkSmallFiles(repository, findings, options);
  // Snapshots before the index, the index before the packs: what a backup writes meanwhile is then never missing.
  const { snapshots, failures } = await repository.readSnapshots({ signal, fresh: true });
  for (const { id, error } of failures) findings.error('SNAPSHOT_DAMAGED', id, messageOf(error));
  const index = await readIndexFiles(repository, findings, signal);
  const stored = new Map<string, number>();
  for await (const { name, sizeBytes } of repository.storage.list('pack', { signal })) stored.set(name, sizeBytes);
  const lost = new LostBlobs(index);
  comparePacks(index, stored, { findings, lost, version: repository.version });
  const onTrees = (trees: number): void => onProgress?.({ filesDone: trees, bytesDone: 0, current: 'folders' });
  const inPacks = new Findings();
  // Both keep processors busy, and a machine has several. Of their progress that of the packs has an end to tell.
  const readsPacks = options.readData === true || options.readDataSubset !== undefined;
  const [blobs, bytesRead] = await bothOf(
    signal,
    (either) => {
      const walk = { repository, index, findings, signal: either };
      return checkTrees(snapshots, readsPacks ? walk : { ...walk, onTrees });
    },
    (either) => readPacks(repository, { ...options, signal: either, index, stored, findings: inPacks, lost }),
  );
  findings.add(inPacks);
  const search = { repository, index, lost, signal, onTrees, mostListed: mostAffectedListed };
  const affected = findings.has(reachesFiles) ? await findAffectedFiles(snapshots, search) : nothingAffected;
  const { errors, warnings, errorCount, warningCount } = findings;
  // Packs that no index file lists matter only when something is not in the index.
  const isIncomplete =
    findings.has(['TREE_MISSING', 'BLOB_MISSING']) && stored.keys().some((packId) => !index.hasPack(packId));
  return {
    errors,
    warnings,
    errorCount,
    warningCount,
    packs: stored.size,
    blobs,
    snapshots: snapshots.length,
    bytesRead,
    brokenPacks: [...findings.brokenPacks],
    needsIndexRepair: isIncomplete || findings.has(mendedByIndexRepair),
    ...affected,
  };
}

/** Runs two parts at once, each to its end. When one fails the other is told to stop, and the first failure is thrown. */
async function bothOf<A, B>(
  signal: AbortSignal | undefined,
  first: (signal: AbortSignal) => Promise<A>,
  second: (signal: AbortSignal) => Promise<B>,
): Promise<[A, B]> {
  const ending = new AbortController();
  const either = AbortSignal.any([ending.signal, ...(signal ? [signal] : [])]);
  const failures: unknown[] = [];
  const guarded = async <T>(part: (signal: AbortSignal) => Promise<T>): Promise<T> => {
    try {
      return await part(either);
    } catch (error) {
      failures.push(error);
      ending.abort();
      throw error;
    }
  };
  const parts = [guarded(first), guarded(second)] as const;
  await Promise.allSettled(parts);
  if (failures.length > 0) throw failures[0];
  return Promise.all(parts);
}

const nothingAffected: AffectedFiles = { affected: [], affectedCount: 0, affectedSnapshots: [] };

async function checkSmallFiles(repository: Repository, findings: Findings, options: CheckOptions): Promise<void> {
  const { storage, engine, cipher } = repository;
  const { signal } = options;
  await collect(
    () => findings.error('CONFIG_DAMAGED', '', 'The config cannot be read: nothing opens the repository any more.'),
    async () => {
      decodeConfig(
        cipher.open(await storage.load({ type: 'config', name: '' }, { signal }), 'The config of the repository'),
      );
    },
  );
  for await (const { name } of storage.list('key', { signal })) {
    await collect(
      (reason) => findings.error('KEY_DAMAGED', name, `Key file ${name} is damaged: ${reason}`),
      async () => {
        const bytes = await storage.load({ type: 'key', name }, { signal });
        decodeKeyFile(bytes, name);
        const hash = engine.sha256(bytes).toString('hex');
        if (hash !== name)
          throw new AppError('REPOSITORY_DAMAGED', 'its content does not have the hash that is its name.');
      },
    );
  }
  await checkLocks(repository, findings, options);
}

/** Locks that cannot be read, or claim to be from the future, keep others out until somebody removes them. */
async function checkLocks(repository: Repository, findings: Findings, options: CheckOptions): Promise<void> {
  const { signal } = options;
  const nowMs = (options.clock ?? systemClock).now().getTime();
  for await (const { name, sizeBytes } of repository.storage.list('lock', { signal })) {
    if (sizeBytes === 0) continue;
    await collect(
      (reason) => findings.warn('LOCK_UNREADABLE', name, `Lock file ${name} cannot be read: ${reason}`),
      async () => {
        const json = await repository.loadUnpacked('lock', name, { signal }).catch((error: unknown) => {
          if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
          return null;
        });
        if (!json) return;
        const lock = decodeLock(json);
        if (!lock) throw new AppError('REPOSITORY_DAMAGED', 'it is not a lock.');
        if (lockTimeMs(lock) < nowMs + clockToleranceMs) return;
        const message = `Lock file ${name} is from the future (${lock.time}): it never becomes stale. Compare the clocks of the hosts; remove it with unlock --remove-all when nothing else runs.`;
        findings.warn('LOCK_IN_FUTURE', name, message);
      },
    );
  }
}

async function collect(report: (reason: string) => void, task: () => Promise<void>): Promise<void> {
  try {
    await task();
  } catch (error) {
    const isReportable = isDamage(error) || isAppError(error, 'REPOSITORY_VERSION_UNSUPPORTED');
    if (!isReportable) throw error;
    report(messageOf(error));
  }
}

async function readPacks(
  repository: Repository,
  check: CheckOptions & {
    readonly index: BlobIndex;
    readonly stored: ReadonlyMap<string, number>;
    readonly findings: Findings;
    readonly lost: LostBlobs;
  },
): Promise<number> {
  const { index, stored, findings, lost, signal, onProgress } = check;
  // A missing pack was reported by the comparison with the list; one in no index file is nobody's.
  const indexed = new Map(stored.entries().filter(([name]) => index.hasPack(name)));
  const wanted = wantedPacks(indexed, check);
  const filesTotal = wanted.size;
  if (filesTotal === 0) return 0;
  const bytesTotal = wanted.keys().reduce((sum, name) => sum + (stored.get(name) ?? 0), 0);
  const threads = check.workers ?? (bytesTotal < workersFromBytes ? 0 : Math.min(mostWorkers, availableParallelism()));
  const atOnce = threads === 0 ? 1 : threads * packsPerThread;
  const spare = new SpareBuffers(atOnce);
  await using pool = threads > 0 ? new VerifyPool(repository.key, { threads, spare }) : null;
  const verify = (pack: PackToVerify): Promise<Finding[]> | Finding[] =>
    pool?.verify(pack) ?? verifyPack(pack, repository);
  let filesDone = 0;
  let bytesDone = 0;
  const chosen = index.packs().filter(({ packId }) => wanted.has(packId));
  await mapConcurrently(chosen, atOnce, async ({ packId, blobs }) => {
    throwIfAborted(signal);
    await collect(
      (reason) => {
        lost.addPack(packId);
        findings.error('PACK_DAMAGED', packId, reason);
      },
      async () => {
        const buffer = spare.take(stored.get(packId) ?? 0);
        const handle = { type: 'pack', name: packId } as const;
        const bytes = ownBytes(await repository.storage.load(handle, { signal, fresh: true, buffer }), buffer);
        bytesDone += bytes.length;
        const found = await verify({ packId, bytes, blobs });
        for (const { code, id, message } of found) findings.error(code, id, message);
        const bad = new Set(found.filter(({ code }) => code === 'BLOB_DAMAGED').map(({ id }) => id));
        if (bad.size > 0) findings.brokenPacks.add(packId);
        lost.addCopies(
          packId,
          blobs.filter(({ id }) => bad.has(id)),
          blobs,
        );
      },
    );
    filesDone++;
    onProgress?.({ filesDone, filesTotal, bytesDone, bytesTotal, current: `pack ${packId.slice(0, 8)}` });
  });
  return bytesDone;
}

function wantedPacks(stored: ReadonlyMap<string, number>, check: CheckOptions): ReadonlySet<string> {
  if (check.readData) return new Set(stored.keys());
  return check.readDataSubset === undefined ? new Set() : choosePacks(stored, check.readDataSubset);
}
