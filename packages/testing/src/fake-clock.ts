// A clock that stands still until a test moves it.

import type { Clock } from '@varve/base';

export class FakeClock implements Clock {
  #nowMs: number;

  /** `start`: RFC 3339. */
  constructor(start: string) {
    this.#nowMs = Date.parse(start);
  }

  now(): Date {
    return new Date(this.#nowMs);
  }

  /** Moves on by so many milliseconds; a negative number moves back. */
  advance(durationMs: number): void {
    this.#nowMs += durationMs;
  }

  /** `time`: RFC 3339. */
  set(time: string): void {
    this.#nowMs = Date.parse(time);
  }
}
