// Files that are not packs: index, snapshot and lock files (restic design.rst, "Unpacked Data Format"). Format 1 stores JSON;
// format 2 a byte 2 and a zstd frame of the JSON, and may still hold plain JSON.

import { AppError, formatBytes } from '@varve/base';
import { compressBound, type Compressor, type Engine } from '../native/engine.ts';

const compressedMarker = 2;
const openingBrace = 0x7b;
const openingBracket = 0x5b;
/** More than any such file has; bounds for what a frame may expand to. A text of more than 512 MiB cannot be read at all. */
const maxBytes = {
  lock: 1024 * 1024,
  snapshot: 128 * 1024 * 1024,
  index: 512 * 1024 * 1024,
  'digest of snapshots': 512 * 1024 * 1024,
} as const;

/** The plaintext to be sealed. `compressor` is absent in format 1. */
export function encodeUnpacked(json: Uint8Array, compressor: Compressor | null): Uint8Array {
  if (!compressor) return json;
  const target = Buffer.allocUnsafe(compressBound(json.length) + 1);
  target[0] = compressedMarker;
  return target.subarray(0, compressor.compress(json, target.subarray(1)) + 1);
}

/** The JSON in an opened file. REPOSITORY_DAMAGED that names `what` for an unknown encoding, and for far too much. */
export function decodeUnpacked(
  plaintext: Uint8Array,
  file: { readonly type: keyof typeof maxBytes; readonly engine: Engine; readonly what: string },
): Uint8Array {
  const { type, engine, what } = file;
  const first = plaintext[0];
  if (first === undefined || first === openingBrace || first === openingBracket) return plaintext;
  if (first !== compressedMarker)
    throw new AppError('REPOSITORY_DAMAGED', `${what} has an encoding that is not known (${first}).`);
  const json = engine.decompress(plaintext.subarray(1), maxBytes[type]);
  if (!json)
    throw new AppError('REPOSITORY_DAMAGED', `${what} does not decompress to at most ${formatBytes(maxBytes[type])}.`);
  return json;
}
