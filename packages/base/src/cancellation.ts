// Cancellation is always an AbortSignal; this file turns it into errors and waits.

import { AppError } from './app-error.ts';

/** The error that a cancelled operation ends with. */
export function cancelledError(signal?: AbortSignal): AppError {
  const reason: unknown = signal?.reason;
  if (reason instanceof AppError) return reason;
  return new AppError('CANCELLED', 'The operation was cancelled.', { cause: reason });
}

/** Throws when the signal is aborted: its reason when that is an AppError, CANCELLED otherwise. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw cancelledError(signal);
}

/** Waits; rejects with {@link cancelledError} as soon as the signal aborts. */
export function sleep(durationMs: number, options: { readonly signal?: AbortSignal | undefined } = {}): Promise<void> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(cancelledError(signal));
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(cancelledError(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, durationMs);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}
