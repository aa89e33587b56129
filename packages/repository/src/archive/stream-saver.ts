// Saves one sequence of bytes that arrives in pieces: cut in the main thread, hashed, compressed and sealed by the workers,
// with a bounded number of chunks under way.

import { minChunkBytes, type Chunker } from '../chunker/chunker.ts';
import type { ArchiveRun } from './archive-run.ts';
import type { Counts } from './worker-protocol.ts';

export interface SavedContent {
  readonly content: string[];
  readonly size: number;
}

export class StreamSaver implements Disposable {
  readonly #run: ArchiveRun;
  readonly #counts: Counts;
  readonly #ids: Promise<string>[] = [];
  readonly #underWay = new Set<Promise<string>>();
  /** Pieces of an input that may turn out to be a single chunk; null once the chunker has taken over. */
  #pieces: Uint8Array[] | null = [];
  #chunker: Chunker | undefined;
  #size = 0;

  /** `counts` gets what the chunks cost. */
  constructor(run: ArchiveRun, counts: Counts) {
    this.#run = run;
    this.#counts = counts;
  }

  /** Takes bytes; they are copied. Resolves when more can be taken. */
  async write(bytes: Uint8Array): Promise<void> {
    this.#size += bytes.length;
    if (this.#pieces && this.#size <= minChunkBytes) {
      this.#pieces.push(Uint8Array.from(bytes));
      return;
    }
    if (this.#pieces) {
      const pieces = this.#pieces;
      this.#pieces = null;
      for (const piece of pieces) await this.#feed(piece);
    }
    await this.#feed(bytes);
  }

  /** Takes bytes from `read`, which fills the given space and yields how many bytes; 0 is the end. */
  async writeFrom(read: (space: Uint8Array) => Promise<number>): Promise<void> {
    this.#pieces = null;
    for (;;) {
      const chunker = this.#takeChunker();
      const count = await read(chunker.space().subarray(0, readBytes));
      if (count === 0) return;
      this.#size += count;
      chunker.filled(count);
      await this.#store(false);
    }
  }

  /** The ids of all chunks. Rejects with the first failure to store one. */
  async finish(): Promise<SavedContent> {
    if (this.#pieces) {
      if (this.#size > 0) await this.#send(concat(this.#pieces, this.#size));
    } else await this.#store(true);
    return { content: await Promise.all(this.#ids), size: this.#size };
  }

  [Symbol.dispose](): void {
    if (this.#chunker) this.#run.giveChunker(this.#chunker);
    this.#chunker = undefined;
  }

  #takeChunker(): Chunker {
    return (this.#chunker ??= this.#run.takeChunker());
  }

  async #feed(bytes: Uint8Array): Promise<void> {
    const chunker = this.#takeChunker();
    for (let at = 0; at < bytes.length;) {
      const space = chunker.space();
      const part = bytes.subarray(at, at + Math.min(space.length, readBytes));
      space.set(part);
      chunker.filled(part.length);
      at += part.length;
      await this.#store(false);
    }
  }

  async #store(atEnd: boolean): Promise<void> {
    const chunker = this.#takeChunker();
    for (let chunk = chunker.next({ atEnd }); chunk; chunk = chunker.next({ atEnd })) {
      await this.#send(Uint8Array.from(chunk));
    }
  }

  async #send(chunk: Uint8Array<ArrayBuffer>): Promise<void> {
    const id = this.#run.storeData(chunk, this.#counts);
    this.#ids.push(id);
    this.#underWay.add(id);
    id.then(
      () => this.#underWay.delete(id),
      // Seen again, and thrown, by whoever waits for it below.
      () => {},
    );
    while (this.#underWay.size > this.#run.pool.capacity) await Promise.race(this.#underWay);
  }
}

const readBytes = 1024 * 1024;

function concat(pieces: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
