// Removes files of a repository.

import { isAppError, mapConcurrently, throwIfAborted, type OnProgress } from '@varve/base';
import type { Repository } from '../repository.ts';
import type { PlannedPack } from './prune-plan.ts';

export interface RemoverOptions {
  readonly signal: AbortSignal | undefined;
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

  /** Removes packs, or index files by their names. */
  async remove(type: 'pack' | 'index', files: readonly (PlannedPack | string)[]): Promise<void> {
    const { storage } = this.#repository;
    const { signal, onProgress, total } = this.#options;
    await mapConcurrently(files, storage.connections, async (file) => {
      throwIfAborted(signal);
      const name = typeof file === 'string' ? file : file.packId;
      await storage.remove({ type, name }, { signal }).catch((error: unknown) => {
        if (!isAppError(error, 'STORAGE_FILE_NOT_FOUND')) throw error;
      });
      const current = `${type} ${name.slice(0, 8)}`;
      onProgress?.({ filesDone: ++this.#done, filesTotal: total, bytesDone: 0, current });
    });
  }
}
