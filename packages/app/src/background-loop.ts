// Work that is repeated while the server runs. One turn at a time; a failed one is logged and the next comes as usual.

import { messageOf, type Logger } from '@varve/base';

interface BackgroundLoopOptions {
  readonly name: string;
  readonly intervalMs: number;
  readonly logger: Logger;
  readonly turn: () => Promise<void>;
}

/** Starts with a turn at once; disposing it waits for the turn that is under way. */
export class BackgroundLoop implements AsyncDisposable {
  readonly #options: BackgroundLoopOptions;
  readonly #done: Promise<void>;
  #wake: (() => void) | undefined;
  #isWoken = false;
  #isStopped = false;

  constructor(options: BackgroundLoopOptions) {
    this.#options = options;
    this.#done = this.#run();
  }

  /** Has the next turn come at once. */
  wake(): void {
    this.#isWoken = true;
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { name, logger, turn } = this.#options;
    while (!this.#isStopped) {
      this.#isWoken = false;
      try {
        await turn();
      } catch (error) {
        logger.error('a turn of background work failed', { work: name, error: messageOf(error) });
      }
      if (!this.#isStopped && !this.#isWoken) await this.#pause();
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#options.intervalMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.#wake?.();
    await this.#done;
  }
}
