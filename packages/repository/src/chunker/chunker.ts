// Content-defined chunking exactly as restic does it (Rabin fingerprint, window 64, 512 KiB to 8 MiB, mask of 20 bits).
// A chunker owns its buffer inside WebAssembly memory: readers fill it in place, chunks are views of it.

import { rabinWasm } from './generated/rabin-wasm.ts';
import { degree, polynomialDegree } from './polynomial.ts';
import { makeRabinTables } from './rabin-tables.ts';

export const minChunkBytes = 512 * 1024;
export const maxChunkBytes = 8 * 1024 * 1024;

const wasmPageBytes = 65536;
const tableOutOffset = 1024;
const tableModOffset = 3072;
const dataOffset = wasmPageBytes;
const readAheadBytes = 1024 * 1024;
const bufferBytes = maxChunkBytes + readAheadBytes;

/** The part of the JavaScript API of WebAssembly that is used here; TypeScript has it in its browser library only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

interface RabinExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  find(from: number, end: number, inclusive: number): number;
  isZero(from: number, end: number): number;
}

function instantiate(): RabinExports {
  const module = new WebAssembly.Module(Buffer.from(rabinWasm, 'base64'));
  // The module's exports are fixed by its committed source.
  return new WebAssembly.Instance(module).exports as RabinExports;
}

/**
 * Cuts one byte sequence after another. Use: fill {@link space}, tell how much by {@link filled}, take chunks with
 * {@link next} until it yields undefined, repeat; at the end of the input call {@link next} with `atEnd` until undefined,
 * which leaves the chunker ready for the next input. Not re-entrant; one per thread.
 */
export class Chunker {
  readonly #wasm: RabinExports;
  readonly #data: Uint8Array;
  /** Start of the chunk under way, end of the part that was searched, end of the data; offsets in the buffer. */
  #start = 0;
  #searched = 0;
  #end = 0;

  /** @param polynomial irreducible, of degree 53; a RangeError when the degree is another. */
  constructor(polynomial: bigint) {
    if (degree(polynomial) !== polynomialDegree) throw new RangeError('The chunker polynomial must have degree 53.');
    this.#wasm = instantiate();
    this.#wasm.memory.grow(Math.ceil(bufferBytes / wasmPageBytes));
    const memory = this.#wasm.memory.buffer;
    const tables = makeRabinTables(polynomial);
    new BigUint64Array(memory, tableOutOffset, 256).set(tables.out);
    new BigUint64Array(memory, tableModOffset, 256).set(tables.mod);
    this.#data = new Uint8Array(memory, dataOffset, bufferBytes);
  }

  /** Where the next bytes go: never empty once {@link next} has yielded undefined. Chunks taken before become invalid. */
  space(): Uint8Array {
    if (this.#start > 0) {
      this.#data.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#searched = Math.max(0, this.#searched - this.#start);
      this.#start = 0;
    }
    return this.#data.subarray(this.#end);
  }

  /** Tells that the first `count` bytes of {@link space} hold data now. */
  filled(count: number): void {
    this.#end += count;
  }

  /** The next chunk (a view, valid until {@link space} or {@link reset}), or undefined when more data is needed. */
  next(options: { readonly atEnd: boolean }): Uint8Array | undefined {
    const length = this.#cut();
    if (length > 0) return this.#take(length);
    if (options.atEnd && this.#end > this.#start) return this.#take(this.#end - this.#start);
    if (options.atEnd) this.reset();
    return undefined;
  }

  /** Bytes that were filled in and are in no chunk yet. */
  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  /** Forgets what was filled in, for instance after a read error. */
  reset(): void {
    this.#start = 0;
    this.#searched = 0;
    this.#end = 0;
  }

  /** True when the view, which must be a chunk of this chunker, holds zero bytes only. */
  isZero(chunk: Uint8Array): boolean {
    return this.#wasm.isZero(chunk.byteOffset, chunk.byteOffset + chunk.length) !== 0;
  }

  #cut(): number {
    const first = this.#start + minChunkBytes;
    const limit = Math.min(this.#end, this.#start + maxChunkBytes);
    if (limit < first) return 0;
    const fresh = this.#searched < first;
    const from = fresh ? first : this.#searched;
    const hit = this.#wasm.find(dataOffset + from, dataOffset + limit, fresh ? 1 : 0);
    if (hit !== 0) return hit - dataOffset - this.#start;
    this.#searched = limit;
    return limit - this.#start === maxChunkBytes ? maxChunkBytes : 0;
  }

  #take(length: number): Uint8Array {
    const chunk = this.#data.subarray(this.#start, this.#start + length);
    this.#start += length;
    this.#searched = this.#start;
    return chunk;
  }
}
