// Slows down whoever guesses passwords: failures are counted per key (client address, account) in a sliding window.

import { AppError, type Clock } from '@varve/base';

export interface AttemptLimits {
  readonly maxFailures: number;
  readonly windowMs: number;
}

/** Keys remembered at most; the oldest is dropped first, so that a flood of addresses cannot fill the memory. */
const maxKeys = 10_000;

/** Counts failures per key. A success clears the key. */
export class AttemptLimiter {
  readonly #limits: AttemptLimits;
  readonly #clock: Clock;
  readonly #failures = new Map<string, number[]>();

  constructor(options: { readonly limits: AttemptLimits; readonly clock: Clock }) {
    this.#limits = options.limits;
    this.#clock = options.clock;
  }

  /** Throws AUTH_RATE_LIMITED when the key has used up its failures. */
  assertAllowed(key: string): void {
    const recent = this.#recent(key);
    const first = recent[0];
    if (recent.length < this.#limits.maxFailures || first === undefined) return;
    const waitMs = first + this.#limits.windowMs - this.#clock.now().getTime();
    const minutes = Math.max(1, Math.ceil(waitMs / 60_000));
    throw new AppError('AUTH_RATE_LIMITED', `Too many failed attempts: ${recent.length} in a short time.`, {
      hint: `Wait ${minutes} min and try again.`,
      context: { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
    });
  }

  recordFailure(key: string): void {
    const recent = this.#recent(key);
    recent.push(this.#clock.now().getTime());
    this.#failures.delete(key);
    this.#failures.set(key, recent);
    if (this.#failures.size > maxKeys) {
      const oldest = this.#failures.keys().next().value;
      if (oldest !== undefined) this.#failures.delete(oldest);
    }
  }

  recordSuccess(key: string): void {
    this.#failures.delete(key);
  }

  #recent(key: string): number[] {
    const since = this.#clock.now().getTime() - this.#limits.windowMs;
    return (this.#failures.get(key) ?? []).filter((time) => time > since);
  }
}
