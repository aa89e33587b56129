// Go's strconv.Quote and Unquote without the outer quotes: how tree blobs carry names of any bytes. Source:
// storage-format section 2.10.

import { isUtf8 } from 'node:buffer';
import { runes } from './utf8.ts';

const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
/** Go's unicode.IsPrint: letters, marks, numbers, punctuation, symbols and the ASCII space. */
const printable = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;
const shortEscapes = new Map([
  [0x07, '\\a'],
  [0x08, '\\b'],
  [0x0c, '\\f'],
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x09, '\\t'],
  [0x0b, '\\v'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
]);
const unescapes = new Map([...shortEscapes].map(([code, text]) => [text.slice(1), code]));

function hex(value: number, digits: number): string {
  return value.toString(16).padStart(digits, '0');
}

function quoteRune(rune: number, byte: number): string {
  if (rune < 0) return `\\x${hex(byte, 2)}`;
  const short = shortEscapes.get(rune);
  if (short !== undefined) return short;
  if (rune < 0x20 || rune === 0x7f) return `\\x${hex(rune, 2)}`;
  const text = String.fromCodePoint(rune);
  if (printable.test(text)) return text;
  return rune < 0x10000 ? `\\u${hex(rune, 4)}` : `\\U${hex(rune, 8)}`;
}

/** The quoted form of any bytes; equal to the text itself for printable UTF-8 without quotes and backslashes. */
export function goQuote(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = buffer.toString('latin1');
  if (plain.test(text)) return text;
  let quoted = '';
  for (const { rune, at } of runes(buffer)) quoted += quoteRune(rune, buffer[at] ?? 0);
  return quoted;
}

/** What to show of a name: its text when it is UTF-8, its quoted form otherwise. */
export function printableName(name: Uint8Array): string {
  return isUtf8(name) ? Buffer.from(name).toString('utf8') : goQuote(name);
}

/** Text as Go's JSON encoder writes it: each byte that is not part of valid UTF-8 becomes U+FFFD. */
export function goText(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (isUtf8(buffer)) return buffer.toString('utf8');
  let text = '';
  for (const { rune } of runes(buffer)) text += rune < 0 ? '\ufffd' : String.fromCodePoint(rune);
  return text;
}

const escape = /\\(?:([abfnrtv"\\])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|)|["\n]/g;

/** The bytes of a quoted text; undefined when it is not a valid Go string. */
export function goUnquote(quoted: string): Buffer | undefined {
  if (!quoted.includes('\\') && !quoted.includes('"') && !quoted.includes('\n')) return Buffer.from(quoted, 'utf8');
  const parts: Buffer[] = [];
  let end = 0;
  for (const match of quoted.matchAll(escape)) {
    parts.push(Buffer.from(quoted.slice(end, match.index), 'utf8'));
    end = match.index + match[0].length;
    const [, short, byte, rune, longRune, octal] = match;
    const code = Number.parseInt(rune ?? longRune ?? '', 16);
    if (short !== undefined) parts.push(Buffer.of(unescapes.get(short) ?? 0));
    else if (byte !== undefined) parts.push(Buffer.of(Number.parseInt(byte, 16)));
    else if (octal !== undefined) parts.push(Buffer.of(Number.parseInt(octal, 8)));
    else if (code <= 0x10ffff && (code < 0xd800 || code > 0xdfff)) parts.push(Buffer.from(String.fromCodePoint(code)));
    else return undefined;
  }
  parts.push(Buffer.from(quoted.slice(end), 'utf8'));
  return Buffer.concat(parts);
}
