// Waits that an abort ends, for work that cannot be aborted itself.

import { throwIfAborted } from '@varve/base';

/** What the promise yields, or CANCELLED as soon as the signal aborts; the work itself goes on unobserved then. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  const onAbort = (): void => resolve();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const first = await Promise.race([promise.then((value) => ({ value })), aborted]);
    if (first) return first.value;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
  throwIfAborted(signal);
  return promise;
}
