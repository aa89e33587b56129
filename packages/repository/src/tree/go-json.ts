// JSON strings exactly as Go's encoding/json writes them (HTML characters and U+2028/9 escaped, invalid UTF-8 as
// `\ufffd`), and a parser that keeps integers beyond 2^53.

import { isUtf8 } from 'node:buffer';
import { runes } from './utf8.ts';

const special = /["\\&<>\u2028\u2029\p{Cc}]/u;
const specials = /["\\&<>\u2028\u2029\p{Cc}]/gu;
const shortEscapes: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

function escapeCharacter(character: string): string {
  // Go leaves the control characters beyond ASCII, and DEL, as they are.
  if (character >= '\x7f' && character < '\u2028') return character;
  return shortEscapes[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** The JSON string literal of a text. */
export function goJsonString(text: string): string {
  return special.test(text) ? `"${text.replace(specials, escapeCharacter)}"` : `"${text}"`;
}

/** The JSON string literal of bytes, each invalid one as `\ufffd`. */
export function goJsonBytes(bytes: Buffer): string {
  if (isUtf8(bytes)) return goJsonString(bytes.toString('utf8'));
  let literal = '"';
  for (const { rune } of runes(bytes)) {
    literal += rune < 0 ? '\\ufffd' : goJsonString(String.fromCodePoint(rune)).slice(1, -1);
  }
  return `${literal}"`;
}

/** JSON of any parsed value in Go's form: compact, keys of objects sorted. */
export function goJsonValue(value: unknown): string {
  if (typeof value === 'string') return goJsonString(value);
  if (Array.isArray(value)) return `[${value.map(goJsonValue).join(',')}]`;
  if (typeof value === 'bigint') return value.toString();
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${entries.map(([key, item]) => `${goJsonString(key)}:${goJsonValue(item)}`).join(',')}}`;
}

const longInteger = /[:,[\s]\d{16,}/;
const integer = /^\d{16,}$/;

/** JSON.parse that yields a bigint for every integer that a number would round. */
export function parseLossless(text: string): unknown {
  if (!longInteger.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_key, value: unknown, context?: { source?: string }) => {
    const source = context?.source;
    if (typeof value !== 'number' || source === undefined || Number.isSafeInteger(value)) return value;
    return integer.test(source) ? BigInt(source) : value;
  });
}
