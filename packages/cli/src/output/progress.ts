// Progress on stderr: a bar that redraws itself on a terminal, a plain line every few seconds elsewhere, nothing when
// the user wants quiet or JSON.

import { formatBytes, formatDuration } from '@varve/base';
import type { TextOutput } from '../io.ts';
import { counted, grouped, printable } from './text.ts';

export interface ProgressState {
  /** What is being done, e.g. `volume web-data`. */
  readonly label: string;
  readonly filesDone: number;
  readonly filesTotal: number | null;
  readonly bytesDone: number;
  readonly bytesTotal: number | null;
  readonly bytesPerSecond: number | null;
  readonly secondsLeft: number | null;
  readonly current: string | null;
}

const redrawMs = 100;
const plainLineMs = 5000;
const barWidth = 20;
const eraseLine = '\r\u001b[2K';

/** Shows one state after another. Dispose it before anything else is written to the same output. */
export class ProgressDisplay implements Disposable {
  readonly #output: TextOutput;
  readonly #isOff: boolean;
  #shownAtMs = Number.NEGATIVE_INFINITY;
  #label = '';
  #isDrawn = false;

  constructor(options: { readonly output: TextOutput; readonly isOff: boolean }) {
    this.#output = options.output;
    this.#isOff = options.isOff;
  }

  update(state: ProgressState): void {
    this.#draw(state.label, (isTerminal) => {
      if (!isTerminal) return describe(state);
      return `${bar(state)}${describe(state)}${state.current === null ? '' : `  ${printable(state.current)}`}`;
    });
  }

  /** Shows a line of text in place of a bar. */
  show(label: string, text: string): void {
    this.#draw(label, () => `${printable(label)}: ${printable(text)}`);
  }

  #draw(label: string, lineFor: (isTerminal: boolean) => string): void {
    if (this.#isOff) return;
    const { isTerminal, columns } = this.#output;
    const nowMs = performance.now();
    const isNewStep = label !== this.#label;
    const pauseMs = isTerminal ? redrawMs : plainLineMs;
    if (!isNewStep && nowMs - this.#shownAtMs < pauseMs) return;
    this.#shownAtMs = nowMs;
    this.#label = label;
    const line = lineFor(isTerminal);
    this.#output.write(isTerminal ? `${eraseLine}${line.slice(0, columns - 1)}` : `${line}\n`);
    this.#isDrawn = isTerminal;
  }

  /** Writes a line that stays, above the bar. */
  note(line: string): void {
    if (this.#isOff) return;
    this.#clear();
    this.#output.write(`${printable(line)}\n`);
  }

  [Symbol.dispose](): void {
    this.#clear();
  }

  #clear(): void {
    if (this.#isDrawn) this.#output.write(eraseLine);
    this.#isDrawn = false;
  }
}

function bar(state: ProgressState): string {
  if (state.bytesTotal === null || state.bytesTotal === 0) return '';
  const part = Math.min(1, state.bytesDone / state.bytesTotal);
  const full = Math.round(part * barWidth);
  return `[${'#'.repeat(full)}${'.'.repeat(barWidth - full)}] ${String(Math.floor(part * 100)).padStart(3)} %  `;
}

/** `volume web-data: 1.2 GiB of 3 GiB, 120 of 400 files, 85 MiB/s, 21 s left`. */
function describe(state: ProgressState): string {
  const parts = [
    state.bytesTotal === null
      ? formatBytes(state.bytesDone)
      : `${formatBytes(state.bytesDone)} of ${formatBytes(state.bytesTotal)}`,
    state.filesTotal === null
      ? counted(state.filesDone, 'file')
      : `${grouped(state.filesDone)} of ${counted(state.filesTotal, 'file')}`,
  ];
  if (state.bytesPerSecond !== null) parts.push(`${formatBytes(Math.round(state.bytesPerSecond))}/s`);
  if (state.secondsLeft !== null) parts.push(`${formatDuration(Math.ceil(state.secondsLeft) * 1000)} left`);
  return `${printable(state.label)}: ${parts.join(', ')}`;
}
