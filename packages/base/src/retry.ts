// Retries with exponential backoff and jitter. A pause that the other side asks for is kept, within bounds.

import { isAppError } from './app-error.ts';
import { sleep, throwIfAborted } from './cancellation.ts';

export interface RetryOptions {
  /** Tries in all, the first included. */
  readonly attempts: number;
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** The longest pause that an error may ask for (`retryAfterMs`); 2 minutes unless given. */
  readonly maxRetryAfterMs?: number;
  readonly signal?: AbortSignal | undefined;
  /** Number in [0,1); injected in tests. */
  readonly random?: () => number;
  /** Whether the error is worth another try; by default AppErrors with `retry`. */
  readonly isRetryable?: (error: unknown) => boolean;
  readonly onRetry?: (error: unknown, attempt: number, delayMs: number) => void;
}

const defaultMaxRetryAfterMs = 120_000;

/** Calls `task` until it succeeds, fails with an error that is not retryable, or the attempts are used up. */
export async function retry<T>(options: RetryOptions, task: (attempt: number) => Promise<T>): Promise<T> {
  const isRetryable = options.isRetryable ?? ((error) => isAppError(error) && error.retry);
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(options.signal);
    try {
      return await task(attempt);
    } catch (error) {
      if (attempt >= options.attempts || !isRetryable(error)) throw error;
      const delayMs = pauseMs(options, attempt, error);
      options.onRetry?.(error, attempt, delayMs);
      await sleep(delayMs, { signal: options.signal });
    }
  }
}

/** Jitter is added to what was asked for as well, or everybody who was turned away would come back at the same instant. */
function pauseMs(options: RetryOptions, attempt: number, error: unknown): number {
  const random = options.random ?? Math.random;
  const ceiling = Math.min(options.maxDelayMs, options.firstDelayMs * 2 ** (attempt - 1));
  const asked = isAppError(error)
    ? Math.min(error.retryAfterMs ?? 0, options.maxRetryAfterMs ?? defaultMaxRetryAfterMs)
    : 0;
  return Math.round(asked + ceiling * (0.5 + random() / 2));
}
