// From reports of work done to speed and time left: a moving average over the last seconds, per step, and at most two
// reports a second passed on.

import type { JobProgress } from '@varve/contract';
import type { StepProgress } from '../use-case.ts';

const windowMs = 10_000;
const minIntervalMs = 500;
/** A speed from less time than this says nothing. */
const minSpanMs = 1000;

interface Sample {
  readonly atMs: number;
  readonly bytesDone: number;
}

/** The progress of one job. Not shared between jobs. */
export class ProgressMeter {
  #step: string | undefined;
  #samples: Sample[] = [];
  #lastPassedMs = Number.NEGATIVE_INFINITY;
  #heldBack: StepProgress | undefined;

  /** Takes a report; yields what to store now, or undefined when the last one was stored less than half a second ago. */
  take(report: StepProgress, nowMs: number): JobProgress | undefined {
    const isNewStep = report.step !== this.#step;
    if (isNewStep) {
      this.#step = report.step;
      this.#samples = [];
    }
    const isDue = isNewStep || nowMs - this.#lastPassedMs >= minIntervalMs || nowMs < this.#lastPassedMs;
    this.#heldBack = isDue ? undefined : report;
    return isDue ? this.#pass(report, nowMs) : undefined;
  }

  /** The last report when it was not passed on yet: for the end of the job. */
  flush(nowMs: number): JobProgress | undefined {
    const report = this.#heldBack;
    this.#heldBack = undefined;
    return report && this.#pass(report, nowMs);
  }

  #pass(report: StepProgress, nowMs: number): JobProgress {
    this.#lastPassedMs = nowMs;
    this.#remember({ atMs: nowMs, bytesDone: report.bytesDone });
    const bytesPerSecond = this.#speed();
    return {
      step: report.step,
      filesDone: report.filesDone,
      filesTotal: report.filesTotal ?? null,
      bytesDone: report.bytesDone,
      bytesTotal: report.bytesTotal ?? null,
      bytesPerSecond,
      secondsLeft: secondsLeft(report, bytesPerSecond),
      current: report.current ?? null,
    };
  }

  #remember(sample: Sample): void {
    const previous = this.#samples.at(-1);
    const wentBack = previous !== undefined && (sample.bytesDone < previous.bytesDone || sample.atMs < previous.atMs);
    if (wentBack) this.#samples = [];
    this.#samples.push(sample);
    // One sample older than the window stays, so that the span never shrinks below it.
    while ((this.#samples[1]?.atMs ?? Number.POSITIVE_INFINITY) <= sample.atMs - windowMs) this.#samples.shift();
  }

  #speed(): number | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.atMs - first.atMs < minSpanMs) return null;
    return ((last.bytesDone - first.bytesDone) * 1000) / (last.atMs - first.atMs);
  }
}

function secondsLeft(report: StepProgress, bytesPerSecond: number | null): number | null {
  if (report.bytesTotal === undefined || bytesPerSecond === null || bytesPerSecond <= 0) return null;
  return Math.max(0, report.bytesTotal - report.bytesDone) / bytesPerSecond;
}
