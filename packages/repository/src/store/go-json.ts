// JSON as Go's encoder writes it: `<`, `>`, `&` and the line separators are escaped.

const escaped: Readonly<Record<string, string>> = {
  '<': '\\u003c',
  '>': '\\u003e',
  '&': '\\u0026',
  '\u2028': '\\u2028',
  '\u2029': '\\u2029',
};

/** The bytes of a value; keys in the order of the object, `undefined` left out. */
export function encodeGoJson(value: unknown): Buffer {
  return Buffer.from(
    JSON.stringify(value).replaceAll(/[<>&\u2028\u2029]/g, (character) => escaped[character] ?? character),
  );
}

/** The object in JSON bytes, or null when it is not JSON or not an object. */
export function parseJsonObject(bytes: Uint8Array): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'));
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
