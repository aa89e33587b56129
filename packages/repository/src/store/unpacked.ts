// Files that are not packs: index, snapshot and lock files (restic design.rst, "Unpacked Data Format"). Format 1 stores JSON;
// format 2 a byte 2 and a zstd frame of the JSON, and may still hold plain JSON.

import { AppError } from '@varve/base';
import { compressBound, type Compressor, type Engine } from '../native/engine.ts';

const compressedMarker = 2;
const openingBrace = 0x7b;
const openingBracket = 0x5b;
/** More than any file of a repository; a bound for what a frame may expand to. */
const maxBytes = 1024 * 1024 * 1024;

/** The plaintext to be sealed. `compressor` is absent in format 1. */
export function encodeUnpacked(json: Uint8Array, compressor: Compressor | null): Uint8Array {
  if (!compressor) return json;
  const target = Buffer.allocUnsafe(compressBound(json.length) + 1);
  target[0] = compressedMarker;
  return target.subarray(0, compressor.compress(json, target.subarray(1)) + 1);
}

/** The JSON in an opened file. REPOSITORY_DAMAGED that names `what` for an unknown encoding. */
export function decodeUnpacked(plaintext: Uint8Array, engine: Engine, what: string): Uint8Array {
  const first = plaintext[0];
  if (first === undefined || first === openingBrace || first === openingBracket) return plaintext;
  if (first !== compressedMarker)
    throw new AppError('REPOSITORY_DAMAGED', `${what} has an encoding that is not known (${first}).`);
  const json = engine.decompress(plaintext.subarray(1), maxBytes);
  if (!json) throw new AppError('REPOSITORY_DAMAGED', `${what} does not decompress.`);
  return json;
}
