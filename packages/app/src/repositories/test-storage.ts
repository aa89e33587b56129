// “Test this storage”: does the place of a repository do what a repository relies on? One test at a time in this process.

import { AppError, type Clock } from '@varve/base';
import type { StorageCheck } from '@varve/contract';
import { openStorage, storageChecks, type StorageCheck as Found } from '@varve/storage';
import type { RepositoryPlace } from '../facade.ts';
import { assertNoPassword } from './location.ts';
import { storageOptionsOf } from './repository-store.ts';

export class StorageTester {
  readonly #clock: Clock;
  #isBusy = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Yields each check as it ends. APP_BUSY, SETTINGS_INVALID, STORAGE_LOCATION_INVALID, USAGE_INVALID before the first. */
  async *test(place: RepositoryPlace, signal: AbortSignal | undefined): AsyncGenerator<StorageCheck> {
    assertNoPassword(place.location);
    if (this.#isBusy) {
      throw new AppError('APP_BUSY', 'The storage is being tested already.', {
        hint: 'Wait until that test has ended.',
      });
    }
    const storage = openStorage(place.location, storageOptionsOf(place));
    this.#isBusy = true;
    try {
      for await (const check of storageChecks(storage, { signal, clock: this.#clock })) yield describe(check);
    } finally {
      this.#isBusy = false;
      await storage.close();
    }
  }
}

function describe(check: Found): StorageCheck {
  return { ...check, hint: check.hint ?? null, code: check.code ?? null };
}
