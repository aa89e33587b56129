// Holds a stream of things below a rate: a bucket that fills all the time, up to one second's worth.

import { sleep } from './cancellation.ts';

export class TokenBucket {
  readonly #perSecond: number;
  #tokens: number;
  #filledAt = performance.now();

  /** `perSecond` above 0. */
  constructor(perSecond: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
  }

  /** Takes at once and waits off the debt: whoever comes later waits longer, and nobody starves. */
  async take(count: number, signal: AbortSignal | undefined): Promise<void> {
    const now = performance.now();
    const filled = this.#tokens + ((now - this.#filledAt) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#perSecond, filled) - count;
    this.#filledAt = now;
    if (this.#tokens < 0) await sleep((-this.#tokens / this.#perSecond) * 1000, { signal });
  }
}
