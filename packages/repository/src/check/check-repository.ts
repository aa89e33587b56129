// Checks a repository: that everything a restore would need is there (structure), and with `readData` that every stored byte is
// what it was. Problems are collected, not thrown; only what stops the check itself (cancelled, storage unreachable) is.

import { availableParallelism } from 'node:os';
import { AppError, isAppError, mapConcurrently, messageOf, throwIfAborted, type OnProgress } from '@varve/base';
import type { BlobIndex } from '../blob-index/blob-index.ts';
import { isDamage, type Repository } from '../repository.ts';
import { decodeConfig } from '../store/config.ts';
import { decodeKeyFile } from '../store/key-file.ts';
import { comparePacks, readIndexFiles } from './check-index.ts';
import { checkTrees } from './check-trees.ts';
import { Findings, type Finding } from './findings.ts';
import { VerifyPool } from './verify-pool.ts';
import { verifyPack, type PackToVerify } from './verify-pack.ts';

export interface CheckOptions {
  /** Reads and verifies every pack. */
  readonly readData?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Threads that verify packs; chosen by size and machine when absent, 0 for none beside this one. */
  readonly workers?: number | undefined;
}

export interface CheckReport {
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
  /** Bytes of packs read by `readData`. */
  readonly bytesRead: number;
}

/** Less is verified faster than threads start. */
const workersFromBytes = 64 * 1024 * 1024;
const mostWorkers = 4;

/** The caller holds a lock: shared is enough, as long as nobody prunes. */
export async function checkRepository(repository: Repository, options: CheckOptions = {}): Promise<CheckReport> {
  const { signal, onProgress } = options;
  const findings = new Findings();
  await checkSmallFiles(repository, findings, signal);
  // Snapshots before the index, the index before the packs: what a backup writes meanwhile is then never missing.
  const { snapshots, failures } = await repository.readSnapshots({ signal, fresh: true });
  for (const { id, error } of failures) findings.error('SNAPSHOT_DAMAGED', id, messageOf(error));
  const index = await readIndexFiles(repository, findings, signal);
  const stored = new Map<string, number>();
  for await (const { name, sizeBytes } of repository.storage.list('pack', { signal })) stored.set(name, sizeBytes);
  comparePacks(index, stored, { findings, version: repository.version });
  const onTrees = (trees: number): void => onProgress?.({ filesDone: trees, bytesDone: 0, current: 'folders' });
  const blobs = await checkTrees(snapshots, { repository, index, findings, signal, onTrees });
  const bytesRead = options.readData ? await readPacks(repository, { ...options, index, stored, findings }) : 0;
  const { errors, warnings, errorCount, warningCount } = findings;
  return {
    errors,
    warnings,
    errorCount,
    warningCount,
    packs: stored.size,
    blobs,
    snapshots: snapshots.length,
    bytesRead,
  };
}

async function checkSmallFiles(
  repository: Repository,
  findings: Findings,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { storage, engine, cipher } = repository;
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
  for await (const { name, sizeBytes } of storage.list('lock', { signal })) {
    if (sizeBytes === 0) continue;
    await collect(
      (reason) => findings.warn('LOCK_UNREADABLE', name, `Lock file ${name} cannot be read: ${reason}`),
      async () => {
        await repository.loadUnpacked('lock', name, { signal }).catch((error: unknown) => {
          if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
        });
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
  },
): Promise<number> {
  const { index, stored, findings, signal, onProgress } = check;
  const packsTotal = index.packCount;
  const bytesTotal = stored.values().reduce((sum, sizeBytes) => sum + sizeBytes, 0);
  const threads = check.workers ?? (bytesTotal < workersFromBytes ? 0 : Math.min(mostWorkers, availableParallelism()));
  await using pool = threads > 0 ? new VerifyPool(repository.key, threads) : null;
  const verify = (pack: PackToVerify): Promise<Finding[]> | Finding[] =>
    pool?.verify(pack) ?? verifyPack(pack, repository);
  let filesDone = 0;
  let bytesDone = 0;
  await mapConcurrently(index.packs(), threads + 1, async ({ packId, blobs }) => {
    throwIfAborted(signal);
    // A missing pack was reported by the comparison with the list.
    if (!stored.has(packId)) return;
    await collect(
      (reason) => findings.error('PACK_DAMAGED', packId, reason),
      async () => {
        const bytes = await repository.storage.load({ type: 'pack', name: packId }, { signal });
        bytesDone += bytes.length;
        for (const { code, id, message } of await verify({ packId, bytes, blobs })) findings.error(code, id, message);
      },
    );
    filesDone++;
    onProgress?.({ filesDone, filesTotal: packsTotal, bytesDone, bytesTotal, current: `pack ${packId.slice(0, 8)}` });
  });
  return bytesDone;
}
