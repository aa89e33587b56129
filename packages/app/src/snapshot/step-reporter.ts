// Turns what several producers do at once into one line of progress: the step that began first, and the bytes of all.

import type { Progress } from '@varve/base';
import type { RunContext } from '../use-case.ts';

export class StepReporter {
  readonly #report: RunContext['report'];
  /** Steps under way, the oldest first, with what each is at. */
  readonly #active = new Map<string, string | undefined>();
  #last: Progress = { filesDone: 0, bytesDone: 0 };
  #lastStep = '';
  #expected = { files: 0, bytes: 0 };

  constructor(report: RunContext['report']) {
    this.#report = report;
  }

  /** What the whole is likely to come to: the app's last snapshot. Shown as totals while less than that is done. */
  expect(totals: { readonly files: number; readonly bytes: number }): void {
    this.#expected = totals;
  }

  /** A step begins. Steps with a colon are components, which may overlap; they replace any other, and any other all. */
  enter(step: string): void {
    for (const active of this.#active.keys()) {
      if (!step.includes(':') || !active.includes(':')) this.#active.delete(active);
    }
    this.#active.set(step, undefined);
    this.#send();
  }

  leave(step: string): void {
    this.#active.delete(step);
    this.#send();
  }

  current(step: string, current: string): void {
    this.#active.set(step, current);
    this.#send();
  }

  progress(progress: Progress): void {
    this.#last = progress;
    this.#send();
  }

  #send(): void {
    const [first] = this.#active;
    if (first) this.#lastStep = first[0];
    const current = this.#last.current ?? first?.[1];
    const { files, bytes } = this.#expected;
    const { filesDone, bytesDone } = this.#last;
    const totals =
      filesDone <= files && bytesDone <= bytes && bytes > 0 ? { filesTotal: files, bytesTotal: bytes } : {};
    this.#report({ ...totals, ...this.#last, step: this.#lastStep, current });
  }
}
