// The last bytes of a stream, as text.

/** Keeps at most `limitBytes`. */
export class TextTail {
  readonly #limitBytes: number;
  #pieces: Uint8Array[] = [];
  #size = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  push(piece: Uint8Array): void {
    this.#pieces.push(piece);
    this.#size += piece.length;
    if (this.#size > 2 * this.#limitBytes) this.#compact();
  }

  toString(): string {
    this.#compact();
    return new TextDecoder().decode(this.#pieces[0] ?? new Uint8Array());
  }

  #compact(): void {
    const tail = Buffer.concat(this.#pieces).subarray(-this.#limitBytes);
    // A copy, so that the big buffer behind the view can go.
    this.#pieces = [Uint8Array.from(tail)];
    this.#size = tail.length;
  }
}
