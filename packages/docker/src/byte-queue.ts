// A bounded hand-over from an event source to one reader. Pieces that are in are never lost by a later failure: the
// reader gets them first, then the error.

import { AppError } from '@varve/base';

export interface ByteQueueOptions {
  /** `isFull` from here on; the source is expected to pause. */
  readonly limitBytes: number;
  /** The reader made room again. */
  readonly onDrain: () => void;
  /** The reader stopped before the end. */
  readonly onAbandoned: () => void;
}

/** Iterable once. */
export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #options: ByteQueueOptions;
  readonly #pieces: Uint8Array[] = [];
  #queuedBytes = 0;
  #end: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;
  #taken = false;

  constructor(options: ByteQueueOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#queuedBytes >= this.#options.limitBytes;
  }

  push(piece: Uint8Array): void {
    if (this.#end || piece.length === 0) return;
    this.#pieces.push(piece);
    this.#queuedBytes += piece.length;
    this.#wake?.();
  }

  /** No more pieces; with an error the reader throws it after the last piece. Only the first call counts. */
  end(error?: Error): void {
    this.#end ??= { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, void> {
    if (this.#taken) throw new AppError('INTERNAL', 'The output of a process can be read only once.');
    this.#taken = true;
    let isComplete = false;
    try {
      for (;;) {
        const piece = this.#take();
        if (piece) {
          yield piece;
          continue;
        }
        if (this.#end) {
          isComplete = true;
          if (this.#end.error !== undefined) throw this.#end.error;
          return;
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      if (!isComplete) this.#options.onAbandoned();
    }
  }

  #take(): Uint8Array | undefined {
    const piece = this.#pieces.shift();
    if (!piece) return undefined;
    const wasFull = this.isFull;
    this.#queuedBytes -= piece.length;
    if (wasFull && !this.isFull) this.#options.onDrain();
    return piece;
  }
}
