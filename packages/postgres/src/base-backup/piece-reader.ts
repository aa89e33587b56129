// Takes exact numbers of bytes from a sequence of pieces.

import { AppError } from '@varve/base';

/** One reader of one source at a time. */
export class PieceReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#pieces = source[Symbol.asyncIterator]();
  }

  /** 1 to `most` bytes; undefined at the end. */
  async take(most: number): Promise<Uint8Array | undefined> {
    while (this.#at >= this.#piece.length) {
      const next = await this.#pieces.next();
      if (next.done === true) return undefined;
      this.#piece = next.value;
      this.#at = 0;
    }
    const part = this.#piece.subarray(this.#at, this.#at + most);
    this.#at += part.length;
    return part;
  }

  /** The next `count` bytes in pieces; fewer when the source ends before. */
  async *pieces(count: number): AsyncGenerator<Uint8Array, void, undefined> {
    for (let left = count; left > 0;) {
      const part = await this.take(left);
      if (part === undefined) return;
      left -= part.length;
      yield part;
    }
  }

  /** A copy of the next `count` bytes; undefined at the end of the source. DATABASE_PROTOCOL when it ends in between. */
  async exactly(count: number): Promise<Buffer | undefined> {
    const whole = Buffer.alloc(count);
    let filled = 0;
    for await (const part of this.pieces(count)) {
      whole.set(part, filled);
      filled += part.length;
    }
    if (filled === count) return whole;
    if (filled === 0) return undefined;
    throw new AppError('DATABASE_PROTOCOL', 'The base backup ends within a file.', { retry: true });
  }
}
