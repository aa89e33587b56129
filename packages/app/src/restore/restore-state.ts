// Keeps book of what each part of a restore is in, so that a failure can be told exactly.

import { AppError, isAppError, messageOf } from '@varve/base';
import type { Part } from './restore-scope.ts';

type PartState = 'as before' | 'half restored' | 'restored';

export class RestoreState {
  readonly #parts = new Map<string, { state: PartState; done: string[] }>();
  safetySnapshotId: string | null = null;

  constructor(parts: readonly Part[]) {
    for (const { saved } of parts) this.#parts.set(saved.name, { state: 'as before', done: [] });
  }

  set(name: string, state: PartState): void {
    const part = this.#parts.get(name);
    if (part) part.state = state;
  }

  /** A piece of a part (one of its databases) is back. */
  addDone(name: string, piece: string): void {
    this.#parts.get(name)?.done.push(piece);
  }

  /** Whether anything of the app was changed. */
  get isTouched(): boolean {
    return [...this.#parts.values()].some(({ state }) => state !== 'as before');
  }

  /** e.g. `data: restored; db: half restored (done: shop); code: as before` */
  get text(): string {
    return [...this.#parts]
      .map(
        ([name, { state, done }]) =>
          `${name}: ${state}${state === 'half restored' && done.length > 0 ? ` (done: ${done.join(', ')})` : ''}`,
      )
      .join('; ');
  }

  /** The error of a restore that did not come to its end. Untouched apps keep the error that stopped it. */
  failure(error: unknown): unknown {
    if (!this.isTouched && isAppError(error)) return error;
    const cancelled = isAppError(error, 'CANCELLED');
    const reason = cancelled ? 'The restore was cancelled.' : `The restore failed: ${messageOf(error)}`;
    const undo =
      this.safetySnapshotId === null
        ? 'No safety snapshot was made.'
        : `The state before is in the safety snapshot ${this.safetySnapshotId.slice(0, 8)}: restore it to go back.`;
    const hint = isAppError(error) && error.hint !== undefined ? `${error.hint} ` : '';
    return new AppError('RESTORE_FAILED', `${reason} State of the parts: ${this.text}.`, {
      hint: `${hint}${undo} Or run the same restore again: it goes on where files are right already.`,
      context: {
        ...(isAppError(error) ? error.context : {}),
        reason: isAppError(error) ? error.code : 'INTERNAL',
        safetySnapshotId: this.safetySnapshotId,
      },
      cause: error,
    });
  }
}
