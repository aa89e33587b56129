// Speed and time left from a row of reports.

import type { Progress } from '@varve/base';

/** Reports older than this no longer count, so that the speed follows what happens now. */
const windowMs = 10_000;

export interface Rate {
  /** null until there is something to measure. */
  readonly bytesPerSecond: number | null;
  readonly secondsLeft: number | null;
}

/** Measures over a sliding window. */
export class RateMeter {
  #samples: { readonly timeMs: number; readonly bytes: number }[] = [];

  /** Adds a report made at `timeMs`. */
  add(progress: Progress, timeMs: number): Rate {
    const last = this.#samples.at(-1);
    if (last && progress.bytesDone < last.bytes) this.#samples = [];
    this.#samples.push({ timeMs, bytes: progress.bytesDone });
    while (this.#samples.length > 2 && timeMs - (this.#samples[0]?.timeMs ?? timeMs) > windowMs) this.#samples.shift();
    const first = this.#samples[0];
    if (!first || timeMs - first.timeMs < 200) return { bytesPerSecond: null, secondsLeft: null };
    const bytesPerSecond = ((progress.bytesDone - first.bytes) * 1000) / (timeMs - first.timeMs);
    const left = progress.bytesTotal === undefined ? null : Math.max(0, progress.bytesTotal - progress.bytesDone);
    return { bytesPerSecond, secondsLeft: left === null || bytesPerSecond <= 0 ? null : left / bytesPerSecond };
  }
}
