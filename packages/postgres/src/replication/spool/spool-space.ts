// The room that a spool may take, and the waits when there is none: on the disk, or within its own limit.

import { sleep, type AppError } from '@varve/base';
import { failureOf, isNoRoom } from './spool-failure.ts';

/** Why a spool waits: no room on the disk, or more in it than its limit. */
export type SpoolBlock = { readonly reason: 'disk-full'; readonly error: AppError } | { readonly reason: 'spool-full' };

export interface SpoolSpaceOptions {
  readonly folder: string;
  readonly maxBytes: number | undefined;
  readonly signal: AbortSignal;
  /** Bytes of all segments in the folder but the open one. */
  readonly countStored: () => Promise<number>;
  /** Bytes of the open segment. */
  readonly openBytes: () => number;
  readonly onBlocked: (block: SpoolBlock) => void;
  readonly onUnblocked: () => void;
}

const pollMs = 500;

export class SpoolSpace {
  readonly #options: SpoolSpaceOptions;
  #storedBytes = 0;
  #isBlocked = false;
  #freed: PromiseWithResolvers<void> | undefined;

  constructor(options: SpoolSpaceOptions) {
    this.#options = options;
  }

  /** Runs a step, which may be repeated, again and again while there is no room for its bytes. Other failures pass. */
  async use(bytes: number, step: () => Promise<void>): Promise<void> {
    const { signal, onUnblocked } = this.#options;
    for (;;) {
      signal.throwIfAborted();
      const block = this.#isOverLimit(bytes) ? ({ reason: 'spool-full' } as const) : await this.#try(step);
      if (!block) break;
      if (!this.#isBlocked) this.#options.onBlocked(block);
      this.#isBlocked = true;
      // Others may take segments away as well.
      this.#freed = Promise.withResolvers();
      await Promise.race([sleep(pollMs, { signal }), this.#freed.promise]);
      this.#freed = undefined;
      if (this.#options.maxBytes !== undefined) await this.recount();
    }
    if (this.#isBlocked) onUnblocked();
    this.#isBlocked = false;
  }

  /** Segments were taken away: look again at once. */
  free(): void {
    this.#freed?.resolve();
  }

  addStored(bytes: number): void {
    this.#storedBytes += bytes;
  }

  async recount(): Promise<void> {
    this.#storedBytes = await this.#options.countStored();
  }

  async #try(step: () => Promise<void>): Promise<SpoolBlock | undefined> {
    try {
      await step();
      return undefined;
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      return { reason: 'disk-full', error: failureOf(error, this.#options.folder) };
    }
  }

  #isOverLimit(bytes: number): boolean {
    const { maxBytes, openBytes } = this.#options;
    return maxBytes !== undefined && this.#storedBytes + openBytes() + bytes > maxBytes;
  }
}
