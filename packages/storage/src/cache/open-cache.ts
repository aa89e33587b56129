// Which folder holds the caches, and what a repository with a cache reads from and writes to.

import { isAbsolute, join, resolve } from 'node:path';
import type { Clock } from '@varve/base';
import type { Storage } from '../contract.ts';
import type { Environment } from '../open-options.ts';
import { CachedStorage } from '../wrappers/cached-storage.ts';
import { FileCache } from './file-cache.ts';

/**
 * The folder of all caches that the environment names: VARVE_CACHE_DIR, `varve` in RESTIC_CACHE_DIR (beside what restic keeps
 * there), in XDG_CACHE_HOME, or in `.cache` of HOME; null when none of them is set. Relative ones are relative to `cwd`.
 */
export function cacheRootOf(environment: Environment, cwd: string): string | null {
  const { VARVE_CACHE_DIR: own, RESTIC_CACHE_DIR: restic, XDG_CACHE_HOME: xdg, HOME: home } = environment;
  if (own) return resolve(cwd, own);
  if (restic) return resolve(cwd, restic, 'varve');
  if (xdg && isAbsolute(xdg)) return join(xdg, 'varve');
  return home ? join(resolve(cwd, home), '.cache', 'varve') : null;
}

export interface OpenCacheOptions {
  /** Where the repository is; stays open. */
  readonly storage: Storage;
  /** The folder of all caches. */
  readonly root: string;
  /** 64 hex digits. */
  readonly repositoryId: string;
  readonly clock?: Clock | undefined;
}

/**
 * The storage with the repository's cache before it, and the place for digests. A folder of this machine is as near as its
 * cache would be, so its files are not kept twice. STORAGE_DENIED when the folder of the caches cannot be used.
 */
export async function openCache(options: OpenCacheOptions): Promise<{ storage: Storage; digests: FileCache }> {
  const { storage, root, repositoryId, clock } = options;
  const digests = await FileCache.open({ root, repositoryId, clock });
  return { storage: isAbsolute(storage.location) ? storage : new CachedStorage(storage, digests), digests };
}
