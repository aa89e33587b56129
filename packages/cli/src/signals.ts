// Two-stage cancellation: the first Ctrl-C (or SIGTERM, SIGHUP) aborts the work, which cleans up; the second ends the
// process at once.

import { AppError } from '@varve/base';

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

export interface Cancellation extends Disposable {
  readonly signal: AbortSignal;
}

/** Watches the process's signals until disposed. */
export function cancelOnSignals(options: {
  readonly onFirst: () => void;
  readonly onSecond: () => void;
}): Cancellation {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) {
      options.onSecond();
      return;
    }
    options.onFirst();
    controller.abort(new AppError('CANCELLED', 'Interrupted.'));
  };
  for (const name of signals) process.on(name, onSignal);
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      for (const name of signals) process.off(name, onSignal);
    },
  };
}
