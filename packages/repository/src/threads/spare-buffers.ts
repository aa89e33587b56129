// Buffers of packs and ranges that are used again: what threads give back. Left to the garbage collector, hundreds of megabytes
// would wait for it, because it sees small objects that own large memory.

/** New buffers are somewhat larger than asked for, so that they fit the next pack as well. */
const slack = 1 / 16;

export class SpareBuffers {
  readonly #most: number;
  readonly #spare: ArrayBuffer[] = [];

  /** Keeps `most` buffers: as many as are in use at once. */
  constructor(most: number) {
    this.#most = most;
  }

  /** A buffer of at least this many bytes; what is in it is undefined. */
  take(bytes: number): ArrayBuffer {
    const fitting = this.#spare.findIndex(({ byteLength }) => byteLength >= bytes);
    const [found] = fitting >= 0 ? this.#spare.splice(fitting, 1) : [];
    return found ?? new ArrayBuffer(Math.ceil(bytes * (1 + slack)));
  }

  give(buffer: ArrayBuffer): void {
    this.#spare.push(buffer);
    if (this.#spare.length <= this.#most) return;
    // The smallest is the least likely to fit.
    this.#spare.sort((a, b) => b.byteLength - a.byteLength).pop();
  }
}

/** What a storage has read into `buffer` or elsewhere, in memory that can be transferred: no part of something larger. */
export function ownBytes(loaded: Uint8Array, buffer: ArrayBuffer): Uint8Array<ArrayBuffer> {
  const isOwn = loaded.buffer === buffer || loaded.byteLength === loaded.buffer.byteLength;
  return isOwn ? (loaded as Uint8Array<ArrayBuffer>) : new Uint8Array(loaded);
}
