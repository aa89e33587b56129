// UTF-8 as Go reads it: every byte that is not part of a valid sequence counts as one invalid rune of width 1.

/** A code point and its width in bytes; `rune` is -1 for an invalid byte. */
export interface Rune {
  readonly rune: number;
  readonly width: number;
}

const invalid: Rune = { rune: -1, width: 1 };
const smallestOfWidth = [0, 0, 0x80, 0x800, 0x10000];

/** The rune that starts at `at`. */
export function decodeRune(bytes: Uint8Array, at: number): Rune {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return { rune: first, width: 1 };
  const width = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + width > bytes.length) return invalid;
  let rune = first & (0xff >> (width + 1));
  for (let i = 1; i < width; i++) {
    const next = bytes[at + i] ?? 0;
    if ((next & 0xc0) !== 0x80) return invalid;
    rune = (rune << 6) | (next & 0x3f);
  }
  const isSurrogate = rune >= 0xd800 && rune <= 0xdfff;
  if (rune < (smallestOfWidth[width] ?? 0) || rune > 0x10ffff || isSurrogate) return invalid;
  return { rune, width };
}

/** All runes in order. */
export function* runes(bytes: Uint8Array): Generator<Rune & { readonly at: number }> {
  for (let at = 0; at < bytes.length;) {
    const { rune, width } = decodeRune(bytes, at);
    yield { rune, width, at };
    at += width;
  }
}
