// A stream that may be silent for long, such as standard input: an abort must not wait for its next bytes.

import { cancelledError, throwIfAborted } from '@varve/base';

/** The pieces of `source`; throws CANCELLED as soon as the signal aborts, whether or not the source ever yields again. */
export async function* abortable(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  throwIfAborted(signal);
  const iterator = source[Symbol.asyncIterator]();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  // Seen by the race below, or by nobody when the source ends first.
  aborted.catch(() => {});
  const onAbort = (): void => reject(cancelledError(signal));
  signal.addEventListener('abort', onAbort, { once: true });
  let isDone = false;
  try {
    for (;;) {
      const next = await Promise.race([iterator.next(), aborted]);
      isDone = next.done === true;
      if (next.done) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    // Not waited for: a source that is silent does not answer this either.
    if (!isDone) iterator.return?.()?.catch(() => {});
  }
}
