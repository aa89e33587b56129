// Removes files of a repository.

import { isAppError, mapConcurrently, throwIfAborted, type OnProgress } from '@varve/base';
import type { FileHandle } from '@varve/storage';
import type { Repository } from '../repository.ts';

export interface RemoverOptions {
  readonly signal: AbortSignal;
  readonly onProgress?: OnProgress | undefined;
  /** Files to be removed in all, for the progress. */
  readonly total: number;
}

/** Removes files, several at once; those that are gone already count as removed. */
export class Remover {
  readonly #repository: Repository;
  readonly #options: RemoverOptions;
  #done = 0;

  constructor(repository: Repository, options: RemoverOptions) {
    this.#repository = repository;
    this.#options = options;
  }

  async remove(handles: readonly FileHandle[]): Promise<void> {
    const { storage } = this.#repository;
    const { signal, onProgress, total } = this.#options;
    await mapConcurrently(handles, storage.connections, async (handle) => {
      throwIfAborted(signal);
      await storage.remove(handle, { signal }).catch((error: unknown) => {
        if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
      });
      const current = `${handle.type} ${handle.name.slice(0, 8)}`;
      onProgress?.({ filesDone: ++this.#done, filesTotal: total, bytesDone: 0, current });
    });
  }
}
