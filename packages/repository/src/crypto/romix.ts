// scrypt's ROMix (RFC 7914, section 5) over blocks of 128·r bytes, in WebAssembly with vector instructions: two thirds of the
// time that OpenSSL takes, and in any thread. Imports nothing, so that a thread for it starts quickly.

import { romixWasm } from './generated/romix-wasm.ts';

/** What ROMix is asked for; N is a power of two. */
export interface RomixCost {
  readonly N: number;
  readonly r: number;
}

interface RomixExports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): number };
  romixOne(block: number, table: number, N: number, r: number): void;
  romixTwo(block: number, table: number, N: number, r: number): void;
}

/** The part of the JavaScript API of WebAssembly that is used here; TypeScript has it in its browser library only. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

const wasmPageBytes = 65_536;
/** The first page is the compiler's; blocks come after it, tables after them. */
const blocksOffset = wasmPageBytes;

/** Bytes of a block. */
export function romixBlockBytes(r: number): number {
  return 128 * r;
}

/** Memory of one lane. */
export function romixLaneBytes({ N, r }: RomixCost): number {
  return (N + 1) * romixBlockBytes(r);
}

/**
 * Mixes each block of `blocks` in place, with `lanes` (1 or 2) at a time. Takes {@link romixLaneBytes} for each lane until the
 * garbage collector has been there.
 */
export function romix(blocks: Uint8Array, { N, r, lanes }: RomixCost & { readonly lanes: 1 | 2 }): void {
  const blockBytes = romixBlockBytes(r);
  const tableOffset = blocksOffset + Math.ceil((2 * blockBytes) / wasmPageBytes) * wasmPageBytes;
  const module = new WebAssembly.Module(Buffer.from(romixWasm, 'base64'));
  // The module's exports are fixed by its committed source.
  const wasm = new WebAssembly.Instance(module).exports as RomixExports;
  const wanted = tableOffset + lanes * romixLaneBytes({ N, r });
  wasm.memory.grow(Math.ceil(wanted / wasmPageBytes) - 1);
  for (let at = 0; at < blocks.length; at += lanes * blockBytes) {
    const part = blocks.subarray(at, at + lanes * blockBytes);
    const memory = new Uint8Array(wasm.memory.buffer, blocksOffset, part.length);
    toDiagonals(part, memory);
    const mix = part.length > blockBytes ? wasm.romixTwo : wasm.romixOne;
    mix(blocksOffset, tableOffset, N, r);
    fromDiagonals(memory, part);
  }
}

/** The byte of a 64-byte block, counted from its begin, that is at `position` in the WebAssembly's order. */
function diagonal(position: number): number {
  return ((((position >> 2) * 5) & 15) << 2) | (position & 3);
}

function toDiagonals(source: Uint8Array, target: Uint8Array): void {
  for (let i = 0; i < source.length; i++) target[i] = source[(i & ~63) + diagonal(i & 63)]!;
}

function fromDiagonals(source: Uint8Array, target: Uint8Array): void {
  for (let i = 0; i < source.length; i++) target[(i & ~63) + diagonal(i & 63)] = source[i]!;
}
