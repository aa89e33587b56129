// One at a time for each name: for storages that cannot refuse to replace a file by themselves.

import { throwIfAborted } from '@varve/base';

export class NameGate {
  readonly #last = new Map<string, Promise<void>>();

  /** Runs `task` after every earlier one of the same name has ended. A signal that aborts meanwhile keeps it from running. */
  async run<T>(name: string, signal: AbortSignal | undefined, task: () => Promise<T>): Promise<T> {
    const before = this.#last.get(name);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#last.set(name, promise);
    try {
      await before;
      throwIfAborted(signal);
      return await task();
    } finally {
      resolve();
      if (this.#last.get(name) === promise) this.#last.delete(name);
    }
  }
}
