// One component of a pattern against one name, as Go's path.Match does it: `*` any bytes, `?` one character, `[a-z]` and
// `[^a-z]` one of or none of, `\` takes the next character as it is. Names are raw bytes in the form of binary strings (one
// character a byte), because they need not be UTF-8: a byte that belongs to no character counts as one. Pure.

import { decodeRune } from '../tree/utf8.ts';

/** Tells whether a name, given as a binary string, matches. */
export type NameMatcher = (name: string) => boolean;

/** A class, or `null` for any character, or a literal run of bytes. */
type Element = string | CharacterClass | null;

interface CharacterClass {
  readonly isNegated: boolean;
  readonly ranges: readonly (readonly [low: number, high: number])[];
}

/** What stands between two stars. */
interface Chunk {
  readonly afterStar: boolean;
  readonly elements: readonly Element[];
}

const special = /[\\[\]*?]/;
/** What Go reads where no valid character starts. */
const replacementRune = 0xfffd;

/** Bytes as a binary string. */
export function toBinary(text: string | Uint8Array): string {
  if (typeof text !== 'string') return Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString('latin1');
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** Undefined when the pattern, a binary string without `/`, is malformed. */
export function compileGlob(pattern: string): NameMatcher | undefined {
  if (!special.test(pattern)) return (name) => name === pattern;
  const chunks = parse(pattern);
  if (!chunks) return undefined;
  const [first, second] = chunks;
  const text = (chunk: Chunk | undefined): string | undefined =>
    chunk?.elements.every((element) => typeof element === 'string') ? chunk.elements.join('') : undefined;
  // Nearly all patterns are "*.suffix", "prefix*" or "*".
  const firstText = text(first);
  const secondText = text(second);
  if (chunks.length === 1 && first?.afterStar && firstText !== undefined) return (name) => name.endsWith(firstText);
  if (chunks.length === 2 && !first?.afterStar && firstText !== undefined && secondText === '')
    return (name) => name.startsWith(firstText);
  return (name) => matchChunks(chunks, name);
}

function parse(pattern: string): Chunk[] | undefined {
  const chunks: Chunk[] = [];
  let elements: Element[] = [];
  let literal = '';
  let afterStar = false;
  const endLiteral = (): void => {
    if (literal !== '') elements.push(literal);
    literal = '';
  };
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at];
    if (character === '*') {
      endLiteral();
      if (elements.length > 0) chunks.push({ afterStar, elements });
      elements = [];
      afterStar = true;
    } else if (character === '?') {
      endLiteral();
      elements.push(null);
    } else if (character === '[') {
      const parsed = parseClass(pattern, at + 1);
      if (!parsed) return undefined;
      endLiteral();
      elements.push(parsed.characters);
      at = parsed.end - 1;
    } else if (character === '\\') {
      const next = pattern[++at];
      if (next === undefined) return undefined;
      literal += next;
    } else literal += character;
  }
  endLiteral();
  if (elements.length > 0 || afterStar) chunks.push({ afterStar, elements });
  return chunks;
}

/** A class from behind its `[`; yields also the position after its `]`. */
function parseClass(pattern: string, from: number): { characters: CharacterClass; end: number } | undefined {
  let at = from;
  const isNegated = pattern[at] === '^';
  if (isNegated) at++;
  const ranges: [number, number][] = [];
  const one = (): number | undefined => {
    const character = pattern[at];
    if (character === undefined || character === '-' || character === ']') return undefined;
    if (character === '\\' && ++at >= pattern.length) return undefined;
    const { rune, width } = runeAt(pattern, at);
    at += width;
    // Something has to follow: at least the closing bracket.
    return at < pattern.length ? rune : undefined;
  };
  while (ranges.length === 0 || pattern[at] !== ']') {
    const low = one();
    if (low === undefined) return undefined;
    let high: number | undefined = low;
    if (pattern[at] === '-') {
      at++;
      high = one();
      if (high === undefined) return undefined;
    }
    ranges.push([low, high]);
  }
  return { characters: { isNegated, ranges }, end: at + 1 };
}

function runeAt(binary: string, at: number): { rune: number; width: number } {
  const first = binary.charCodeAt(at);
  if (first < 0x80) return { rune: first, width: 1 };
  const { rune, width } = decodeRune(Buffer.from(binary.slice(at, at + 4), 'latin1'), 0);
  return { rune: rune < 0 ? replacementRune : rune, width };
}

/** The first place where a chunk fits is taken; only the last one has to reach the end. */
function matchChunks(chunks: readonly Chunk[], name: string): boolean {
  let at = 0;
  for (const [i, { afterStar, elements }] of chunks.entries()) {
    const isLast = i === chunks.length - 1;
    if (isLast && elements.length === 0) return true;
    const furthest = afterStar ? name.length : at;
    let end = -1;
    for (let from = at; from <= furthest; from++) {
      end = matchElements(elements, name, from);
      if (end >= 0 && (!isLast || end === name.length)) break;
      end = -1;
    }
    if (end < 0) return false;
    at = end;
  }
  return at === name.length;
}

/** Where the elements end when they fit at `from`, else -1. */
function matchElements(elements: readonly Element[], name: string, from: number): number {
  let at = from;
  for (const element of elements) {
    if (typeof element === 'string') {
      if (!name.startsWith(element, at)) return -1;
      at += element.length;
      continue;
    }
    if (at >= name.length) return -1;
    const { rune, width } = runeAt(name, at);
    if (element && element.ranges.some(([low, high]) => low <= rune && rune <= high) === element.isNegated) return -1;
    at += width;
  }
  return at;
}
