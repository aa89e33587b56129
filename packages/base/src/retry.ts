// Retries with exponential backoff and full jitter.

import { isAppError } from './app-error.ts';
import { sleep, throwIfAborted } from './cancellation.ts';

export interface RetryOptions {
  /** Tries in all, the first included. */
  readonly attempts: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Number in [0,1); injected in tests. */
  readonly random?: () => number;
  /** Whether the error is worth another try; by default AppErrors with `retry`. */
  readonly isRetryable?: (error: unknown) => boolean;
  readonly onRetry?: (error: unknown, attempt: number, delayMs: number) => void;
}

/** Calls `task` until it succeeds, fails with an error that is not retryable, or the attempts are used up. */
export async function retry<T>(options: RetryOptions, task: (attempt: number) => Promise<T>): Promise<T> {
  const random = options.random ?? Math.random;
  const isRetryable = options.isRetryable ?? ((error) => isAppError(error) && error.retry);
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(options.signal);
    try {
      return await task(attempt);
    } catch (error) {
      if (attempt >= options.attempts || !isRetryable(error)) throw error;
      const ceiling = Math.min(options.maxDelayMs, options.firstDelayMs * 2 ** (attempt - 1));
      const delayMs = Math.round(ceiling * (0.5 + random() / 2));
      options.onRetry?.(error, attempt, delayMs);
      await sleep(delayMs, { signal: options.signal });
    }
  }
}
