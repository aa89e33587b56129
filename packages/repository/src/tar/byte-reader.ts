// Reads exact numbers of bytes from a sequence of pieces.

/** One reader at a time. */
export class ByteReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  #at = 0;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#pieces = source[Symbol.asyncIterator]();
  }

  /** 1 to `max` bytes, a view that is valid until the next call; undefined at the end. */
  async take(max: number): Promise<Uint8Array | undefined> {
    while (this.#at >= this.#piece.length) {
      const next = await this.#pieces.next();
      if (next.done) return undefined;
      this.#piece = next.value;
      this.#at = 0;
    }
    const part = this.#piece.subarray(this.#at, this.#at + max);
    this.#at += part.length;
    return part;
  }

  /** `count` bytes, or fewer when the source ends before. */
  async read(count: number): Promise<Buffer> {
    const whole = Buffer.alloc(count);
    let filled = 0;
    while (filled < count) {
      const part = await this.take(count - filled);
      if (!part) break;
      whole.set(part, filled);
      filled += part.length;
    }
    return whole.subarray(0, filled);
  }

  /** Skips up to `count` bytes and yields how many there were. */
  async skip(count: number): Promise<number> {
    let skipped = 0;
    while (skipped < count) {
      const part = await this.take(count - skipped);
      if (!part) break;
      skipped += part.length;
    }
    return skipped;
  }

  /** Tells the source that no more is wanted. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}
