// Starts the making of a snapshot: the lock, the index, the threads.

import { throwIfAborted } from '@varve/base';
import { ExcludePatterns } from '../filesystem/exclude-patterns.ts';
import { lockRepository, type RepositoryLock } from '../lock/repository-lock.ts';
import type { Repository } from '../repository.ts';
import type { StartArchiveOptions } from './archive-options.ts';
import { makeArchiveThreads } from './archive-pool.ts';
import { ArchiveSession } from './archive-session.ts';

/**
 * Starts a snapshot: takes a shared lock and reads the index. REPOSITORY_LOCKED, REPOSITORY_VERSION_UNSUPPORTED for
 * format 1. Dispose of the session in any case; disposing without a commit aborts it.
 */
export async function startArchive(repository: Repository, options: StartArchiveOptions = {}): Promise<ArchiveSession> {
  repository.assertWritable();
  const { signal } = options;
  // Patterns that cannot be understood fail here and not in a thread.
  void new ExcludePatterns(options.excludes ?? []);
  const threads = makeArchiveThreads(options.workers);
  if (options.startsThreads) threads.start();
  let lock: RepositoryLock | null = null;
  try {
    // A lock has to wait; the most of the index is read meanwhile. What fails now fails again below.
    const early = repository.knowsIndex ? null : repository.loadIndex({ signal }).catch(() => {});
    try {
      lock = options.dryRun ? null : await takeLock(repository, options);
    } finally {
      await early;
    }
    await repository.loadIndex({ signal });
    throwIfAborted(signal);
    return new ArchiveSession(repository, { lock, threads }, options);
  } catch (error) {
    await threads.close();
    await lock?.release().catch(() => {});
    throw error;
  }
}

function takeLock(repository: Repository, options: StartArchiveOptions): Promise<RepositoryLock> {
  const { lockOwner, lockWaitMs: waitMs, signal } = options;
  return lockRepository(repository, { ...lockOwner, exclusive: false, signal, waitMs });
}
